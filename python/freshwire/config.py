"""Every option of a node: its value, where the value comes from, and what it means.

The options that the engine acts on come from the engine itself (`engine/src/limits.rs`), so that there is one
place for their names, units and defaults; those that Python acts on are `Settings`. A value comes from the
first of: a flag, the environment (`FRESHWIRE_<NAME>`), `[tool.freshwire]` in pyproject.toml, the default.

Called by the command line and by the test kit.
"""

from __future__ import annotations

import difflib
import functools
import json
import os
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, create_model

from freshwire import _engine, admin
from freshwire.exceptions import OptionError

if TYPE_CHECKING:
    from freshwire.purge import Cache

PREFIX = "FRESHWIRE_"
FLAG, PYPROJECT, DEFAULT = "flag", "pyproject.toml", "default"
UVICORN_NAMES = {
    "forwarded_allow_ips": "trusted_proxies",
    "timeout_keep_alive": "keep_alive_timeout_s",
    "timeout_graceful_shutdown": "drain_timeout_s",
    "ws_max_size": "max_message_bytes",
    "h11_max_incomplete_event_size": "max_head_bytes",
    "uds": "bind",
    "fd": "bind",
}
"""What uvicorn calls an option, for whoever writes that name from habit."""


SECRET = frozenset({"tag_key"})
"""Options whose value is never shown."""


def _listed(value: object) -> object:
    """A list from text: JSON, or separated by commas."""
    if not isinstance(value, str):
        return value
    if value.startswith("["):
        return json.loads(value)
    return [part.strip() for part in value.split(",") if part.strip()]


Texts = Annotated[list[str], BeforeValidator(_listed)]


def _tabled(value: object) -> object:
    """A list from a table of tables, by cache: `[tool.freshwire.purge.varnish]`, one or `[[several]]`."""
    if not isinstance(value, dict):
        return _listed(value)
    return [
        {"cache": cache, **one} if isinstance(one, dict) else f"{cache}={one}"
        for cache, some in value.items()
        for one in (some if isinstance(some, list) else [some])
    ]


Purges = Annotated[list[str | dict[str, Any]], BeforeValidator(_tabled)]


class Settings(BaseModel):
    """The options that Python acts on; `model()` adds the engine's."""

    model_config = ConfigDict(extra="forbid")

    app: str = Field("", description="The application, as module:attribute.")
    factory: bool = Field(False, description="The attribute is a function that makes the application.")
    app_dir: str = Field(".", description="Directory to import the application from.")
    root_path: str = Field("", description="Where a proxy mounts the application (ASGI's root_path).")
    lifespan: Literal["auto", "on", "off"] = Field(
        "auto", description="Run the application's startup and shutdown."
    )
    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8000, ge=0, le=65535, description="TCP port to listen on; 0: a free one.")
    bind: Texts = Field(
        [],
        description="Addresses to listen on instead of host and port: host:port, [::1]:8000, unix:/path, fd://3.",
    )
    backlog: int = Field(2048, ge=1, description="Connections that the kernel keeps waiting to be accepted.")
    admin_socket: str = Field(
        "",
        description="Unix socket of the admin listener; off: none; empty: one for this user and directory.",
    )
    purge: Purges = Field(
        [],
        description="Caches in front to purge of what changes: CACHE=WHICH, as varnish=http://127.0.0.1:6081.",
    )
    workers: int = Field(1, ge=1, description="Application processes; only 1 exists for now.")
    proxy_headers: bool = Field(True, description="Believe the forwarding fields of trusted_proxies.")
    log_level: Literal["critical", "error", "warning", "info", "debug"] = Field(
        "info", description="What is logged to standard error."
    )
    reload_dirs: Texts = Field([], description="Directories that `freshwire dev` watches; empty: app_dir.")


@functools.cache
def model() -> type[Settings]:
    """`Settings` with the engine's options as fields."""
    meanings = dict(_engine.option_meanings())
    fields: dict[str, Any] = {}
    for name, default in json.loads(_engine.default_options()).items():
        kind = Texts if isinstance(default, list) else type(default)
        fields[name] = (kind, Field(default, description=meanings[name].strip()))
    return cast(type[Settings], create_model("NodeSettings", __base__=Settings, **fields))


@dataclass(frozen=True, slots=True)
class Value:
    """One effective option."""

    name: str
    value: object
    source: str
    """"flag", the environment variable, "pyproject.toml", "dev" or "default"."""
    meaning: str


