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

LONG = {
    "a_handler_hangs",
    "anything",
    "half_closes",
    "it_hogs_under_load",
    "it_is_replaced",
    "its_application_ends_it",
}
"""Only in the long run: the others show nearly as much in less time."""


def missing(name: str) -> str:
    """What a scenario needs and this machine lacks; "" if nothing."""
    if name == clients.vanish.__name__ and not clients.can_cut():
        return "root and ip(8)"
    if name == clock.the_clock_jumps.__name__ and not clock.can_fake():
        return "libfaketime"
    return ""
