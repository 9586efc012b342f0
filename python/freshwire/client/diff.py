"""What changed between two representations, as lines for a person; pure functions."""

from __future__ import annotations

import difflib
import itertools
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]

ABSENT = object()
"""Stands for what is not there, which is not null."""
PLAIN_NAME = re.compile(r"[^\W\d][\w-]*")
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


@dataclass(frozen=True, slots=True)
class Change:
    """One place where two JSON documents differ."""

    path: str
    """Where, as `flights[3].status`; "" is the whole document."""
    old: object
    """What was there, or ABSENT."""
    new: object
    """What is there now, or ABSENT."""

    def __str__(self) -> str:
        path = self.path or "(all)"
        if self.old is ABSENT:
            return f"+ {path}: {text(self.new)}"
        if self.new is ABSENT:
            return f"- {path}: {text(self.old)}"
        return f"{path}: {text(self.old)} → {text(self.new)}"


def changes(old: Json, new: Json, path: str = "") -> Iterator[Change]:
    """Where two JSON documents differ, in the order of the new one.

    Lists of objects that have an `id` are compared by it, others by the common parts that difflib finds, so
    that an insertion is one change.
    """
    if isinstance(old, dict) and isinstance(new, dict):
        yield from _objects(old, new, path)
    elif isinstance(old, list) and isinstance(new, list):
        yield from _lists(old, new, path)
    elif type(old) is not type(new) or old != new:
        yield Change(path, old, new)


def _objects(old: dict[str, Json], new: dict[str, Json], path: str) -> Iterator[Change]:
    """Compare member by member."""
    for name, value in new.items():
        if name in old:
            yield from changes(old[name], value, _member(path, name))
        else:
            yield Change(_member(path, name), ABSENT, value)
    for name, value in old.items():
        if name not in new:
            yield Change(_member(path, name), value, ABSENT)


def _lists(old: list[Json], new: list[Json], path: str) -> Iterator[Change]:
    """Compare what belongs together: items of the same identity, else of the same place between common
    parts.
    """
    matcher = difflib.SequenceMatcher(None, _identities(old), _identities(new), autojunk=False)
    for kind, start, end, new_start, new_end in matcher.get_opcodes():
        together = min(end - start, new_end - new_start) if kind in ("equal", "replace") else 0
        for offset in range(together):
            yield from changes(old[start + offset], new[new_start + offset], f"{path}[{new_start + offset}]")
        for index in range(new_start + together, new_end):
            yield Change(f"{path}[{index}]", ABSENT, new[index])
        for index in range(start + together, end):
            yield Change(f"{path}[{index}]", old[index], ABSENT)


def _identities(items: list[Json]) -> list[str]:
    """What tells the items of a list apart: their `id` if each has one of its own, else all of them."""
    ids = [text(item["id"]) for item in items if isinstance(item, dict) and "id" in item]
    return ids if len(ids) == len(items) == len(set(ids)) else [text(item) for item in items]


def _member(path: str, name: str) -> str:
    """The path of an object's member."""
    if PLAIN_NAME.fullmatch(name):
        return f"{path}.{name}" if path else name
    return f"{path}[{text(name)}]"


def text(value: object) -> str:
    """JSON on one line."""
    return json.dumps(value, ensure_ascii=False)


def text_changes(old: str, new: str) -> list[str]:
    """The lines that differ, with `-` and `+`, without context."""
    lines = difflib.unified_diff(old.splitlines(), new.splitlines(), n=0, lineterm="")
    differing = (line for line in itertools.islice(lines, 2, None) if not line.startswith("@@"))
    return [f"{line[0]} {line[1:]}" for line in differing]


def printable(line: str) -> str:
    """Text that leaves a terminal as it is: control characters shown, not sent."""
    return CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", line)
