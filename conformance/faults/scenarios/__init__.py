"""The bad days, each a coroutine that takes how much, a seed and a folder, and raises AssertionError."""

from collections.abc import Callable, Coroutine
from pathlib import Path

from conformance.faults.trial import Size

from . import application, clients, clock, combined, limits, process

Scenario = Callable[[Size, int, Path], Coroutine[None, None, None]]

SCENARIOS: dict[str, Scenario] = {
    scenario.__name__: scenario
    for module in (application, clients, limits, process, clock, combined)
    for scenario in module.SCENARIOS
}
"""By name, in the order in which they are run."""
