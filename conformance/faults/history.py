"""What clients and writers wrote down, and what is wrong with it.

Everything is said in the order in which it happened, by one clock. A writer says when it begins to write a version and
when it was told that this is done; a client says what it asks for, what it is told, when its connection ends, and when
it leaves of its own will. `Calm` says that nothing is wrong any more, and has not been for as long as watchers may
take.

Times err on the safe side: a question is noted before it is sent, an answer after it has come.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class Variant:
    """What a client asks for, and what a representation says that it is."""

    resource: int
    user: str | None = None
    language: str | None = None


@dataclass(frozen=True)
class Begun:
    """A version is about to be written."""

    at: float
    resource: int
    version: int


@dataclass(frozen=True)
class Acknowledged:
    """A version has been written and announced."""

    at: float
    resource: int
    version: int


@dataclass(frozen=True)
class Asked:
    """A client asks: once, or to follow from then on."""

    at: float
    client: str
    variant: Variant
    transport: Literal["get", "sse", "websocket", "poll"]

    @property
    def follows(self) -> bool:
        """Whether the client wants to hear of changes."""
        return self.transport != "get"


@dataclass(frozen=True)
class Got:
    """A client was given a representation."""

    at: float
    client: str
    variant: Variant
    version: int
    id: str = ""


@dataclass(frozen=True)
class Unchanged:
    """A client was told that what it has is still so (304)."""

    at: float
    client: str


@dataclass(frozen=True)
class Ended:
    """What a client asked for is over: answered (200), refused with another status or close code, or broken off."""

    at: float
    client: str
    status: int | None = None
    reason: str = ""


@dataclass(frozen=True)
class Left:
    """A client has gone of its own will."""

    at: float
    client: str


@dataclass(frozen=True)
class Calm:
    """Whoever follows should have what is newest by now."""

    at: float


Record = Begun | Acknowledged | Asked | Got | Unchanged | Ended | Left | Calm
Kind = Literal["lost", "backward", "phantom", "stale", "foreign"]


@dataclass(frozen=True)
class Finding:
    """A broken promise."""

    kind: Kind
    at: float
    client: str
    what: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.client} at {self.at:.3f}: {self.what}"


@dataclass
class _Client:
    """What is known of a client so far."""

    variant: Variant
    follows: bool = False
    open: bool = False
    last: int = -1
    """The version that it has."""
    floor: int = -1
    """What it asks for now may not be older than this."""
    why: str = ""


@dataclass
class _Known:
    """What is known of all."""

    begun: dict[int, int] = field(default_factory=dict)
    acknowledged: dict[int, int] = field(default_factory=dict)
    told: dict[Variant, int] = field(default_factory=dict)
    """The newest that followers of a variant were told of."""
    clients: dict[str, _Client] = field(default_factory=dict)


def check(history: Iterable[Record]) -> list[Finding]:
    """Every broken promise in a history."""
    known, findings = _Known(), list[Finding]()
    for record in history:
        findings += _look(known, record)
    return findings


def _look(known: _Known, record: Record) -> Iterable[Finding]:
    match record:
        case Begun(resource=resource, version=version):
            known.begun[resource] = max(version, known.begun.get(resource, 0))
        case Acknowledged(resource=resource, version=version):
            known.acknowledged[resource] = max(version, known.acknowledged.get(resource, 0))
        case Asked(client=name, variant=variant):
            client = known.clients.setdefault(name, _Client(variant))
            client.variant, client.follows, client.open = variant, record.follows, True
            acknowledged = known.acknowledged.get(variant.resource, 0)
            told = known.told.get(variant, 0)
            client.floor = max(acknowledged, told)
            client.why = "had been acknowledged" if acknowledged >= told else "somebody had been told of"
        case Got(client=name):
            yield from _got(known, known.clients[name], record)
        case Unchanged(client=name):
            client = known.clients[name]
            if client.last < client.floor:
                yield Finding(
                    "stale", record.at, name, f"{client.last} unchanged, {client.floor} {client.why}"
                )
        case Ended(client=name):
            # Who was answered and follows asks again.
            known.clients[name].open = record.status == 200
        case Left(client=name):
            known.clients[name].open = known.clients[name].follows = False
        case Calm():
            for name, client in known.clients.items():
                newest = known.acknowledged.get(client.variant.resource, 0)
                if client.follows and not client.open:
                    yield Finding("lost", record.at, name, "it is cut off")
                elif client.follows and client.last < newest:
                    yield Finding("lost", record.at, name, f"it has {client.last}, newest is {newest}")


def _got(known: _Known, client: _Client, got: Got) -> Iterable[Finding]:
    def finding(kind: Kind, what: str) -> Finding:
        return Finding(kind, got.at, got.client, f"{got.version} of {got.variant}: {what}")

    if got.variant != client.variant:
        yield finding("foreign", f"it asked for {client.variant}")
        return
    newest = known.begun.get(got.variant.resource, 0)
    if not 0 <= got.version <= newest:
        yield finding("phantom", f"{newest} is the newest that there can be")
        return
    if got.version < client.floor:
        yield finding("stale", f"{client.floor} {client.why} before it asked")
    if client.follows and got.version < client.last:
        yield finding("backward", f"it had {client.last}")
    client.last = got.version
    if client.follows:
        known.told[got.variant] = max(got.version, known.told.get(got.variant, 0))
