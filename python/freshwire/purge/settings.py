"""How an operator says which caches to purge: `--purge varnish=http://127.0.0.1:6081`, `FRESHWIRE_PURGE`, or
`[tool.freshwire.purge]`.

A setting of a cache is looked for in what was said, in `FRESHWIRE_PURGE_<CACHE>_<SETTING>`, and in the
variables that people have for that API already. Secrets cannot be said on the command line, where everybody on
the machine reads them, and are never printed.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any, get_args
from urllib.parse import parse_qsl

from pydantic import SecretStr, ValidationError

from freshwire.exceptions import OptionError
from freshwire.purge.akamai import Akamai
from freshwire.purge.bunny import Bunny
from freshwire.purge.cache import Cache
from freshwire.purge.cloudflare import Cloudflare
from freshwire.purge.cloudfront import CloudFront
from freshwire.purge.fastly import Fastly
from freshwire.purge.varnish import Varnish
from freshwire.purge.webhook import Webhook

CACHES: Mapping[str, type[Cache]] = {
    cache.kind(): cache for cache in (Varnish, Fastly, Cloudflare, CloudFront, Akamai, Bunny, Webhook)
}
"""Every cache that can be purged, by name."""
PREFIX = "FRESHWIRE_PURGE_"


def caches(said: Iterable[object]) -> list[Cache]:
    """The caches that were named, as text (`fastly=SERVICE?soft=true`) or as tables with `cache`.

    Raises OptionError that names each wrong setting, and never a value that may be secret.
    """
    return [_cache(*_parts(one)) for one in said]


def with_fields(options: Mapping[str, Any], caches: Iterable[Cache]) -> dict[str, Any]:
    """The engine's options, so that responses have the fields that these caches read keys from.

    Raises OptionError without a `tag_key`.
    """
    fields = [str(field) for field in options.get("tag_fields") or ()]
    for cache in caches:
        if not cache.FIELD:
            continue
        if not options.get("tag_key"):
            raise OptionError(
                f"purge: {cache.kind()} is purged by keys, which are tags hashed with a secret: set "
                "FRESHWIRE_TAG_KEY to 32 random bytes or more (openssl rand -hex 32), and keep it"
            )
        if cache.FIELD not in map(str.lower, fields):
            fields.append(cache.FIELD)
    return {**options, "tag_fields": fields}


def described(cache: Cache) -> dict[str, object]:
    """What an operator may be shown: settings that are not defaults, secrets hidden."""
    return {"cache": cache.kind(), **cache.model_dump(mode="json", exclude_defaults=True)}


def variables() -> set[str]:
    """The environment variables of all settings that are Freshwire's own."""
    return {_variable(kind, name) for kind, cache in CACHES.items() for name in cache.model_fields}


def _variable(kind: str, setting: str) -> str:
    return f"{PREFIX}{kind}_{setting}".upper()


def _is_secret(cache: type[Cache], setting: str) -> bool:
    field = cache.model_fields.get(setting)
    return field is not None and SecretStr in (field.annotation, *get_args(field.annotation))


def _kind(name: object) -> type[Cache]:
    """Raises OptionError."""
    if not isinstance(name, str) or name not in CACHES:
        raise OptionError(f"purge: there is no cache {name!r}; there are {', '.join(CACHES)}")
    return CACHES[name]


def _parts(said: object) -> tuple[type[Cache], dict[str, Any]]:
    """Which cache, and its settings. Raises OptionError."""
    if isinstance(said, Mapping):
        settings = {str(name).replace("-", "_"): value for name, value in said.items()}
        return _kind(settings.pop("cache", None)), settings
    if not isinstance(said, str):
        raise OptionError(f"purge: write CACHE=WHICH or a table, not {type(said).__name__}")
    name, _, rest = said.partition("=")
    cache = _kind(name)
    main, _, query = rest.partition("?")
    settings = dict(parse_qsl(query, keep_blank_values=True))
    for setting in settings:
        if _is_secret(cache, setting):
            raise OptionError(
                f"purge: {setting} of {name} is a secret, and this place is not: set "
                f"{cache.VARIABLES.get(setting) or _variable(name, setting)}"
            )
    if main:
        settings[cache.MAIN] = main
    return cache, settings


def _cache(cache: type[Cache], settings: dict[str, Any]) -> Cache:
    """Fill in what the environment says. Raises OptionError."""
    kind = cache.kind()
    for setting in cache.model_fields:
        names = (_variable(kind, setting), cache.VARIABLES.get(setting))
        found = next((os.environ[name] for name in names if name and os.environ.get(name)), None)
        if found is not None:
            settings.setdefault(setting, found)
    try:
        return cache.model_validate(settings)
    except ValidationError as error:
        raise OptionError("\n".join(_wrong(cache, detail) for detail in error.errors())) from None


def _wrong(cache: type[Cache], detail: Any) -> str:
    """Say what is wrong with one setting, without its value."""
    kind, name = cache.kind(), ".".join(map(str, detail["loc"]))
    if detail["type"] == "missing":
        variable = cache.VARIABLES.get(name) or _variable(kind, name)
        return f"purge: {kind} needs {name}: set {variable}, or {name} in [tool.freshwire.purge.{kind}]"
    if detail["type"] == "extra_forbidden":
        return f"purge: {kind} has no setting {name!r}; it has {', '.join(cache.model_fields)}"
    return f"purge: {name} of {kind}: {detail['msg']}"
