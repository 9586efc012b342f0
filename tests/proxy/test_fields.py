"""What of a request reaches the upstream, and what of its response the client."""

from __future__ import annotations

import asyncio

import pytest
from freshwire.testing import proxy

from tests.proxy.upstream import Client, Request, ask, asked, echo, read_body, response, upstream


def test_what_speaks_of_the_clients_connection_ends_at_the_node() -> None:
    with upstream() as up, proxy(up.url, allow_hosts=["*"]) as live:
        seen = asked(
            live.url,
            "Connection: keep-alive, X-Hop",
            "X-Hop: 1",
            "Keep-Alive: timeout=5",
            "Proxy-Connection: keep-alive",
            "Proxy-Authorization: Basic eDp5",
            "TE: trailers, deflate",
            "Trailer: x",
            "Upgrade: h2c",
            "HTTP2-Settings: AAMAAABkAAQAAP__",
            "Accept: text/plain",
            "X-End: 2",
            "X-End: 3",
        )
    names = {name for name, _ in seen.fields}
    assert not names & {
        "x-hop",
        "keep-alive",
        "proxy-connection",
        "proxy-authorization",
        "trailer",
        "upgrade",
        "http2-settings",
    }
    assert (seen.all("te"), seen.all("connection")) == (["trailers"], ["te"])
    assert (seen.get("accept"), seen.all("x-end")) == ("text/plain", ["2", "3"])


def test_the_node_says_who_asks_and_nobody_else() -> None:
    with upstream() as up, proxy(up.url, allow_hosts=["*"]) as live:
        seen = asked(
            live.url,
            "X-Forwarded-For: 1.2.3.4",
            "X-Forwarded-Host: evil.example",
            "X-Forwarded-Proto: https",
            "X-Real-IP: 1.2.3.4",
            "Forwarded: for=1.2.3.4;proto=https",
            "Via: 1.1 other",
        )
    assert seen.all("x-forwarded-for") == ["127.0.0.1"]
    assert seen.all("x-forwarded-host") == ["a.localhost"]
    assert seen.all("x-forwarded-proto") == ["http"]
    assert seen.all("forwarded") == ['for=127.0.0.1;host="a.localhost";proto=http']
    assert seen.all("x-real-ip") == []
    assert seen.all("via") == ["1.1 other, 1.1 freshwire"]
    assert seen.all("host") == ["a.localhost"]


def test_a_trusted_proxys_word_about_the_client_is_passed_on_as_the_nodes_own() -> None:
    with upstream() as up, proxy(up.url, allow_hosts=["*"], trusted_proxies=["127.0.0.1"]) as live:
        seen = asked(live.url, "X-Forwarded-For: 6.6.6.6, 2001:db8::7", "X-Forwarded-Proto: https")
    assert seen.all("x-forwarded-for") == ["2001:db8::7"]
    assert seen.all("forwarded") == ['for="[2001:db8::7]";host="a.localhost";proto=https']


def test_upstreams_may_be_asked_for_a_host_of_their_own_and_below_a_base_path() -> None:
    with upstream() as up, proxy(f"{up.url}/base/", allow_hosts=["*"], upstream_host="app.internal") as live:
        seen = asked(live.url, target="/a/../b?q=1")
        assert (seen.target, seen.get("host")) == ("/base/b?q=1", "app.internal")
        assert seen.get("x-forwarded-host") == "a.localhost"


def test_a_target_reaches_the_upstream_whatever_characters_it_has() -> None:
    every = "".join(chr(c) for c in range(0x21, 0x7F) if chr(c) not in "#\\%?")
    with upstream() as up, proxy(up.url, allow_hosts=["*"]) as live:
        seen = asked(live.url, target=f"/{every}%2F%00?{every}\\%")
        assert asked(live.url, target="*", method="OPTIONS").target == "*"
    for kept in ("/!", "%2F%00?", "&'()*+,-./"):
        assert kept in seen.target


def test_connect_and_expectations_that_are_none_are_refused_by_the_node() -> None:
    with upstream() as up, proxy(up.url, allow_hosts=["*"]) as live:
        assert ask(live.url, "CONNECT", "a.localhost:80").status == 501
        assert ask(live.url, "GET", "/", "Expect: tea").status == 417
        assert up.requests == []


