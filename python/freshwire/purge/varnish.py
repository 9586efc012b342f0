"""Varnish: keys by the xkey module, or by a ban on the field; both as its VCL offers them (docs/purge.md).

`PURGE` with `xkey-purge` (or `xkey-softpurge`) needs vmod xkey from varnish-modules; `BAN` with `xkey-ban`
needs nothing but costs a look at every object.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import httpx

from freshwire.purge.cache import Address, Cache, Names


class Varnish(Cache):
    """One Varnish server, whose VCL purges on request."""

    FIELD: ClassVar[str] = "xkey"
    MAX_NAMES: ClassVar[int] = 100
    """Varnish takes fields of 8 KiB (`http_req_hdr_len`), and a key has 16 characters."""

    url: Address
    """Where it listens: http://127.0.0.1:6081"""
    mode: Literal["xkey", "soft", "ban"] = "xkey"
    """xkey: remove at once. soft: keep as stale, for `grace`. ban: without vmod xkey."""

    async def purge(self, http: httpx.AsyncClient, names: Names, *, settled: bool) -> None:
        """One request; every worker thread sees its effect when the answer comes."""
        if self.mode == "ban":
            # Keys are of one length and of letters, digits, - and _: none is a part of another, or means more.
            await self._tell(http, "BAN", "xkey-ban", "|".join(names.keys))
        else:
            field = "xkey-softpurge" if self.mode == "soft" else "xkey-purge"
            await self._tell(http, "PURGE", field, " ".join(names.keys))

    async def purge_everything(self, http: httpx.AsyncClient, *, settled: bool) -> None:
        """Ban whatever has a key."""
        await self._tell(http, "BAN", "xkey-ban", ".")

    async def _tell(self, http: httpx.AsyncClient, method: str, field: str, value: str) -> None:
        await self.ask(http, method, f"{self.url}/", headers={field: value})
