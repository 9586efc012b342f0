"""Row 27: who the client is, and what it spoke, is believed from listed proxies alone; then the right-most address that
is not one of theirs.
"""

import json
from collections.abc import Callable
from typing import Any

import pytest

from .conftest import Target
from .wire import handshake


seen: set[str] = set()


async def app(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] != "http":
        return
    seen.update(name.decode() for name, _ in scope["headers"])
    said = json.dumps({"client": scope["client"][0], "scheme": scope["scheme"]}).encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": said})


PEER = "127.0.0.1"
NOBODY: list[str] = []
PROXY = ["127.0.0.1"]
CHAIN = ["127.0.0.0/8", "10.0.0.0/8", "2001:db8::/32"]

MATRIX = [
    # Nobody is believed unless listed.
    (NOBODY, ["X-Forwarded-For: 1.2.3.4"], PEER, "http"),
    (NOBODY, ["X-Forwarded-Proto: https"], PEER, "http"),
    (NOBODY, ["Forwarded: for=1.2.3.4;proto=https"], PEER, "http"),
    (NOBODY, ["X-Real-IP: 1.2.3.4"], PEER, "http"),
    (["10.0.0.0/8"], ["X-Forwarded-For: 1.2.3.4"], PEER, "http"),
    (["127.0.0.2"], ["Forwarded: for=1.2.3.4;proto=https"], PEER, "http"),
    # A listed proxy is; what is left of the first address that is not one the client may have written.
    (PROXY, ["X-Forwarded-For: 1.2.3.4"], "1.2.3.4", "http"),
    (PROXY, ["X-Forwarded-For: 1.2.3.4", "X-Forwarded-Proto: https"], "1.2.3.4", "https"),
    (PROXY, ["X-Forwarded-For: 6.6.6.6, 1.2.3.4"], "1.2.3.4", "http"),
    (PROXY, ["X-Forwarded-For: 6.6.6.6", "X-Forwarded-For: 1.2.3.4"], "1.2.3.4", "http"),
    (PROXY, ["X-Forwarded-For: 127.0.0.1, 1.2.3.4"], "1.2.3.4", "http"),
    (PROXY, ["X-Forwarded-For: 1.2.3.4, 10.0.0.1"], "10.0.0.1", "http"),
    (CHAIN, ["X-Forwarded-For: 6.6.6.6, 1.2.3.4, 10.0.0.1"], "1.2.3.4", "http"),
    (CHAIN, ["X-Forwarded-For: 1.2.3.4, 2001:db8::7, 10.0.0.1"], "1.2.3.4", "http"),
    (PROXY, ["Forwarded: for=6.6.6.6, for=1.2.3.4;proto=https"], "1.2.3.4", "https"),
    (PROXY, ['Forwarded: for="[2001:db8::1]:4711"'], "2001:db8::1", "http"),
    (PROXY, ["Forwarded: For=1.2.3.4;PROTO=HTTPS"], "1.2.3.4", "https"),
    (["*"], ["X-Forwarded-For: 1.2.3.4, 5.6.7.8"], "1.2.3.4", "http"),
    # Where the two kinds disagree, one was written by the client.
    (PROXY, ["Forwarded: for=6.6.6.6", "X-Forwarded-For: 1.2.3.4"], PEER, "http"),
    (PROXY, ["Forwarded: for=1.2.3.4", "X-Forwarded-For: 1.2.3.4"], "1.2.3.4", "http"),
    # What cannot be read is not believed.
    (PROXY, ["X-Forwarded-For: evil"], PEER, "http"),
    (PROXY, ["X-Forwarded-For: 1.2.3.4, evil"], PEER, "http"),
    (PROXY, ["X-Forwarded-For: 1.2.3"], PEER, "http"),
    (PROXY, ["X-Forwarded-For: "], PEER, "http"),
    (PROXY, ["Forwarded: for=unknown"], PEER, "http"),
    (PROXY, ["Forwarded: for=_hidden"], PEER, "http"),
    (PROXY, ['Forwarded: for="1.2.3.4'], PEER, "http"),
    (PROXY, ['Forwarded: for="6.6.6.6, for=1.2.3.4'], PEER, "http"),
    (PROXY, ["Forwarded: for=1.2.3.4;for=6.6.6.6"], PEER, "http"),
    (PROXY, ["X-Forwarded-Proto: javascript"], PEER, "http"),
    # Not ours to believe from anybody.
    (PROXY, ["X-Real-IP: 6.6.6.6", "True-Client-IP: 6.6.6.6", "CF-Connecting-IP: 6.6.6.6"], PEER, "http"),
]


@pytest.fixture(scope="module")
def nodes(attack_all: Callable[..., Target]) -> dict[str, Target]:
    lists = {",".join(trusted): trusted for trusted, *_ in MATRIX}
    return {name: attack_all(app, trusted_proxies=trusted) for name, trusted in lists.items()}


@pytest.mark.parametrize(("trusted", "lines", "client", "scheme"), MATRIX)
def test_the_client_is_who_a_listed_proxy_says(
    trusted: list[str], lines: list[str], client: str, scheme: str, nodes: dict[str, Target]
) -> None:
    with nodes[",".join(trusted)].one_test() as target:
        said = json.loads(target.connect().get("/", *lines).body)
    assert said == {"client": client, "scheme": scheme}


SAID_BY_PROXIES = """Forwarded X-Forwarded X-Forwarded-For X-Forwarded-Host X-Forwarded-Port X-Forwarded-Prefix
X-Forwarded-Proto X-Forwarded-Scheme X-Forwarded-Server X-Forwarded-SSL X-Original-Host X-Original-URL X-Rewrite-URL
X-Host X-HTTP-Host-Override X-Url-Scheme X-Script-Name X-Real-IP X-Client-IP X-Cluster-Client-IP Client-IP
True-Client-IP CF-Connecting-IP Fastly-Client-IP Front-End-Https Proxy""".split()
OVERRIDES = ["X-HTTP-Method", "X-HTTP-Method-Override", "X-Method-Override"]


@pytest.mark.parametrize("trusted", [False, True])
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
@pytest.mark.parametrize("name", [*SAID_BY_PROXIES, *OVERRIDES])
def test_what_a_proxy_says_reaches_the_application_from_a_listed_one_only(
    name: str, method: str, trusted: bool, nodes: dict[str, Target]
) -> None:
    with nodes["127.0.0.1" if trusted else ""].one_test() as target:
        seen.clear()
        body = ["Content-Length: 0"] if method == "POST" else []
        assert target.connect().get("/", f"{name}: 6.6.6.6", *body, method=method).status == 200
        reaches = trusted or (name in OVERRIDES and method == "POST")
        assert (name.lower() in seen) == reaches
        assert target.refused() == ({} if reaches else {"forwarding_fields": 1})


def test_a_forged_scheme_makes_no_origin_ours(nodes: dict[str, Target]) -> None:
    lines = ["X-Forwarded-Proto: https", "Origin: https://localhost"]
    for trusted, status in [("", 403), ("127.0.0.1", 101)]:
        with nodes[trusted].one_test() as target:
            peer = target.connect()
            peer.send(handshake("/", *lines, subprotocol="freshwire.v1"))
            assert peer.response().status == status


@pytest.mark.parametrize("bad", ["evil", "10.0.0.0/33", "10.0.0.1:80", ""])
def test_a_list_that_cannot_be_read_does_not_start(bad: str, attack: Callable[..., Target]) -> None:
    with pytest.raises(ValueError, match="trusted_proxies"):
        attack(app, trusted_proxies=[bad])
