"""Every error that Freshwire raises on purpose, and whose fault each one is.

::

    FreshwireError
    ├── TagError            (ValueError)       the application: a tag or a template that cannot be meant
    ├── NodeUnreachable     (ConnectionError)  the operator: no node answers where one was expected
    ├── NodeRefused                            the caller: the node answered, and said no (RFC 9457)
    ├── OptionError         (ValueError)       the operator: an option that is unknown, wrong or not safe
    ├── AddressError        (OSError)          the operator: an address that cannot be listened on
    ├── LoadError                              the application: it cannot be imported or made
    ├── FollowError                            the server that `freshwire watch` follows: not an event stream
    │   └── StreamTooLong                      the same: one event larger than the limit
    └── WatchEnded                             nobody: the resource that was watched may not be read any more

`freshwire.asgi.lifespan.LifespanError` is the application's startup saying no.
"""

from __future__ import annotations


class FreshwireError(Exception):
    """What all the errors of this package have in common."""


class TagError(FreshwireError, ValueError):
    """A tag or a tag template that cannot be meant: empty, not text, or naming what the route has not."""


class NodeUnreachable(FreshwireError, ConnectionError):  # noqa: N818
    """No node answers on the admin socket; the text says which path was tried and what to do."""


class NodeRefused(FreshwireError):  # noqa: N818
    """The node answered a request on its admin socket with an error.

    status: the HTTP status.
    """

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class OptionError(FreshwireError, ValueError):
    """An option that does not exist, has a value it cannot have, or is not safe together with another."""


class AddressError(FreshwireError, OSError):
    """An address that cannot be listened on; the text says which and why."""


class LoadError(FreshwireError):
    """The application cannot be loaded; `__cause__` is what it raised, if it did."""


class FollowError(FreshwireError):
    """What is followed does not answer as an event stream, or cannot be reached at all."""


class StreamTooLong(FollowError):  # noqa: N818
    """One event of a stream is larger than the limit."""


class WatchEnded(FreshwireError):  # noqa: N818
    """A watch is over.

    status: the status that ended it (401, 403, 404, 410: the application's answer to the re-read), or None
        when the stream ended without one, as on a shutdown.
    """

    def __init__(self, status: int | None, reason: str = "") -> None:
        super().__init__(f"the watch ended with {status or 'no status'}{f': {reason}' if reason else ''}")
        self.status = status
        self.reason = reason
