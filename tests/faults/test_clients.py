"""The bad days of `clients` in `conformance.faults.scenarios`, small."""

from conformance.faults.scenarios import clients

from .days import small

test_promises_are_kept_on_a_bad_day = small(clients)
