"""Nodes with an application of any framework."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from boards import FRAMEWORKS, Board, board
from freshwire.testing import LiveNode


@pytest.fixture(scope="module", params=FRAMEWORKS)
def any_board(request: pytest.FixtureRequest) -> Iterator[Board]:
    with board(request.param) as made:
        yield made


@pytest.fixture
def live(any_board: Board, freshwire_node: Callable[..., LiveNode]) -> LiveNode:
    """A node that serves the board."""
    any_board.scores.update(a=0, b=0)
    return freshwire_node(any_board.app)
