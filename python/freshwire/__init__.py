"""Freshwire: REST for the data, push for the change; every copy of a resource kept fresh, up to the
browser.
"""

from freshwire.exceptions import (
    AddressError,
    FollowError,
    FreshwireError,
    LoadError,
    NodeRefused,
    NodeUnreachable,
    OptionError,
    StreamTooLong,
    TagError,
    WatchEnded,
)
from freshwire.fresh import Fresh

__version__: str

__all__ = [
    "AddressError",
    "FollowError",
    "Fresh",
    "FreshwireError",
    "LoadError",
    "NodeRefused",
    "NodeUnreachable",
    "OptionError",
    "StreamTooLong",
    "TagError",
    "WatchEnded",
    "__version__",
]


def __getattr__(name: str) -> str:
    """Look up `__version__` when it is asked for: importing the package reads no files but its own."""
    if name != "__version__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("freshwire")
    except PackageNotFoundError:
        return "0+unknown"
