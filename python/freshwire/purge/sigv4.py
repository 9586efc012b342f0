"""AWS Signature Version 4, as far as an API without a query string needs it. Pure: the time is handed in.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
"""

from __future__ import annotations

import datetime
import hashlib
import hmac
from collections.abc import Mapping

ALGORITHM = "AWS4-HMAC-SHA256"


def signed(
    method: str,
    path: str,
    headers: Mapping[str, str],
    body: bytes,
    *,
    access_key: str,
    secret_key: str,
    region: str,
    service: str,
    now: datetime.datetime,
    query: str = "",
) -> dict[str, str]:
    """The headers with `x-amz-date` and `authorization` among them.

    path: encoded as it is sent.
    headers: all that is signed, `host` among them; names in lower case.
    now: in UTC.
    query: in canonical order and encoding.
    """
    stamp = now.strftime("%Y%m%dT%H%M%SZ")
    all_headers = {**headers, "x-amz-date": stamp}
    names = ";".join(sorted(all_headers))
    lines = "".join(f"{name}:{' '.join(all_headers[name].split())}\n" for name in sorted(all_headers))
    request = "\n".join((method, path, query, lines, names, hashlib.sha256(body).hexdigest()))
    scope = f"{stamp[:8]}/{region}/{service}/aws4_request"
    to_sign = "\n".join((ALGORITHM, stamp, scope, hashlib.sha256(request.encode()).hexdigest()))
    key = f"AWS4{secret_key}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.digest(key, to_sign.encode(), "sha256").hex()
    all_headers["authorization"] = (
        f"{ALGORITHM} Credential={access_key}/{scope}, SignedHeaders={names}, Signature={signature}"
    )
    return all_headers
