"""`Fresh`: what an application says about its data: what a response depends on, and what has changed.

It holds no state and does no I/O of its own, so it can be made at import, in any process, with or without a
node.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from typing import TypeVar

from freshwire import admin, tags
from freshwire.exceptions import TagError

Handler = TypeVar("Handler", bound=Callable[..., object])


class Fresh:
    """The application's side of Freshwire: tags on responses, and changes.

    Outside a Freshwire node (plain uvicorn, a TestClient) tags do nothing and the application runs as it is.
    """

    def __init__(self, *, admin_socket: str | os.PathLike[str] | None = None) -> None:
        """Do nothing yet.

        admin_socket: the Unix socket of the node, for changes made in other processes; "off": there is no
            node, and changes made elsewhere are of no interest. None: FRESHWIRE_ADMIN_SOCKET, else
            `admin_socket` in pyproject.toml, else the node that was started in this process's current
            directory.
        """
        self._admin_socket = admin_socket

    def tags(self, *templates: str) -> Callable[[Handler], Handler]:
        """Decorate a handler: each response it returns depends on these tags (RFC 9875's cache groups).

        templates: text with fields for parameters of the handler or its route: `"match:{id}"`,
            `"match:{match.id}"`.

        Works on functions and methods, async or not, of FastAPI, Starlette, Django and whatever passes
        parameters as arguments or a request as one. It belongs below the framework's own decorator. A handler
        that raises leaves no tags.

        Raises TagError at decoration if a template is malformed or names what the handler cannot have, and at
        the request if it turns out to be absent or None.
        """
        parsed = [tags.Template.parse(template) for template in templates]
        return lambda handler: tags.tagged(handler, parsed, _add)

    def depends_on(self, *names: str) -> None:
        """Say, while a handler runs, that its response depends on these tags too.

        Works in threads that a framework or `asyncio.to_thread` starts for the request, until the response
        begins.

        Raises TagError for a bad tag, too many, or when the response has begun.
        """
        _add(tags.checked(names))

    async def changed(self, *names: str) -> str:
        """Say that what these tags name has changed; call it after the commit.

        Returns the position of the change, as `<epoch>-<offset>`: every response made at it or later reflects
        the change. Inside the node this does not wait for anything; elsewhere it asks the node over its admin
        socket.

        Raises TagError, NodeUnreachable, NodeRefused.
        """
        checked = _some(names)
        position = _changed_here(checked)
        if position is None:
            position = await asyncio.to_thread(self._tell, checked)
        return position

    def changed_sync(self, *names: str) -> str:
        """Like `changed`, for code that is not async; outside the node it blocks until the node answers."""
        checked = _some(names)
        position = _changed_here(checked)
        if position is None:
            position = self._tell(checked)
        return position

    def _tell(self, checked: Sequence[str]) -> str:
        """Tell the node of another process; blocks. Raises NodeUnreachable, TagError, NodeRefused."""
        return admin.post_changes(admin.find(self._admin_socket), checked)


def _some(names: Sequence[str]) -> list[str]:
    """At least one tag, each of them valid. Raises TagError."""
    if not names:
        raise TagError("changed() needs at least one tag")
    return tags.checked(names)


def _add(checked: Sequence[str]) -> None:
    """Add tags to the response that the running code makes, if it runs in a node. Raises TagError."""
    from freshwire._engine import current  # here: importing freshwire must stay cheap where no node is

    exchange = current.get()
    if exchange is None:
        return
    try:
        exchange.depends_on(checked)
    except ValueError as error:
        raise TagError(str(error)) from error
    except RuntimeError as error:
        raise TagError(f"the response has begun, so it cannot get the tags {', '.join(checked)}") from error


def _changed_here(checked: Sequence[str]) -> str | None:
    """Tell the node of this process; None: there is none. Raises TagError."""
    from freshwire.asgi.server import current_node  # here: as above

    node = current_node()
    if node is None:
        return None
    try:
        return node.changed(checked)
    except ValueError as error:
        raise TagError(str(error)) from error
