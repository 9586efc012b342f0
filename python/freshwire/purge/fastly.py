"""Fastly: purge by surrogate key, up to 256 a request, soft or hard.

https://www.fastly.com/documentation/reference/api/purging/
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import httpx
from pydantic import Field, SecretStr

from freshwire.purge.cache import Cache, Names, Rate, SecretAddress


class Fastly(Cache):
    """One Fastly service."""

    FIELD: ClassVar[str] = "surrogate-key"
    MAIN: ClassVar[str] = "service"
    VARIABLES: ClassVar[Mapping[str, str]] = {"token": "FASTLY_API_TOKEN"}
    MAX_NAMES: ClassVar[int] = 256
    AT_ONCE: ClassVar[int] = 4

    service: str = Field(pattern=r"^[A-Za-z0-9]+$")
    """The service's ID."""
    token: SecretStr = Field(min_length=1)
    """An API token with the scopes purge_select and purge_all."""
    soft: bool = False
    """Keep what is purged as stale, for `stale-while-revalidate` and `stale-if-error`."""
    url: SecretAddress = "https://api.fastly.com"

    @property
    def rate(self) -> Rate:
        """100,000 purges an hour."""
        return Rate(25, 250)

    async def purge(self, http: httpx.AsyncClient, names: Names, *, settled: bool) -> None:
        """Purging is complete some 150 ms after the answer, which the API does not tell."""
        soft = {"fastly-soft-purge": "1"} if self.soft else {}
        await self.ask(
            http,
            "POST",
            f"{self.url}/service/{self.service}/purge",
            headers=self._headers() | soft,
            json={"surrogate_keys": list(names.keys)},
        )

    async def purge_everything(self, http: httpx.AsyncClient, *, settled: bool) -> None:
        """Always hard: there is no soft one."""
        await self.ask(http, "POST", f"{self.url}/service/{self.service}/purge_all", headers=self._headers())

    def _headers(self) -> dict[str, str]:
        return {"fastly-key": self.token.get_secret_value(), "accept": "application/json"}
