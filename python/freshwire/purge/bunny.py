"""bunny.net: purge by cache tag, one a request.

https://docs.bunny.net/api-reference/core/pull-zone/purge-cache
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import httpx
from pydantic import Field, SecretStr

from freshwire.purge.cache import Cache, Names, Rate, SecretAddress


class Bunny(Cache):
    """One pull zone."""

    FIELD: ClassVar[str] = "cdn-tag"
    MAIN: ClassVar[str] = "zone"
    VARIABLES: ClassVar[Mapping[str, str]] = {"token": "BUNNY_API_KEY"}
    AT_ONCE: ClassVar[int] = 4

    zone: int = Field(gt=0)
    """The pull zone's ID."""
    token: SecretStr = Field(min_length=1)
    """The account's API key."""
    url: SecretAddress = "https://api.bunny.net"

    @property
    def rate(self) -> Rate:
        """What the account may ask by default."""
        return Rate(5, 120)

    async def purge(self, http: httpx.AsyncClient, names: Names, *, settled: bool) -> None:
        """The answer comes when the zone has been purged."""
        for key in names.keys:
            await self._purge_cache(http, {"CacheTag": key})

    async def purge_everything(self, http: httpx.AsyncClient, *, settled: bool) -> None:
        """The whole pull zone."""
        await self._purge_cache(http, {})

    async def _purge_cache(self, http: httpx.AsyncClient, body: Mapping[str, str]) -> None:
        await self.ask(
            http,
            "POST",
            f"{self.url}/pullzone/{self.zone}/purgeCache",
            headers={"accesskey": self.token.get_secret_value()},
            json=dict(body),
        )
