"""The flags that `serve`, `dev`, `proxy` and `config` share: one declaration each, and the option that each one sets.

A flag that is not given says nothing, so that the environment and pyproject.toml are asked next.
"""

from __future__ import annotations

import functools
import inspect
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from enum import Enum, StrEnum
from typing import Annotated, Any

import typer

from freshwire.exceptions import OptionError

Command = Callable[..., None]


class LogLevel(StrEnum):
    """What is logged."""

    critical = "critical"
    error = "error"
    warning = "warning"
    info = "info"
    debug = "debug"


class Lifespan(StrEnum):
    """Whether the application's startup and shutdown run."""

    auto = "auto"
    on = "on"
    off = "off"


ADDRESS, APPLICATION, LIMITS, SECURITY = "Addresses", "Application", "Limits and times", "Who may connect"
UPSTREAM = "Upstreams"


def _flag(
    option: str, kind: Any, *names: str, panel: str, text: str, metavar: str | None = None
) -> inspect.Parameter:
    """One flag, as a parameter of a command."""
    return inspect.Parameter(
        option,
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[
            kind, typer.Option(*names, help=text, rich_help_panel=panel, metavar=metavar, show_default=False)
        ],
    )


FLAGS = (
    _flag("host", str | None, "--host", panel=ADDRESS, text="Address to listen on (127.0.0.1)."),
    _flag("port", int | None, "--port", panel=ADDRESS, text="Port to listen on, 0 for a free one (8000)."),
    _flag(
        "bind",
        list[str] | None,
        "--bind",
        panel=ADDRESS,
        metavar="ADDRESS",
        text="Listen here instead: host:port, [::1]:8000 (IPv6 only), unix:/path, fd://3. Repeatable.",
    ),
    _flag(
        "admin_socket",
        str | None,
        "--admin-socket",
        panel=ADDRESS,
        metavar="PATH",
        text="Unix socket for changes from other processes and for figures; off for none.",
    ),
    _flag(
        "factory", bool | None, "--factory/--no-factory", panel=APPLICATION, text="APP makes the application."
    ),
    _flag(
        "app_dir",
        str | None,
        "--app-dir",
        panel=APPLICATION,
        metavar="DIR",
        text="Where to import APP from (.).",
    ),
    _flag(
        "root_path",
        str | None,
        "--root-path",
        panel=APPLICATION,
        text="Where a proxy mounts the application.",
    ),
    _flag(
        "lifespan", Lifespan | None, "--lifespan", panel=APPLICATION, text="Run startup and shutdown (auto)."
    ),
    _flag(
        "workers",
        int | None,
        "--workers",
        panel=APPLICATION,
        text="Application processes; only 1 exists for now.",
    ),
    _flag("log_level", LogLevel | None, "--log-level", panel=APPLICATION, text="What is logged (info)."),
    _flag(
        "access_log",
        bool | None,
        "--access-log/--no-access-log",
        panel=APPLICATION,
        text="A line a request, with position and cache status.",
    ),
    _flag(
        "purge",
        list[str] | None,
        "--purge",
        panel=APPLICATION,
        metavar="CACHE=WHICH",
        text="A cache in front, to purge of what changes: varnish=http://127.0.0.1:6081. Repeatable.",
    ),
    _flag(
        "allow_hosts",
        list[str] | None,
        "--allow-host",
        panel=SECURITY,
        metavar="NAME",
        text="A host name that is ours (*.name: subdomains); needed beyond this machine. Repeatable.",
    ),
    _flag(
        "allow_origins",
        list[str] | None,
        "--allow-origin",
        panel=SECURITY,
        metavar="ORIGIN",
        text="Another origin whose pages may watch and open WebSockets: https://app.example. Repeatable.",
    ),
    _flag(
        "proxy_headers",
        bool | None,
        "--proxy-headers/--no-proxy-headers",
        panel=SECURITY,
        text="Believe the forwarding fields of --forwarded-allow-ips (on).",
    ),
    _flag(
        "trusted_proxies",
        str | None,
        "--forwarded-allow-ips",
        panel=SECURITY,
        metavar="ADDRESSES",
        text="Proxies that are believed: addresses or networks, separated by commas; * for any (none).",
    ),
    _flag(
        "max_connections_per_address",
        int | None,
        "--max-connections-per-address",
        panel=LIMITS,
        text="0 is no limit (256).",
    ),
    _flag(
        "max_connections",
        int | None,
        "--max-connections",
        panel=LIMITS,
        text="0: what the descriptors allow (0).",
    ),
    _flag(
        "max_rereads_per_s",
        int | None,
        "--max-rereads",
        panel=LIMITS,
        text="Reads for watchers a second; 0 is no limit (10000).",
    ),
    _flag(
        "limit_concurrency",
        int | None,
        "--limit-concurrency",
        panel=LIMITS,
        text="Requests in the application at once, 503 above; 0 is no limit (0).",
    ),
    _flag(
        "max_body_bytes",
        int | None,
        "--max-body",
        panel=LIMITS,
        metavar="BYTES",
        text="Request body (1048576).",
    ),
    _flag(
        "max_message_bytes",
        int | None,
        "--max-message",
        panel=LIMITS,
        metavar="BYTES",
        text="WebSocket message (65536).",
    ),
    _flag(
        "app_timeout_s",
        float | None,
        "--app-timeout",
        panel=LIMITS,
        metavar="SECONDS",
        text="504 after it (60).",
    ),
    _flag(
        "keep_alive_timeout_s",
        float | None,
        "--timeout-keep-alive",
        panel=LIMITS,
        metavar="SECONDS",
        text="Idle connections are closed after it (75).",
    ),
    _flag(
        "drain_timeout_s",
        float | None,
        "--drain-timeout",
        panel=LIMITS,
        metavar="SECONDS",
        text="Connections end spread over it on SIGTERM (30).",
    ),
    _flag(
        "threads",
        int | None,
        "--threads",
        panel=LIMITS,
        text="Engine threads; 0: one less than the cores (0).",
    ),
    _flag(
        "set_options",
        list[str] | None,
        "--set",
        panel=LIMITS,
        metavar="NAME=VALUE",
        text="Any other option of `freshwire config`. Repeatable.",
    ),
)


