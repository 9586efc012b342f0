"""Akamai: Fast Purge by cache tag, as much as 50,000 bytes hold.

https://techdocs.akamai.com/purge-cache/reference/api
"""

from __future__ import annotations

import asyncio
import datetime
import json
import uuid
from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar, Literal
from urllib.parse import urlsplit

import httpx
from pydantic import BeforeValidator, Field, SecretStr

from freshwire.purge.cache import Cache, Names, PurgeError, Rate, SecretAddress
from freshwire.purge.edgegrid import authorization

BUSY_PAUSE_S = 5.0
"""How long to wait after 429, seconds: the answer does not say."""
LONGEST_SETTLING_S = 60.0
"""What is believed of `estimatedSeconds`."""


def _with_scheme(text: str) -> str:
    """A credentials file names the host alone."""
    return text if "://" in text else f"https://{text}"


def _listed(value: object) -> object:
    """Numbers separated by commas are a list."""
    return value.split(",") if isinstance(value, str) else value


class Akamai(Cache):
    """The properties that an API client may purge."""

    FIELD: ClassVar[str] = "edge-cache-tag"
    VARIABLES: ClassVar[Mapping[str, str]] = {
        "url": "AKAMAI_HOST",
        "client_token": "AKAMAI_CLIENT_TOKEN",
        "client_secret": "AKAMAI_CLIENT_SECRET",
        "access_token": "AKAMAI_ACCESS_TOKEN",
    }
    MAX_NAMES: ClassVar[int] = 1000
    """A key has 16 characters: 20 bytes in a body of at most 50,000."""
    AT_ONCE: ClassVar[int] = 2

    url: Annotated[SecretAddress, BeforeValidator(_with_scheme)]
    """The API client's host: akab-....luna.akamaiapis.net"""
    client_token: str = Field(min_length=1)
    client_secret: SecretStr = Field(min_length=1)
    access_token: str = Field(min_length=1)
    network: Literal["production", "staging"] = "production"
    method: Literal["invalidate", "delete"] = "invalidate"
    """invalidate: ask the node whether it is current. delete: remove."""
    cp_codes: Annotated[tuple[int, ...], BeforeValidator(_listed)] = ()
    """What "everything" is. Without any, more than fits the queue cannot be purged."""

    @property
    def rate(self) -> Rate:
        """500 tags a minute are refilled, and 5,000 may wait: a request of many is refused when they are used
        up, and tried again.
        """
        return Rate(50, 100)

    async def purge(self, http: httpx.AsyncClient, names: Names, *, settled: bool) -> None:
        """One request; settled: and as long as the API says it takes."""
        await self._request(http, "tag", list(names.keys), settled=settled)

    async def purge_everything(self, http: httpx.AsyncClient, *, settled: bool) -> None:
        """The content provider codes of the settings."""
        if not self.cp_codes:
            raise PurgeError("everything cannot be purged without cp_codes", lasting=True)
        await self._request(http, "cpcode", self.cp_codes, settled=settled)

    async def _request(
        self, http: httpx.AsyncClient, what: str, objects: Sequence[str | int], *, settled: bool
    ) -> None:
        path = f"/ccu/v3/{self.method}/{what}/{self.network}"
        body = json.dumps({"objects": list(objects)}, separators=(",", ":")).encode()
        signature = authorization(
            "POST",
            urlsplit(self.url).netloc,
            path,
            body,
            client_token=self.client_token,
            access_token=self.access_token,
            client_secret=self.client_secret.get_secret_value(),
            now=datetime.datetime.now(datetime.UTC),
            nonce=str(uuid.uuid4()),
        )
        headers = {"authorization": signature, "content-type": "application/json"}
        try:
            response = await self.ask(http, "POST", self.url + path, headers=headers, content=body)
        except PurgeError as error:
            if str(error).startswith("429") and not error.retry_after_s:
                raise PurgeError(str(error), retry_after_s=BUSY_PAUSE_S) from None
            raise
        try:
            seconds = float(response.json()["estimatedSeconds"])
        except (ValueError, KeyError, TypeError):
            raise PurgeError("an answer that is not the API's") from None
        if settled:
            await asyncio.sleep(min(max(seconds, 0.0), LONGEST_SETTLING_S))
