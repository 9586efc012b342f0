"""A webhook: whatever else must know, as JSON.

`{"everything": false, "keys": [...], "tags": [...], "urls": [...]}`; any 2xx is the acknowledgement.
"""

from __future__ import annotations

from typing import ClassVar

import httpx
from pydantic import SecretStr

from freshwire.purge.cache import Cache, Names, SecretAddress


class Webhook(Cache):
    """An endpoint of the operator's own."""

    NAMES: ClassVar[bool] = True
    MAX_NAMES: ClassVar[int] = 1000

    url: SecretAddress
    """What is posted to. Tags are named there as the application names them: https, or this machine."""
    token: SecretStr | None = None
    """Sent as `Authorization: Bearer`."""

    async def purge(self, http: httpx.AsyncClient, names: Names, *, settled: bool) -> None:
        """One request."""
        await self._post(http, names, everything=False)

    async def purge_everything(self, http: httpx.AsyncClient, *, settled: bool) -> None:
        """The same, with nothing named."""
        await self._post(http, Names(()), everything=True)

    async def _post(self, http: httpx.AsyncClient, names: Names, *, everything: bool) -> None:
        headers = {} if self.token is None else {"authorization": f"Bearer {self.token.get_secret_value()}"}
        await self.ask(
            http,
            "POST",
            self.url,
            headers=headers,
            json={
                "everything": everything,
                "keys": list(names.keys),
                "tags": list(names.tags),
                "urls": list(names.uris),
            },
        )
