"""The bad days of `clock` and `limits` in `conformance.faults.scenarios`, small."""

from conformance.faults.scenarios import clock, limits

from .days import small

test_promises_are_kept_on_a_bad_day = small(clock, limits)
