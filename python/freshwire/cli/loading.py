"""From `module:attribute` to an ASGI application, with errors that say whose fault it is."""

from __future__ import annotations

import importlib
import inspect
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from freshwire.exceptions import LoadError, OptionError

Application = Callable[..., Any]


def parse(text: str) -> tuple[str, str]:
    """Split `module:attribute`. Raises OptionError."""
    module, colon, attribute = text.partition(":")
    if not text:
        raise OptionError("say which application: `freshwire serve main:app` (module:attribute)")
    if "/" in module or module.endswith(".py"):
        meant = module.removesuffix(".py").strip("./").replace("/", ".")
        raise OptionError(
            f"{text!r} is a path; the application is written module:attribute: {meant}:{attribute or 'app'}"
        )
    if not colon or not module or not attribute:
        raise OptionError(
            f"{text!r} is not module:attribute; did you mean {module or 'main'}:{attribute or 'app'}?"
        )
    return module, attribute


def load(text: str, *, factory: bool = False, app_dir: str | Path = ".") -> Application:
    """Import an application.

    text: `module:attribute`, the attribute may have dots.
    factory: the attribute makes the application when it is called without arguments.
    app_dir: goes first into `sys.path`.

    Raises OptionError for text that cannot be meant; LoadError, caused by what the application's code raised.
    """
    module_name, path = parse(text)
    directory = str(Path(app_dir).resolve())
    if directory not in sys.path:
        sys.path.insert(0, directory)
    try:
        found: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise LoadError(f"importing {module_name!r} failed") from error
        raise LoadError(
            f"there is no module {error.name!r} in {directory} or on the path; is --app-dir right?"
        ) from None
    except (Exception, SystemExit) as error:
        raise LoadError(f"importing {module_name!r} failed") from error
    for name in path.split("."):
        try:
            found = getattr(found, name)
        except AttributeError:
            raise LoadError(f"{module_name!r} has no {path!r}{_candidates(found)}") from None
    if factory:
        try:
            found = found()
        except (Exception, SystemExit) as error:
            raise LoadError(f"the factory {text!r} failed") from error
    return _checked(text, found, factory=factory)


def _checked(text: str, found: Any, *, factory: bool) -> Application:
    """The application, if it can be one. Raises LoadError."""
    if not callable(found):
        raise LoadError(f"{text!r} is a {type(found).__name__}, not an ASGI application")
    if hasattr(found, "wsgi_app"):
        raise LoadError(f"{text!r} is a WSGI application; wrap it: a2wsgi.WSGIMiddleware(app)")
    if not factory and inspect.isfunction(found) and not inspect.signature(found).parameters:
        raise LoadError(f"{text!r} takes no arguments; if it makes the application, add --factory")
    return found  # type: ignore[no-any-return]


def _candidates(module: object) -> str:
    """What else in a module looks like an application."""
    names = [
        n
        for n, v in getattr(module, "__dict__", {}).items()
        if not n.startswith("_") and hasattr(v, "router")
    ]
    return f"; it has {', '.join(names)}" if names else ""


def explain(error: Exception, doing: str) -> str:
    """The text for a terminal: the traceback of what the application raised, without our own and the import
    system's frames, then what failed.
    """
    lines: list[str] = []
    cause = error.__cause__
    if cause is not None:
        report = traceback.TracebackException.from_exception(cause)
        report.stack = traceback.StackSummary.from_list(
            [
                frame
                for frame in report.stack
                if frame.filename != __file__
                and not frame.filename.startswith("<frozen importlib")
                and frame.filename != importlib.__file__
            ]
        )
        lines = list(report.format())
    return f"{''.join(lines)}cannot {doing} the application: {error}"
