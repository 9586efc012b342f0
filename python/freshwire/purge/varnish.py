"""Varnish: `PURGE` with the keys in `xkey`, as docs/behind/varnish.vcl takes it.

What the VCL makes of it is its own business: a ban on the field, or `xkey.purge` of varnish-modules, which has
an index. `xkey-soft` is for `xkey.softpurge`. `*` is everything.
"""

from __future__ import annotations

from typing import ClassVar

import httpx
from pydantic import Field

from freshwire.purge.cache import Address, Cache, Names


class Varnish(Cache):
    """One Varnish server, whose VCL purges on request."""

    FIELD: ClassVar[str] = "xkey"
    MAX_NAMES: ClassVar[int] = 100
    """Varnish takes fields of 8 KiB (`http_req_hdr_len`), and a key has 16 characters."""

    url: Address
    """Where it listens: http://127.0.0.1:6081"""
    host: str = Field("", pattern=r"^[A-Za-z0-9._:\[\]-]*$")
    """The host that its VCL answers to; empty: the one in `url`."""
    soft: bool = False
    """Keep what is purged as stale, for `grace`: needs `xkey.softpurge` in the VCL."""

    async def purge(self, http: httpx.AsyncClient, names: Names, *, settled: bool) -> None:
        """One request; every worker thread sees its effect when the answer comes."""
        await self._tell(http, "xkey-soft" if self.soft else "xkey", " ".join(names.keys))

    async def purge_everything(self, http: httpx.AsyncClient, *, settled: bool) -> None:
        """The same with `*`."""
        await self._tell(http, "xkey", "*")

    async def _tell(self, http: httpx.AsyncClient, field: str, value: str) -> None:
        headers = {field: value} | ({"host": self.host} if self.host else {})
        await self.ask(http, "PURGE", f"{self.url}/", headers=headers)
