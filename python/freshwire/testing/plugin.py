"""The pytest plugin: the fixture `freshwire_node`. Loaded by every pytest that has Freshwire installed, so it
is light.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from freshwire.testing import LiveNode


@pytest.fixture
def freshwire_node() -> Iterator[Callable[..., LiveNode]]:
    """Start nodes: `live = freshwire_node(app, max_body_bytes=10)`; they end with the test.

    Takes what `freshwire.testing.node` takes.
    """
    from freshwire.testing import node

    with contextlib.ExitStack() as stack:

        def start(app: Callable[..., Any], **options: Any) -> LiveNode:
            return stack.enter_context(node(app, **options))

        yield start