@dataclass(frozen=True, slots=True)
class Effective:
    """The options of one node."""

    settings: Settings
    sources: Mapping[str, str]
    """Where each value comes from that is not a default."""
    caches: Sequence[Cache] = field(default=())
    """The caches in front that are purged."""

    def values(self) -> list[Value]:
        """Every option, in the order of the documentation."""
        return [
            Value(name, self._shown(name), self.sources.get(name, DEFAULT), field.description or "")
            for name, field in model().model_fields.items()
        ]

    def _shown(self, name: str) -> object:
        """The value, or a word for a secret."""
        value = getattr(self.settings, name)
        if name == "purge" and value:
            from freshwire.purge import described

            return [described(cache) for cache in self.caches]
        return "(set)" if name in SECRET and value else value

    def engine(self) -> dict[str, object]:
        """The engine's own options."""
        options = {
            name: getattr(self.settings, name)
            for name in model().model_fields
            if name not in Settings.model_fields
        }
        if not self.settings.proxy_headers:
            options["trusted_proxies"] = []
        return options

    def addresses(self) -> list[str]:
        """The addresses to listen on: `bind`, unless host or port were said in a place that goes first."""
        by_port = min(self._rank("host"), self._rank("port"))
        settings = self.settings
        if by_port == self._rank("bind") == 0:
            raise OptionError("use --bind, or --host and --port: not both")
        if settings.bind and self._rank("bind") <= by_port:
            return list(settings.bind)
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        return [f"{host}:{settings.port}"]

    def texts(self, name: str) -> list[str]:
        """The value of an option that is a list."""
        return list(getattr(self.settings, name))

    def chosen(self, name: str) -> bool:
        """Whether somebody chose this option's value."""
        return name in self.sources

    def _rank(self, name: str) -> int:
        """0 for a flag, and larger the later its place is asked."""
        source = self.sources.get(name, DEFAULT)
        return 1 if source.startswith(PREFIX) else {FLAG: 0, PYPROJECT: 2}.get(source, 3)


def resolve(
    flags: Mapping[str, object],
    *,
    project: Path | None = None,
    defaults: Mapping[str, object] | None = None,
    defaults_source: str = "dev",
) -> Effective:
    """Put the options together.

    flags: what the command line said, by option.
    project: the directory of pyproject.toml; None: the current one.
    defaults: what a command has as defaults instead of the usual ones; `defaults_source` is its name.

    Raises OptionError that names each wrong option and where it was said.
    """
    values: dict[str, object] = {}
    sources: dict[str, str] = {}
    for source, layer in (
        (defaults_source, defaults or {}),
        (PYPROJECT, _project(project)),
        (PREFIX, _environment()),
        (FLAG, flags),
    ):
        for written, value in layer.items():
            name = written.replace("-", "_")
            if name not in model().model_fields:
                raise OptionError(_unknown(written, source))
            values[name] = value
            sources[name] = f"{PREFIX}{name.upper()}" if source == PREFIX else source
    try:
        settings = model().model_validate(values)
    except ValidationError as error:
        raise OptionError("\n".join(_wrong(detail, sources) for detail in error.errors())) from None
    if settings.workers > 1:
        raise OptionError(
            f"workers = {settings.workers}: more than one application process does not exist yet; "
            "one holds its connections in threads of its own, and the application can use threads (`def`)"
        )
    if not settings.purge:
        return Effective(settings, sources)
    from freshwire.purge import caches, with_fields  # here: it imports httpx, which takes its time

    named = caches(settings.purge)
    said = {name: getattr(settings, name) for name in ("tag_fields", "tag_key")}
    fields = with_fields(said, named)["tag_fields"]
    if fields != said["tag_fields"]:
        sources["tag_fields"] = "purge"
    return Effective(settings.model_copy(update={"tag_fields": fields}), sources, named)


def _environment() -> dict[str, str]:
    """What the environment says, by option, whatever the case of a name; an empty value says nothing."""
    said = {name.upper(): value for name, value in os.environ.items() if value}
    variables = {name: f"{PREFIX}{name.upper()}" for name in model().model_fields}
    return {name: said[variable] for name, variable in variables.items() if variable in said}


def unknown_variables() -> list[str]:
    """Environment variables that look like options and are none; others may have set them."""
    known = {f"{PREFIX}{name.upper()}" for name in model().model_fields}
    unknown = [name for name in os.environ if name.upper().startswith(PREFIX) and name.upper() not in known]
    if any(name.startswith(f"{PREFIX}PURGE_") for name in unknown):
        from freshwire.purge import variables

        known = variables()
        unknown = [name for name in unknown if name not in known]
    return sorted(unknown)


def _project(project: Path | None) -> Mapping[str, object]:
    """`[tool.freshwire]`. Raises OptionError if the file is not TOML."""
    try:
        return admin.project_table(project)
    except tomllib.TOMLDecodeError as error:
        raise OptionError(f"pyproject.toml: {error}") from None


def _unknown(name: str, source: str) -> str:
    """Say that there is no such option, and which one may have been meant."""
    plain = name.replace("-", "_")
    near = (
        [UVICORN_NAMES[plain]]
        if plain in UVICORN_NAMES
        else difflib.get_close_matches(plain, model().model_fields)
    )
    return f"there is no option {name!r} (from {source})" + (
        f": {near[0]}?" if near else "; see `freshwire config`"
    )


def _wrong(detail: Any, sources: Mapping[str, str]) -> str:
    """Say what is wrong with one value, and where it was said."""
    name = str(detail["loc"][0])
    value = "(set)" if name in SECRET or name == "purge" else repr(detail["input"])
    return f"{name} = {value} (from {sources.get(name, DEFAULT)}): {detail['msg']}"
