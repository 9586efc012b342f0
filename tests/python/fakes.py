"""What stands for a node where a test needs none."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class Exchange:
    """Stands for the engine's exchange: keeps the tags it is given."""

    tags: list[str] = field(default_factory=list)
    refusal: Exception | None = None

    def depends_on(self, tags: list[str]) -> None:
        if self.refusal is not None:
            raise self.refusal
        self.tags += tags


@dataclass
class AdminSocket:
    """A node's admin socket, as far as changes go."""

    path: Path
    status: int = 200
    answer: object = field(default_factory=lambda: {"position": "e-1"})
    got: list[Any] = field(default_factory=list)
