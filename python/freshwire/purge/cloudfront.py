"""Amazon CloudFront: invalidation by cache tag, an item `#tag` in the paths of CreateInvalidation.

https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/invalidation-by-tags.html; the distribution
must name `cache-tag` in its CacheTagConfig. Each tag that is invalidated counts as a path that is paid for.
"""

from __future__ import annotations

import asyncio
import datetime
import uuid
from collections.abc import Mapping, Sequence
from typing import ClassVar
from urllib.parse import urlsplit
from xml.etree import ElementTree
from xml.sax.saxutils import escape

import httpx
from pydantic import Field, SecretStr

from freshwire.purge.cache import Cache, Names, PurgeError, SecretAddress
from freshwire.purge.sigv4 import signed

NAMESPACE = "http://cloudfront.amazonaws.com/doc/2020-05-31/"
REGION, SERVICE = "us-east-1", "cloudfront"
TOO_MANY = "TooManyInvalidationsInProgress"
TOO_MANY_PAUSE_S = 5.0
LOOK_AGAIN_S = 2.0
"""Between two looks at an invalidation that is in progress, seconds."""


class CloudFront(Cache):
    """One distribution."""

    FIELD: ClassVar[str] = "cache-tag"
    MAIN: ClassVar[str] = "distribution"
    VARIABLES: ClassVar[Mapping[str, str]] = {
        "access_key": "AWS_ACCESS_KEY_ID",
        "secret_key": "AWS_SECRET_ACCESS_KEY",
        "session_token": "AWS_SESSION_TOKEN",
    }
    MAX_NAMES: ClassVar[int] = 1000
    """3,000 may be in progress."""
    AT_ONCE: ClassVar[int] = 3

    distribution: str = Field(pattern=r"^[A-Z0-9]+$")
    """The distribution's ID."""
    access_key: str = Field(min_length=1)
    secret_key: SecretStr = Field(min_length=1)
    """Of a user or role with cloudfront:CreateInvalidation and cloudfront:GetInvalidation."""
    session_token: SecretStr | None = None
    url: SecretAddress = "https://cloudfront.amazonaws.com"

    async def purge(self, http: httpx.AsyncClient, names: Names, *, settled: bool) -> None:
        """Create an invalidation; settled: and wait until it is complete."""
        await self._invalidate(http, [f"#{key}" for key in names.keys], settled=settled)

    async def purge_everything(self, http: httpx.AsyncClient, *, settled: bool) -> None:
        """The path that stands for all."""
        await self._invalidate(http, ["/*"], settled=settled)

    async def _invalidate(self, http: httpx.AsyncClient, items: Sequence[str], *, settled: bool) -> None:
        paths = "".join(f"<Path>{escape(item)}</Path>" for item in items)
        body = (
            f'<?xml version="1.0" encoding="UTF-8"?><InvalidationBatch xmlns="{NAMESPACE}">'
            f"<Paths><Quantity>{len(items)}</Quantity><Items>{paths}</Items></Paths>"
            f"<CallerReference>{uuid.uuid4()}</CallerReference></InvalidationBatch>"
        ).encode()
        path = f"/2020-05-31/distribution/{self.distribution}/invalidation"
        try:
            created = await self._call(http, "POST", path, body)
        except PurgeError as error:
            if TOO_MANY in str(error):
                raise PurgeError(str(error), retry_after_s=TOO_MANY_PAUSE_S) from None
            raise
        found = _state(created)
        while settled and found[1] != "Completed":
            await asyncio.sleep(LOOK_AGAIN_S)
            found = _state(await self._call(http, "GET", f"{path}/{found[0]}", b""))

    async def _call(self, http: httpx.AsyncClient, method: str, path: str, body: bytes) -> bytes:
        headers = {"host": urlsplit(self.url).netloc}
        if body:
            headers["content-type"] = "text/xml"
        if self.session_token is not None:
            headers["x-amz-security-token"] = self.session_token.get_secret_value()
        headers = signed(
            method,
            path,
            headers,
            body,
            access_key=self.access_key,
            secret_key=self.secret_key.get_secret_value(),
            region=REGION,
            service=SERVICE,
            now=datetime.datetime.now(datetime.UTC),
        )
        return (await self.ask(http, method, self.url + path, headers=headers, content=body)).content


def _state(xml: bytes) -> tuple[str, str]:
    """The ID and the status of an invalidation. Raises PurgeError."""
    try:
        root = ElementTree.fromstring(xml)
    except ElementTree.ParseError:
        raise PurgeError("an answer that is not the API's") from None
    found = [root.findtext(f"{{{NAMESPACE}}}{name}") or root.findtext(name) for name in ("Id", "Status")]
    if not all(text and text.isalnum() for text in found):
        raise PurgeError("an answer that is not the API's")
    return str(found[0]), str(found[1])
