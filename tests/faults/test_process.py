"""The bad days of `process` in `conformance.faults.scenarios`, small."""

from conformance.faults.scenarios import process

from .days import small

test_promises_are_kept_on_a_bad_day = small(process)
