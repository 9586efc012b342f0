"""How much is measured: enough for figures, or just enough to see that everything runs."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sizes:
    idle: int = 15_000
    """Idle connections for the memory of one, and resources watched by one each."""
    warm_up: int = 500
    """Connections that came and went before."""
    topics: int = 100_000
    """Resources kept, and tags that changed."""
    arrivals: int = 2_500
    """Connections that come in a round."""
    storm: int = 15_000
    """Watchers that are cut off at once."""
    watchers: int = 5_000
    """Watchers for the CPU of a delivered message."""
    stalled: int = 200
    """Watchers that stop reading."""
    delay_watchers: int = 10_000
    """Watchers for the delay to the last of them."""
    rounds: int = 5
    """Rounds, each of which measures every side once."""
    peer_rounds: int = 2
    """The same where a peer is measured that no budget is about."""
    seconds: float = 4.0
    """Length of one measurement in a round."""
    peer_seconds: float = 2.0
    """The same of a peer; half of it where it is offered more than it can do, for it may take long to do it all."""
    settle_s: float = 1.0
    """Rest before memory is read and after the last change."""

    def of(self, *, rounds: int) -> Sizes:
        """The same with another number of rounds."""
        return dataclasses.replace(self, rounds=rounds, peer_rounds=min(rounds, self.peer_rounds))

    def as_json(self) -> dict[str, object]:
        return dataclasses.asdict(self)


FULL = Sizes()
QUICK = Sizes(
    idle=300,
    warm_up=50,
    topics=1_000,
    arrivals=300,
    storm=300,
    watchers=300,
    stalled=30,
    delay_watchers=300,
    rounds=1,
    peer_rounds=1,
    seconds=0.5,
    peer_seconds=0.5,
    settle_s=0.2,
)
