"""Clients as the model knows them: who asks for what, and what each has been given."""

from dataclasses import dataclass, field
from typing import Literal

from .connections import Connection, Ended, Exchange, Fields
from .site import Resource, credentials

Transport = Literal["sse", "websocket", "deflate", "poll"]
TRANSPORTS: tuple[Transport, ...] = ("sse", "websocket", "deflate", "poll")


@dataclass(eq=False)
class Client:
    """Who asks for what: the same for all their requests and watches."""

    resource: Resource
    user: str | None
    language: str | None

    @property
    def fields(self) -> Fields:
        """The fields of their requests."""
        language = [("accept-language", self.language)] if self.language else []
        return [*credentials(self.user), *language]

    def __str__(self) -> str:
        return f"{self.user} {self.language} {self.resource.path}"


@dataclass(eq=False)
class Get:
    """A plain request under way."""

    client: Client
    exchange: Exchange
    since: int
    floor: dict[str, int]
    known: bytes | None
    """The body that its `If-None-Match` stands for."""
    head_only: bool = False
    alone: bool = False
    """It asks for a part: what is answered is not compared with what others have, and has no position."""


@dataclass(eq=False)
class Watcher:
    """A client that follows a resource, over one connection after the other."""

    client: Client
    connection: Connection | None = None
    transport: Transport = "sse"
    since: int = 0
    """When the connection was opened."""
    floor: dict[str, int] = field(default_factory=dict)
    """What had been announced by then."""
    opened: bool = False
    reading: bool = True
    body: bytes | None = field(default=None, repr=False)
    """The newest representation that it has."""
    position: str = ""
    """What to resume from; "" if that is not known."""
    etag: str = ""
    told: bool = False
    """It has them from a watch: a position that a plain request gave is one that nobody keeps."""
    streamed: bool = False
    """What it has was streamed by a plain request: no watch knows of it, so none goes on from it."""
    got: int = 0
    """Representations over this connection."""
    ended: Ended | None = None
    settled: int = -1
    """When it was last known to have the current representation, and that nobody would send it anything."""
    silent: bool = False
    """It resumed with what is current: until something happens it must hear nothing."""
