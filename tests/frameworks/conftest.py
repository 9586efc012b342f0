"""One node for the board of each framework."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from freshwire.testing import LiveNode, node

from .boards import FRAMEWORKS, Board, board


@pytest.fixture(scope="module", params=FRAMEWORKS)
def served(request: pytest.FixtureRequest) -> Iterator[tuple[Board, LiveNode]]:
    with board(request.param) as made, node(made.app) as live:
        yield made, live


@pytest.fixture
def any_board(served: tuple[Board, LiveNode]) -> Board:
    """The board of any framework, as it was."""
    made, live = served
    made.scores.update(a=0, b=0)
    live.changed("score:a", "score:b")
    return made


@pytest.fixture
def live(served: tuple[Board, LiveNode], any_board: Board) -> LiveNode:
    """The node that serves it."""
    return served[1]
