"""The native engine, as Python sees it. Everything here may be called from any thread unless it says otherwise."""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from contextvars import ContextVar
from typing import Any

class Engine:
    """The engine's threads, its listeners and its cache, whatever application stands behind it."""

    def __init__(self, options: str, listeners: Sequence[tuple[int, str, str]]) -> None:
        """Take over listening sockets; nothing runs yet.

        options: JSON object of the engine's options (see `default_options`).
        listeners: (file descriptor, "public" or "admin", address as text: "127.0.0.1:8000", "[::1]:8000" or
            "unix:/path") each; the node owns the descriptors from now on.

        Raises ValueError for an unknown option, a value out of range, or a combination that is not safe.
        """

    def changed(self, tags: Sequence[str]) -> str:
        """Record that these tags changed; the position, as `<epoch>-<offset>`.

        Does not block. Raises ValueError for a tag that is empty, too long or has control characters, or too many.
        """

    def purging(self) -> Purges:
        """Collect what must leave the caches in front, from now on; once, before `start`."""

    def position(self) -> str:
        """The newest position."""

    def stats(self) -> str:
        """The node's figures as a JSON object."""

class Node(Engine):
    """A node with an ASGI application of this process."""

    def start(
        self,
        app: Callable[..., Awaitable[None]],
        loop: asyncio.AbstractEventLoop,
        on_error: Callable[[str, BaseException | None], None],
        state: MutableMapping[str, Any] | None,
        root_path: str,
    ) -> None:
        """Start the threads and accept connections. Called on the loop's thread, once, after lifespan startup.

        on_error: called on the loop's thread when the application raises or breaks the ASGI protocol.
        state: the lifespan's state; each request's scope gets a shallow copy. None: no "state" in scopes.
        """

    def fileno(self) -> int:
        """The eventfd to watch with `loop.add_reader(node.fileno(), node.drain)`."""

    def drain(self) -> None:
        """Deliver what the engine has for Python. Only on the loop's thread."""

    def shutdown(self, done: Callable[[], None]) -> None:
        """Stop accepting, end push sessions spread over `drain_timeout_s`, finish requests, then end.

        done: called on the loop's thread when no connection is left, or the timeout has passed. A second call ends
        everything at once.
        """

    def join(self) -> None:
        """Wait for the engine's threads to end, without holding the interpreter."""

class ProxyNode(Engine):
    """A node with an HTTP server, or several, as the application: the option `upstreams`."""

    def start(self) -> None:
        """Start the threads and accept connections; once."""

    def fileno(self) -> int:
        """The eventfd to watch with `loop.add_reader(node.fileno(), ...)`: then there are `reports`."""

    def reports(self) -> list[str]:
        """What the operator should know of the upstreams since the last call, a sentence each."""

    def shutdown(self) -> None:
        """Stop accepting, end push sessions spread over `drain_timeout_s`, finish requests, then end: see `join`.

        A second call ends everything at once.
        """

    def join(self) -> None:
        """Wait for the threads to end, without holding the interpreter."""

class Purges:
    """What must leave the caches in front of a node."""

    def fileno(self) -> int:
        """The eventfd to watch with `loop.add_reader(purges.fileno(), ...)`: then something is `due`."""

    def due(self) -> tuple[list[str], list[str], bool, int]:
        """Take what must leave the caches.

        The tags; the URIs of the resources that were written to; whether everything must leave, as too much was due to
        be kept apart; and the offset of the newest change that is part of it, for `purged`.
        """

    def purged(self, offset: int) -> None:
        """All changes up to this offset have left the caches, or will not for all waiting.

        Watchers are told of those changes now, if `pin` is off and they have not been.
        """

    def report(self, purges: int, failures: int, everything: int, waiting: int) -> None:
        """Set the node's figures `purges`, `purge_failures`, `purges_of_everything` and `purges_waiting`."""

class Exchange:
    """One request as the application sees it; what `current` holds while a handler runs."""

    def depends_on(self, tags: Sequence[str]) -> None:
        """Add tags to the response. Raises ValueError for a bad tag, RuntimeError once its head has been sent."""

current: ContextVar[Exchange | None]
"""The exchange that the running code answers; inherited by tasks and by `asyncio.to_thread`. Default None."""

def default_options() -> str:
    """Every option with its default, as a JSON object in the order of the documentation."""

def option_meanings() -> list[tuple[str, str]]:
    """(name, one sentence with the unit) of every option."""

def surrogate_keys(tag_key: str, tags: Sequence[str]) -> list[str]:
    """The keys by which a purge reaches every response that depends on one of these tags, each once.

    They are the same in every field of the option `tag_fields`, in every node with this `tag_key`, and after a restart.
    A tag is the name of one, or the URI of a resource as its node has it (`http://example.org/scores/7`).

    Raises ValueError for a `tag_key` of less than 32 bytes.
    """

def load(options: str) -> str:
    """Run the load client (`freshwire bench`) without holding the interpreter; its report as a JSON object.

    options: JSON object of the options that `load/src/options.rs` lists, `seconds` among them.

    An interrupt ends it early, with what has been measured so far. Raises ValueError for an option that is unknown or
    wrong, and for what does not fit into this process.
    """