APPLICATION_FLAGS = frozenset({"factory", "app_dir", "root_path", "lifespan", "workers"})
"""The options of flags that mean something only for an application of this process."""

PROXY_FLAGS = (
    _flag(
        "upstream_host",
        str | None,
        "--upstream-host",
        panel=UPSTREAM,
        metavar="HOST",
        text="The Host that upstreams are asked for (the client's).",
    ),
    _flag(
        "upstream_health_path",
        str | None,
        "--health-path",
        panel=UPSTREAM,
        metavar="PATH",
        text="What a healthy upstream answers with 2xx or 3xx (none is asked).",
    ),
    _flag(
        "max_upstream_connections",
        int | None,
        "--max-upstream-connections",
        panel=UPSTREAM,
        text="To each upstream; requests wait above (256).",
    ),
    _flag(
        "upstream_connect_timeout_s",
        float | None,
        "--connect-timeout",
        panel=UPSTREAM,
        metavar="SECONDS",
        text="Another upstream is tried after it, or 504 (3).",
    ),
    _flag(
        "upstream_idle_timeout_s",
        float | None,
        "--upstream-keep-alive",
        panel=UPSTREAM,
        metavar="SECONDS",
        text="How long an idle connection to an upstream is kept (4).",
    ),
)
"""The flags of `freshwire proxy` alone."""


def with_flags(
    *, without: Collection[str] = (), more: Sequence[inspect.Parameter] = ()
) -> Callable[[Callable[..., None]], Command]:
    """Give a command the flags; it gets those that were given as `flags`, by option.

    without: the options whose flags it has not.
    more: further flags.
    """
    flags = [*(flag for flag in FLAGS if flag.name not in without), *more]

    def decorate(command: Callable[..., None]) -> Command:
        @functools.wraps(command)
        def wrapper(**arguments: Any) -> None:
            given = {flag.name: arguments.pop(flag.name) for flag in flags}
            command(**arguments, flags=_options(given))

        signature = inspect.signature(command, eval_str=True)
        own = [parameter for parameter in signature.parameters.values() if parameter.name != "flags"]
        wrapper.__signature__ = signature.replace(  # type: ignore[attr-defined]
            parameters=[*own, *flags]
        )
        return wrapper

    return decorate


def _options(given: Mapping[str, Any]) -> dict[str, object]:
    """The options that were said. Raises OptionError for a --set that is not NAME=VALUE."""
    options: dict[str, object] = {
        name: value.value if isinstance(value, Enum) else value
        for name, value in given.items()
        if name != "set_options" and value is not None and value != []
    }
    for text in given["set_options"] or []:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise OptionError(f"--set {text}: write NAME=VALUE")
        options[name] = value
    return options


def as_arguments(options: Mapping[str, object]) -> list[str]:
    """Command-line arguments that say these options again, for a child process."""
    return [
        argument
        for name, value in options.items()
        for argument in ("--set", f"{name}={value if isinstance(value, str) else json.dumps(value)}")
    ]
