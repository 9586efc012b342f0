"""What every cache that can be purged has in common: its settings, how it is asked, and what its answer means.

A cache is a frozen pydantic model (its settings) with two verbs, `purge` and `purge_everything`. It holds no
state: when to ask, in which portions, and what to do after an error is `lane`'s business.
"""

from __future__ import annotations

import asyncio
import email.utils
import ipaddress
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, NamedTuple
from urllib.parse import urlsplit

import httpx
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

MAX_ANSWER_BYTES = 64 * 1024
"""What is read of an answer, bytes."""
LONGEST_RETRY_AFTER_S = 300.0
"""What is believed of a `Retry-After`, seconds."""


class Rate(NamedTuple):
    """How often an API may be asked: a bucket of tokens, one a request."""

    per_s: float
    burst: int


@dataclass(frozen=True, slots=True)
class Names:
    """What one request purges."""

    keys: Sequence[str]
    """Surrogate keys, as they are in the responses' tag fields."""
    tags: Sequence[str] = ()
    """The tags behind them; only for a cache that asks for them (`NAMES`)."""
    uris: Sequence[str] = ()
    """The resources behind them; the same."""


class PurgeError(Exception):
    """A request to purge failed.

    lasting: the same request would be refused again, because of what it says.
    retry_after_s: the API asks not to be asked before, seconds.
    """

    def __init__(self, message: str, *, lasting: bool = False, retry_after_s: float = 0.0) -> None:
        super().__init__(message)
        self.lasting = lasting
        self.retry_after_s = min(retry_after_s, LONGEST_RETRY_AFTER_S)


def _service(text: str) -> str:
    """Check the address of an API: credentials travel encrypted, or do not leave the machine."""
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("write http://host or https://host")
    if parts.username is not None or parts.query or parts.fragment:
        raise ValueError("an address has no user, query or fragment")
    return text.rstrip("/")


def _encrypted(text: str) -> str:
    """Check the address of an API that is told a secret."""
    host = urlsplit(_service(text)).hostname or ""
    try:
        local = ipaddress.ip_address(host).is_loopback
    except ValueError:
        local = host == "localhost"
    if urlsplit(text).scheme != "https" and not local:
        raise ValueError("a secret goes there: use https")
    return _service(text)


Address = Annotated[str, AfterValidator(_service)]
"""Where an API is, without a slash at the end."""
SecretAddress = Annotated[str, AfterValidator(_encrypted)]
"""The same for an API that is told a secret: https, or this machine."""


class Cache(BaseModel, ABC):
    """One cache in front of the node. Subclasses are named for theirs, and say what its API allows."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    FIELD: ClassVar[str] = ""
    """The response field in which this cache reads keys."""
    MAIN: ClassVar[str] = "url"
    """The setting that `--purge CACHE=...` gives."""
    VARIABLES: ClassVar[Mapping[str, str]] = {}
    """The environment variables that people have for this API already, by setting."""
    NAMES: ClassVar[bool] = False
    """It is told tags and URIs beside the keys."""
    MAX_NAMES: ClassVar[int] = 1
    """Names of one request."""
    AT_ONCE: ClassVar[int] = 1
    """Requests at once."""

    coalesce_ms: float = Field(75.0, ge=0, le=10_000)
    """How long what changes is collected for one request, milliseconds."""
    timeout_s: float = Field(10.0, gt=0, le=300)
    """How long one request may take, seconds."""
    retry_s: float = Field(0.5, gt=0, le=60)
    """The first pause after a failure, seconds; doubled each time, with jitter."""
    retry_max_s: float = Field(30.0, gt=0, le=3600)
    """The longest pause after failures, seconds."""

    @classmethod
    def kind(cls) -> str:
        """What it is called in the configuration."""
        return cls.__name__.lower()

    @property
    def label(self) -> str:
        """What it is called in the log: its kind, and which one."""
        return f"{self.kind()} {getattr(self, self.MAIN)}"

    @property
    def rate(self) -> Rate | None:
        """How often it may be asked; None: as often as there is something to purge."""
        return None

    @abstractmethod
    async def purge(self, http: httpx.AsyncClient, names: Names, *, settled: bool) -> None:
        """Purge at most `MAX_NAMES` names.

        settled: come back when they are gone everywhere, as far as the API tells, instead of when it has
            understood.

        Raises PurgeError.
        """

    @abstractmethod
    async def purge_everything(self, http: httpx.AsyncClient, *, settled: bool) -> None:
        """Purge all that the node has ever answered. Raises PurgeError."""

    async def ask(
        self,
        http: httpx.AsyncClient,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        json: Any = None,
        content: bytes | None = None,
        params: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """Make one request; the successful answer, with its body. Raises PurgeError."""
        try:
            async with (
                asyncio.timeout(self.timeout_s),
                http.stream(
                    method, url, headers=headers, json=json, content=content, params=params
                ) as response,
            ):
                body = await _beginning(response)
        except TimeoutError:
            raise PurgeError(f"no answer within {self.timeout_s:g} s") from None
        except httpx.HTTPError as error:
            raise PurgeError(f"{type(error).__name__}: {error}") from None
        if response.is_success:
            return httpx.Response(response.status_code, headers=response.headers, content=body)
        text = body[:200].decode(errors="replace").strip()
        raise PurgeError(
            f"{response.status_code} {response.reason_phrase}: {text!r}",
            lasting=response.status_code in (400, 413, 414, 422, 431),
            retry_after_s=retry_after(response.headers.get("retry-after"), time.time()),
        )


async def _beginning(response: httpx.Response) -> bytes:
    """The body of an answer, of which nobody needs much."""
    body = b""
    async for piece in response.aiter_bytes():
        body += piece
        if len(body) >= MAX_ANSWER_BYTES:
            break
    return body[:MAX_ANSWER_BYTES]


def retry_after(value: str | None, now: float) -> float:
    """What a `Retry-After` asks for (RFC 9110 §10.2.3), seconds from `now`; 0 for none, or one nobody can
    read.
    """
    if value is None:
        return 0.0
    if value.strip().isdecimal():
        return float(value[:12])
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - now)
    except (ValueError, OverflowError):
        return 0.0
