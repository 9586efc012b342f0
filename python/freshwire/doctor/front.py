"""What stands in front of a node, told from what it adds to responses, and whether it answered from a copy. No I/O."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping

NODE = "freshwire"
"""How a node names itself in Cache-Status."""

Fields = Mapping[str, str]

SIGNS: dict[str, Callable[[Fields], bool]] = {
    "Cloudflare": lambda f: "cf-ray" in f or f.get("server", "").lower() == "cloudflare",
    "CloudFront": lambda f: "x-amz-cf-id" in f or "cloudfront" in f.get("via", "").lower(),
    "Fastly": lambda f: "x-fastly-request-id" in f or f.get("x-served-by", "").startswith("cache-"),
    "Varnish": lambda f: _varnish(f) and not f.get("x-served-by", "").startswith("cache-"),
    "nginx": lambda f: bool(re.match(r"(nginx|openresty|angie)\b", f.get("server", ""), re.I)),
    "Caddy": lambda f: "caddy" in f.get("server", "").lower() or "caddy" in f.get("via", "").lower(),
    "HAProxy": lambda f: "haproxy" in f.get("server", "").lower() or "haproxy" in f.get("via", "").lower(),
}
"""Each proxy, by the fields of a response that only it adds; a CDN first, as it is nearest to the client."""

REFUSALS = {
    "nginx": "<center>nginx",
    "HAProxy": "<h1>400 Bad request</h1>\nYour browser sent an invalid request.",
}
"""What they answer to what is not HTTP: HAProxy adds nothing to the responses of others."""


def _varnish(fields: Fields) -> bool:
    return "x-varnish" in fields or "varnish" in fields.get("via", "").lower()


def recognised(responses: Iterable[Fields], refusal: str = "") -> list[str]:
    """The proxies that responses have come through, the nearest to the client first.

    refusal: what was answered to a request that was not valid HTTP.
    """
    seen = list(responses)
    return [
        name
        for name, sign in SIGNS.items()
        if any(sign(fields) for fields in seen) or REFUSALS.get(name, "\0") in refusal
    ]


def members(field: str) -> list[tuple[str, dict[str, str]]]:
    """The members of a Cache-Status field (RFC 9211), with their parameters; the node's comes first."""
    found = []
    for member in re.findall(r'(?:"(?:\\.|[^"\\])*"|[^,"])+', field):
        name, *parameters = (part.strip() for part in member.split(";"))
        pairs = (parameter.partition("=") for parameter in parameters)
        found.append((name.strip('"'), {key: value.strip('"') for key, _, value in pairs}))
    return found


def is_node(fields: Fields) -> bool:
    """Whether a response has come from a node, on whatever way."""
    return "fresh-position" in fields or any(
        name == NODE for name, _ in members(fields.get("cache-status", ""))
    )


def from_copy(fields: Fields) -> bool | None:
    """Whether a cache in front of the node answered from a copy; None if nothing tells."""
    others = [what for name, what in members(fields.get("cache-status", "")) if name != NODE]
    if others:
        return any("hit" in what for what in others)
    for name in ("cf-cache-status", "x-cache", "x-cache-status", "x-proxy-cache"):
        if value := fields.get(name):
            return re.search(r"\b(refresh)?hit\b|\bstale\b", value, re.I) is not None
    if "x-varnish" in fields:
        return len(fields["x-varnish"].split()) > 1
    return None


def lifetime_s(fields: Fields, *, shared: bool = True) -> int | None:
    """The explicit lifetime that a response has in a cache, seconds; None if it states none."""
    directives = fields.get("cdn-cache-control", "") if shared and "cdn-cache-control" in fields else ""
    said = (directives or fields.get("cache-control", "")).lower()
    if re.search(r"\b(no-store|no-cache|private)\b", said):
        return 0
    for name in ("s-maxage", "max-age"):
        if found := re.search(rf"\b{name}\s*=\s*\"?(\d+)", said):
            return int(found[1])
    return None


def monitor(fields: Fields) -> str:
    """The target of `Link: <…>; rel="monitor"` (RFC 5989); empty if there is none."""
    for target, parameters in re.findall(r"<([^>]*)>([^<]*)", fields.get("link", "")):
        if re.search(r";\s*rel\s*=\s*\"?(?:[^\"]*\s)?monitor\b", parameters, re.I):
            return str(target)
    return ""


def position(text: str) -> tuple[str, int] | None:
    """A position's log and place in it: what is salted for a variant counts as its log's."""
    found = re.fullmatch(r"([0-9a-f]{8})[0-9a-f]*-(\d+)", text)
    return (found[1], int(found[2])) if found else None


def older(one: str, other: str) -> bool:
    """Whether a position is before another of the same log."""
    a, b = position(one), position(other)
    return a is not None and b is not None and a[0] == b[0] and a[1] < b[1]
