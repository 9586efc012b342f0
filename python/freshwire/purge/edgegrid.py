"""Akamai's EdgeGrid signature (EG1-HMAC-SHA256). Pure: the time and the nonce are handed in.

https://techdocs.akamai.com/developer/docs/edgegrid
"""

from __future__ import annotations

import base64
import datetime
import hashlib
import hmac

MAX_BODY_BYTES = 131_072
"""What of a body is signed, bytes."""


def authorization(
    method: str,
    host: str,
    path_and_query: str,
    body: bytes,
    *,
    client_token: str,
    access_token: str,
    client_secret: str,
    now: datetime.datetime,
    nonce: str,
) -> str:
    """The value of `authorization` for a request over https that signs no other header. `now` is in UTC."""
    stamp = now.strftime("%Y%m%dT%H:%M:%S+0000")
    unsigned = (
        f"EG1-HMAC-SHA256 client_token={client_token};access_token={access_token};"
        f"timestamp={stamp};nonce={nonce};"
    )
    hashed = ""
    if method == "POST" and body:
        hashed = base64.b64encode(hashlib.sha256(body[:MAX_BODY_BYTES]).digest()).decode()
    to_sign = "\t".join((method, "https", host.lower(), path_and_query, "", hashed, unsigned))
    key = _keyed(client_secret.encode(), stamp)
    return f"{unsigned}signature={_keyed(key.encode(), to_sign)}"


def _keyed(key: bytes, text: str) -> str:
    return base64.b64encode(hmac.digest(key, text.encode(), "sha256")).decode()
