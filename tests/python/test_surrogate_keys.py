"""The keys that purgers purge by: the same here as in the engine, whose tests have the same vector."""

from __future__ import annotations

import pytest
from freshwire import _engine

SECRET = "0123456789abcdef0123456789abcdef"


def test_the_keys_are_those_of_the_vector_each_once() -> None:
    keys = _engine.surrogate_keys(SECRET, ["score:7", "Mannschaft:ä", "score:7"])
    assert keys == ["ATWbsyWLW_y3djLX", "0PXxQvgPl7LngnEN", "fBLV9GQva1YIJrw0", "wwRZoSZFfsMD_LHK"]


def test_a_secret_that_can_be_guessed_is_refused_and_not_repeated() -> None:
    with pytest.raises(ValueError, match="32 bytes") as refused:
        _engine.surrogate_keys("hunter2", ["a"])
    assert "hunter2" not in str(refused.value)
