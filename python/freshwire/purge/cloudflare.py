"""Cloudflare: purge by cache tag, up to 100 a request, as often as the plan allows.

https://developers.cloudflare.com/cache/how-to/purge-cache/
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import httpx
from pydantic import Field, SecretStr

from freshwire.purge.cache import Cache, Names, PurgeError, Rate, SecretAddress

PLANS = {"free": Rate(5 / 60, 25), "pro": Rate(5, 25), "business": Rate(10, 50), "enterprise": Rate(50, 500)}
"""Requests to purge that an account may make."""


class Cloudflare(Cache):
    """One zone."""

    FIELD: ClassVar[str] = "cache-tag"
    MAIN: ClassVar[str] = "zone"
    VARIABLES: ClassVar[Mapping[str, str]] = {"token": "CLOUDFLARE_API_TOKEN"}
    MAX_NAMES: ClassVar[int] = 100
    AT_ONCE: ClassVar[int] = 4

    zone: str = Field(pattern=r"^[0-9a-f]{32}$")
    """The zone's ID."""
    token: SecretStr = Field(min_length=1)
    """An API token with the permission Cache Purge for the zone."""
    plan: Literal["free", "pro", "business", "enterprise"] = "free"
    """Says how often the zone may be purged."""
    url: SecretAddress = "https://api.cloudflare.com/client/v4"

    @property
    def rate(self) -> Rate:
        """As the plan allows."""
        return PLANS[self.plan]

    async def purge(self, http: httpx.AsyncClient, names: Names, *, settled: bool) -> None:
        """Purging is complete some 150 ms after the answer, which the API does not tell."""
        await self._purge_cache(http, {"tags": list(names.keys)})

    async def purge_everything(self, http: httpx.AsyncClient, *, settled: bool) -> None:
        """The whole zone."""
        await self._purge_cache(http, {"purge_everything": True})

    async def _purge_cache(self, http: httpx.AsyncClient, body: Mapping[str, Any]) -> None:
        response = await self.ask(
            http,
            "POST",
            f"{self.url}/zones/{self.zone}/purge_cache",
            headers={"authorization": f"Bearer {self.token.get_secret_value()}"},
            json=body,
        )
        try:
            answer = response.json()
            success = answer["success"]
        except (ValueError, KeyError, TypeError):
            raise PurgeError("an answer that is not the API's") from None
        if success is not True:
            raise PurgeError(f"not successful: {str(answer.get('errors'))[:200]}", lasting=True)
