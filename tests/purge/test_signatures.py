"""The signatures against examples that AWS and Akamai have published."""

from __future__ import annotations

import datetime

import pytest
from freshwire.purge.edgegrid import authorization
from freshwire.purge.sigv4 import signed

AWS_NOW = datetime.datetime(2015, 8, 30, 12, 36, 0, tzinfo=datetime.UTC)
AKAMAI_NOW = datetime.datetime(2014, 3, 21, 19, 34, 21, tzinfo=datetime.UTC)
AKAMAI_HOST = "akaa-baseurl-xxxxxxxxxxx-xxxxxxxxxxxxx.luna.akamaiapis.net"


@pytest.mark.parametrize(
    ("method", "host", "service", "headers", "query", "signature"),
    [
        (
            "GET",
            "iam.amazonaws.com",
            "iam",
            {"content-type": "application/x-www-form-urlencoded; charset=utf-8"},
            "Action=ListUsers&Version=2010-05-08",
            "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7",
        ),
        (
            "GET",
            "example.amazonaws.com",
            "service",
            {},
            "",
            "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
        ),
        (
            "GET",
            "example.amazonaws.com",
            "service",
            {"my-header1": "value2,value2,value1"},
            "",
            "c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea",
        ),
    ],
)
def test_aws(
    method: str, host: str, service: str, headers: dict[str, str], query: str, signature: str
) -> None:
    got = signed(
        method,
        "/",
        {"host": host, **headers},
        b"",
        access_key="AKIDEXAMPLE",
        secret_key="wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
        region="us-east-1",
        service=service,
        now=AWS_NOW,
        query=query,
    )
    assert got["x-amz-date"] == "20150830T123600Z"
    assert got["authorization"].startswith(
        f"AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/{service}/aws4_request, SignedHeaders="
    )
    assert got["authorization"].endswith(f", Signature={signature}")


@pytest.mark.parametrize(
    ("method", "path", "body", "signature"),
    [
        ("GET", "/", b"", "tL+y4hxyHxgWVD30X3pWnGKHcPzmrIF+LThiAOhMxYU="),
        ("GET", "/testapi/v1/t1?p1=1&p2=2", b"", "hKDH1UlnQySSHjvIcZpDMbQHihTQ0XyVAKZaApabdeA="),
        ("POST", "/testapi/v1/t3", b"data" * 8, "hXm4iCxtpN22m4cbZb4lVLW5rhX8Ca82vCFqXzSTPe4="),
        ("POST", "/testapi/v1/t6", b"", "1gEDxeQGD5GovIkJJGcBaKnZ+VaPtrc4qBUHixjsPCQ="),
        ("PUT", "/testapi/v1/t6", b"P" * 31, "GNBWEYSEWOLtu+7dD52da2C39aX/Jchpon3K/AmBqBU="),
    ],
)
def test_akamai(method: str, path: str, body: bytes, signature: str) -> None:
    got = authorization(
        method,
        AKAMAI_HOST,
        path,
        body,
        client_token="akab-client-token-xxx-xxxxxxxxxxxxxxxx",
        access_token="akab-access-token-xxx-xxxxxxxxxxxxxxxx",
        client_secret="xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx=",
        now=AKAMAI_NOW,
        nonce="nonce-xx-xxxx-xxxx-xxxx-xxxxxxxxxxxx",
    )
    assert got == (
        "EG1-HMAC-SHA256 client_token=akab-client-token-xxx-xxxxxxxxxxxxxxxx;"
        "access_token=akab-access-token-xxx-xxxxxxxxxxxxxxxx;timestamp=20140321T19:34:21+0000;"
        f"nonce=nonce-xx-xxxx-xxxx-xxxx-xxxxxxxxxxxx;signature={signature}"
    )
