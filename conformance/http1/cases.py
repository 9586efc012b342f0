"""The corpus as data: what each case sends, and what may come of it. `corpus/README.md` is the format for authors."""

from __future__ import annotations

import itertools
import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

CORPUS = Path(__file__).parent / "corpus"
FILES = (
    *("message", "target", "host", "fields", "length", "chunked", "connection", "methods", "responses"),
    *("conditional", "negotiation", "caching", "smuggling"),
)
"""In the order of the table."""
LEVELS = ("MUST", "SHOULD", "MAY", "ours")
_KEYS = {
    "name",
    "rfc",
    "level",
    "rule",
    "send",
    "allow",
    "ours",
    "given",
    "has",
    "lacks",
    "body",
    "then",
    "needs",
}
_ESCAPE = re.compile(r"\\x[0-9a-fA-F]{2}|\\.|\{[^{}]+\*\d+\}|\n", re.S)
_number = itertools.count(1)


@dataclass(frozen=True)
class Case:
    """One case. `id` is file/name."""

    id: str
    rfc: str
    level: str
    rule: str
    send: str
    """As written; see `parts`."""
    allow: tuple[str, ...]
    """What the RFC allows, each the statuses in order and perhaps `close` or `keep`; see `judge.matches`."""
    ours: tuple[str, ...]
    """What Freshwire answers of that; empty: any."""
    given: tuple[dict[str, Any], ...] | None
    """What the application is given, in order; None: what it answered, and nothing else."""
    has: dict[str, str]
    """Fields of the last answer, each with a pattern for its whole value."""
    lacks: tuple[str, ...]
    """Fields that it must not have."""
    body: str | None
    """A pattern for its whole content."""
    then: str
    """What the client does next: `probe` (asks once more), or `eof` (ends its side)."""
    needs: str
    """What a server must be for the case to make sense: nothing, `cache`, or `freshwire`."""
    requests: tuple[tuple[str, int], ...] = field(default=())
    """Method and minor version of each request, as far as the bytes show them."""

    def parts(self) -> list[bytes]:
        """The bytes, cut where the client waits for an answer. `$n` is another number each time."""
        return [_bytes(part) for part in self.send.replace("$n", f"{next(_number)}").split(r"\w")]

    @property
    def refuses(self) -> bool:
        """Whether every way is a refusal, whatever the application."""
        return not any(word[0] in "123" for way in self.allow for word in way.split())

    @property
    def most(self) -> int:
        """The most final answers that are allowed."""
        return max(len(re.findall(r"\b[2-5][0-9x]{2}\b|\b101\b", way)) for way in self.allow)


def _bytes(text: str) -> bytes:
    def one(match: re.Match[str]) -> str:
        found = match[0]
        if found == "\n":
            return "\r\n"
        if found[0] == "{":
            char, times = found[1:-1].rsplit("*", 1)
            return (_bytes(char).decode("latin-1")) * int(times)
        if found[1] == "x":
            return chr(int(found[2:], 16))
        return {"r": "\r", "n": "\n", "t": "\t", "0": "\0", "\\": "\\", "\n": ""}[found[1]]

    return _ESCAPE.sub(one, text).encode("latin-1")


def load() -> list[Case]:
    """Every case. Raises ValueError for one that is not well-formed."""
    cases = [
        _case(file, entry)
        for file in FILES
        for entry in tomllib.loads((CORPUS / f"{file}.toml").read_text())["case"]
    ]
    twice = {case.id for case in cases if sum(case.id == other.id for other in cases) > 1}
    if twice:
        raise ValueError(f"more than one case is called {', '.join(sorted(twice))}")
    return cases


def _case(file: str, entry: dict[str, Any]) -> Case:
    name = f"{file}/{entry.get('name', '?')}"
    if unknown := entry.keys() - _KEYS:
        raise ValueError(f"{name}: no such key: {', '.join(unknown)}")
    if entry.get("level") not in LEVELS:
        raise ValueError(f"{name}: the level is one of {', '.join(LEVELS)}")
    try:
        case = Case(
            id=name,
            rfc=entry["rfc"],
            level=entry["level"],
            rule=entry["rule"],
            send=entry["send"],
            allow=tuple(entry["allow"]),
            ours=tuple(entry.get("ours", ())),
            given=tuple(entry["given"]) if "given" in entry else None,
            has=entry.get("has", {}),
            lacks=tuple(entry.get("lacks", ())),
            body=entry.get("body"),
            then=entry.get("then", "probe"),
            needs=entry.get("needs", ""),
        )
    except KeyError as error:
        raise ValueError(f"{name}: {error} is missing") from None
    lines = re.findall(rb"(?<![A-Z])([A-Z]+) \S+ HTTP/1\.([01])\r?\n", b"".join(case.parts()))
    object.__setattr__(case, "requests", tuple((method.decode(), int(minor)) for method, minor in lines))
    return case
