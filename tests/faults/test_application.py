"""The bad days of `application` in `conformance.faults.scenarios`, small."""

from conformance.faults.scenarios import application

from .days import small

test_promises_are_kept_on_a_bad_day = small(application)