def test_what_speaks_of_the_upstreams_connection_ends_at_the_node() -> None:
    async def answers(request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(
            response(
                "299 Odd",
                b"body",
                "Connection: X-Hop, close",
                "X-Hop: 1",
                "Keep-Alive: timeout=5",
                "Proxy-Authenticate: Basic",
                "Upgrade: h2c",
                "Set-Cookie: a=1",
                "Set-Cookie: b=2",
                "Server: theirs",
            )
        )

    with upstream(answers) as up, proxy(up.url, allow_hosts=["*"]) as live, Client(live.url) as client:
        for _ in range(2):  # the client's connection goes on
            client.ask("GET", "/")
            answer = client.answer()
    assert (answer.status, answer.body) == (299, b"body")
    names = {name for name, _ in answer.fields}
    assert not names & {"x-hop", "keep-alive", "proxy-authenticate", "upgrade", "connection"}
    assert answer.all("set-cookie") == ["a=1", "b=2"]
    assert answer.get("server") == "theirs"


@pytest.mark.parametrize(
    ("method", "raw"),
    [
        ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 17\r\n\r\n"),
        ("GET", b"HTTP/1.1 204 No Content\r\n\r\n"),
        ("GET", b'HTTP/1.1 304 Not Modified\r\nETag: "a"\r\nContent-Length: 17\r\n\r\n'),
        ("POST", b"HTTP/1.1 204 No Content\r\n\r\n"),
    ],
)
def test_a_response_without_a_body_is_one_and_the_connections_go_on(method: str, raw: bytes) -> None:
    async def answers(request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_body(request, reader)
        writer.write(raw)

    with upstream(answers) as up, proxy(up.url, allow_hosts=["*"]) as live, Client(live.url) as client:
        for _ in range(3):
            client.ask(method, "/", 'If-None-Match: "a"')
            answer = client.answer(to_head=True)
            assert answer.status == int(raw[9:12])
            if method == "HEAD":
                assert answer.get("content-length") == "17"
        assert (len(up.requests), up.connections) == (3, 1)


def test_trailers_and_hints_pass() -> None:
    async def answers(request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 102 Processing\r\n\r\n")
        writer.write(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\nX: y\r\n\r\n")
        writer.write(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n"
            b"3\r\nabc\r\n0\r\nX-Sum: 7\r\nContent-Length: 9\r\n\r\n"
        )

    with upstream(answers) as up, proxy(up.url, allow_hosts=["*"]) as live, Client(live.url) as client:
        client.ask("GET", "/")
        hints = client.head()
        assert (hints.status, hints.fields) == (103, [("link", "</a.css>; rel=preload")])
        answer = client.answer()
        assert (answer.body, answer.trailers) == (b"abc", [("x-sum", "7")])


def test_a_request_that_goes_in_circles_ends() -> None:
    with upstream() as up, proxy(up.url, allow_hosts=["*"]) as live:
        assert asked(live.url, f"Via: {', '.join(['1.1 freshwire'] * 7)}").method == "GET"
        answer = ask(live.url, "GET", "/", f"Via: {', '.join(['1.1 freshwire'] * 8)}")
        assert answer.status == 508


def test_http_1_0_is_passed_on_as_1_1() -> None:
    with upstream() as up, proxy(up.url, allow_hosts=["*"]) as live, Client(live.url) as client:
        client.send(b"GET / HTTP/1.0\r\n\r\n")
        assert client.answer().status == 200
        assert up.requests[0].get("host") == up.url.removeprefix("http://")
        assert up.requests[0].get("via") == "1.0 freshwire"


def test_an_upstream_on_a_unix_socket_is_one_too(tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("u") / "s"
    with upstream(echo, path=str(path)) as up, proxy(up.url, allow_hosts=["*"]) as live:
        assert asked(live.url, target="/x").target == "/x"


def test_a_field_that_ends_at_the_node_chooses_no_variant_for_others() -> None:
    async def greets(request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        language = request.get("accept-language") or "none"
        lines = ("Cache-Control: max-age=60", "Vary: Accept-Language")
        writer.write(response("200 OK", language.encode(), *lines))

    with upstream(greets) as up, proxy(up.url, allow_hosts=["*"]) as live:
        hidden = ask(live.url, "GET", "/", "Accept-Language: de", "Connection: Accept-Language")
        assert hidden.body == b"none"
        assert ask(live.url, "GET", "/", "Accept-Language: de").body == b"de"
        assert ask(live.url, "GET", "/").body == b"none"
        assert len(up.requests) == 2
