"""Rows 2 and 18, in pairs: whatever a proxy makes of an ambiguous request, the node makes nothing of it that reaches
what the proxy forbids, or that another client of the proxy is answered with.

nginx is there for every test run; the others, and the configurations of docs/behind, are for `make attacks`.
"""

import os
from collections.abc import Callable, Iterator

import pytest

from tests.behind.fronts import FILES, front

from .ambiguous import BODIES, FIRST_LINES, HEADS
from .conftest import Target
from .proxies import FORBIDDEN, PROGRAMS, in_front
from .test_smuggling import REFUSED, App
from .wire import Peer, request

HIDDEN = request(FORBIDDEN, "X-Hidden: yes")

# The files of docs/behind with a path that they forbid, for the host of these requests.
DOCUMENTED = {
    "nginx": {
        "server_name 127.0.0.1;": "server_name localhost;",
        "location = /.fresh/watch {": f"location {FORBIDDEN} {{ return 403; }}\n    location = /.fresh/watch {{",
    },
    "varnish": {
        r"^(?i)127\.0\.0\.1": "^(?i)localhost",
        "sub vcl_recv {": f'sub vcl_recv {{ if (req.url ~ "^{FORBIDDEN}") {{ return (synth(403)); }}',
    },
    "haproxy": {
        "-m str 127.0.0.1": "-m str localhost",
        "frontend site": f"frontend site\n    http-request deny if {{ path_beg {FORBIDDEN} }}",
    },
    "caddy": {
        "http://127.0.0.1": "http://localhost",
        "\treverse_proxy": f"\tbind 127.0.0.1\n\trespond {FORBIDDEN}* 403\n\treverse_proxy",
    },
}

PROXIES = [
    pytest.param(
        name,
        marks=pytest.mark.skipif(
            name != "nginx" and "FRESHWIRE_PROVE" not in os.environ, reason="only in `make attacks`"
        ),
    )
    for name in (*PROGRAMS, *(f"docs/behind/{file}" for file in FILES.values()))
]


class Pair:
    """A proxy, the node behind it, and what the application was asked."""

    def __init__(self, address: tuple[str, int], target: Target, app: App) -> None:
        self.address, self.target, self.app = address, target, app

    def say(self, sent: bytes) -> bytes:
        """What a client hears; it says nothing more and hangs up when nothing more comes."""
        with Peer(self.address) as peer:
            peer.socket.settimeout(0.3)
            peer.try_send(sent)
            try:
                return peer.rest()
            except TimeoutError:
                return b"(nothing more)"

    def another_client(self, number: int) -> None:
        """Somebody else, over connections to the node that may have been used before."""
        with Peer(self.address) as peer:
            answer = peer.get(f"/mine/{number}", host="localhost")
        assert (answer.status, answer.body) == (200, b"answered")
        assert self.app.asked[-1] == f"/mine/{number}"


@pytest.fixture(scope="module", params=PROXIES)
def pair(
    request: pytest.FixtureRequest,
    attack_all: Callable[..., Target],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Pair]:
    app = App()
    target = attack_all(app, app_timeout_s=1)
    place = tmp_path_factory.mktemp("proxy")
    documented = {f"docs/behind/{file}": name for name, file in FILES.items()}
    if name := documented.get(request.param):
        proxy = front(name, place, target.address[1], changes=DOCUMENTED[name])
    else:
        proxy = in_front(request.param, place, target.address[1])
    with proxy as address:
        yield Pair(address, target, app)


def attacked(pair: Pair, sent: bytes) -> None:
    pair.app.asked.clear()
    pair.say(sent)
    assert FORBIDDEN not in pair.app.asked
    for number in range(3):
        pair.another_client(number)
    assert FORBIDDEN not in pair.app.asked
    assert pair.target.stats()["panics"] == 0


def test_the_proxy_forbids_what_it_forbids(pair: Pair) -> None:
    with Peer(pair.address) as peer:
        assert peer.get(FORBIDDEN, host="localhost").status == 403
    pair.another_client(0)
    # Directly it is there: the attacks below could reach it.
    assert pair.target.connect().get(FORBIDDEN, host="localhost").body == b"answered"


@pytest.mark.parametrize(("sent", "status"), REFUSED.values(), ids=REFUSED)
def test_nothing_behind_a_refused_upgrade_reaches_what_is_forbidden(
    sent: bytes, status: bytes, pair: Pair
) -> None:
    attacked(pair, sent + HIDDEN + HIDDEN)


@pytest.mark.parametrize("lines", HEADS.values(), ids=HEADS)
def test_an_ambiguous_head_hides_no_request(lines: tuple[str, ...], pair: Pair) -> None:
    for body in (b"0\r\n\r\n", b"5\r\nhello\r\n0\r\n\r\n", b""):
        attacked(pair, request("/", *lines, method="POST") + body + HIDDEN)


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_an_ambiguous_body_hides_no_request(body: bytes, pair: Pair) -> None:
    attacked(pair, request("/", "Transfer-Encoding: chunked", method="POST") + body + HIDDEN)


@pytest.mark.parametrize("line", FIRST_LINES.values(), ids=FIRST_LINES)
def test_an_odd_first_line_hides_no_request(line: bytes, pair: Pair) -> None:
    attacked(pair, line + b"\r\nHost: localhost\r\n\r\n" + HIDDEN)


def test_a_hidden_length_hides_no_request(pair: Pair) -> None:
    hidden = HIDDEN + b"x"
    for lines in (
        (f"Content-Length: {len(hidden)}", "Transfer-Encoding : chunked"),
        (f"Content-Length: {len(hidden)}", "Transfer-Encoding: xchunked"),
        (f"Content-Length: {len(hidden)}", "Transfer_Encoding: chunked"),
        (f"Content-Length: {len(hidden)}", "Connection: content-length"),
        ("Transfer-Encoding: chunked", f"Content_Length: {len(hidden)}"),
        (f"Content-Length: {len(hidden)}", "Expect: 100-continue"),
        (f"Content-Length: {len(hidden)}", "Expect:\t100-continue, y"),
    ):
        for method in ("GET", "POST", "HEAD", "OPTIONS"):
            attacked(pair, request("/", *lines, method=method) + hidden)
