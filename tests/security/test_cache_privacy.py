"""Rows 24 and 25: what is kept for many has nothing of one of them, and what is one's is shown to nobody else."""

import itertools
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from .conftest import Target, eventually
from .wire import Peer, Response, request

ODD = """Accept-CH|Accept-Charset|Accept-Language|Accept-Datetime|Base-URL|Cache-Control|CF-Connecting-IP|Client-IP
|CloudFront-Viewer-Country|Content-Type|DNT|Fastly-Client-IP|Forwarded|From|Front-End-Https|HTTP2-Settings|Max-Forwards
|Origin|Pragma|Profile|Proxy-Authorization|Proxy-Connection|Proxy-Host|Referer|Request-URI|Save-Data|Sec-Fetch-Dest
|Sec-Fetch-Mode|Sec-Fetch-Site|TE|Trailer|True-Client-IP|Upgrade-Insecure-Requests|User-Agent|Via|Warning
|X-Amz-Website-Redirect-Location|X-Cache-Hash|X-Client-IP|X-Content-Encoding|X-Csrf-Token|X-Debug|X-Forwarded-For
|X-Forwarded-Host|X-Forwarded-Port|X-Forwarded-Prefix|X-Forwarded-Proto|X-Forwarded-Scheme|X-Forwarded-Server
|X-Forwarded-SSL|X-Host|X-HTTP-Host-Override|X-HTTP-Method-Override|X-Invoke-Path|X-Method-Override|X-Original-Host
|X-Original-URL|X-Oversized|X-Real-IP|X-Requested-With|X-Rewrite-URL|X-Timer|X-Url-Scheme|X-Wap-Profile"""
ODD_NAMES = ODD.replace("\n", "").split("|")


class App:
    """Reflects all that it is told, as the careless do. What it says of caching is in the path."""

    POLICIES = {
        "silent": [],
        "private": [(b"cache-control", b"private, max-age=60")],
        "max-age": [(b"cache-control", b"max-age=60")],
        "no-cache": [(b"cache-control", b"no-cache")],
        "no-store": [(b"cache-control", b"no-store")],
        "tagged": [(b"cache-groups", b'"t"')],
        "aged and tagged": [(b"cache-control", b"max-age=60"), (b"cache-groups", b'"t"')],
        "etag": [(b"cache-groups", b'"t"'), (b"etag", b'"same for all"')],
        "set-cookie": [(b"cache-control", b"max-age=60"), (b"cache-groups", b'"t"')],
        "public": [(b"cache-control", b"public, max-age=60")],
        "s-maxage": [(b"cache-control", b"s-maxage=60"), (b"cache-groups", b'"t"')],
    }

    def __init__(self) -> None:
        self.asked: list[dict[str, str]] = []
        self.sessions = itertools.count()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        request = joined((name.decode(), value.decode()) for name, value in scope["headers"])
        self.asked.append(request)
        policy = scope["path"].split("/")[1]
        headers = list(self.POLICIES.get(policy, self.POLICIES["max-age"]))
        if policy == "vary":
            headers.append((b"vary", b"x-key"))
        if policy == "set-cookie":
            headers.append((b"set-cookie", b"session=%d" % next(self.sessions)))
        body = f"{scope['raw_path'].decode()} {who(request)}" if policy not in SHARED else "for everybody"
        if policy == "reflects":
            body = repr(sorted(request.items()))
            headers.append((b"cache-groups", b'"t"'))
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body.encode()})


SHARED = ("public", "s-maxage")
numbers = itertools.count()


def joined(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Fields, the lines of each together."""
    fields: dict[str, str] = {}
    for name, value in pairs:
        fields[name] = f"{fields[name]}; {value}" if name in fields else value
    return fields


def who(request: dict[str, str]) -> str:
    return f"[{request.get('authorization', '')}|{request.get('cookie', '')}]"


@pytest.fixture(scope="module")
def shared_app() -> App:
    return App()


@pytest.fixture(scope="module")
def shared(shared_app: App, attack_all: Callable[..., Target]) -> Target:
    return attack_all(shared_app, allow_origins=["http://odd"])


@pytest.fixture
def app(shared_app: App) -> App:
    shared_app.asked.clear()
    return shared_app


def copy_of(answer: Response) -> tuple[int, bytes, list[tuple[str, str]]]:
    return answer.status, answer.body, [pair for pair in answer.headers if pair[0] not in ("date", "age")]


def test_no_field_that_is_not_in_the_key_changes_a_byte_of_a_hit(app: App, target: Target) -> None:
    assert len(ODD_NAMES) >= 60
    peer = target.connect()
    peer.get("/reflects")
    plain = peer.get("/reflects")
    assert "hit" in plain["cache-status"]
    for name in ODD_NAMES:
        assert copy_of(peer.get("/reflects", f"{name}: http://odd")) == copy_of(plain), name
    assert copy_of(peer.get("/reflects", *[f"{name}: http://odd" for name in ODD_NAMES])) == copy_of(plain)
    assert len(app.asked) == 1


def test_no_odd_request_changes_what_others_get(app: App, target: Target) -> None:
    peer = target.connect()
    peer.get("/reflects/1")
    plain = copy_of(peer.get("/reflects/1"))
    peer.send(request("/reflects/1", body=b"a fat GET"))
    assert peer.response().status == 200
    for lines in (
        ["Range: bytes=0-1"],
        ['If-Match: "odd"'],
        ['If-None-Match: "odd"'],
        ["If-Modified-Since: Thu, 01 Jan 1970 00:00:00 GMT"],
        ["Cookie: a=b"],
        ["Authorization: odd"],
        ["Cache-Control: no-store"],
    ):
        peer.get("/reflects/1", *lines)
    peer.get("/reflects/1", method="HEAD")
    peer.get("/reflects/1", method="OPTIONS")
    for spelling in ("/reflects/1", "/reflects/./1", "/x/../reflects/1", "/reflects/%31", "/%72eflects/1"):
        assert copy_of(peer.get(spelling)) == plain, spelling


RENAMED = [name for name in ODD_NAMES if name.lower().startswith(("x-forwarded", "x-original", "x-rewrite"))]
RENAMED += ["Forwarded", "X-Host", "X-HTTP-Host-Override", "X-HTTP-Method-Override", "X-Method-Override"]
RENAMED += ["X-Url-Scheme", "X-Real-IP", "X-Client-IP", "Client-IP", "True-Client-IP", "CF-Connecting-IP"]


@pytest.mark.parametrize("opening", ["a GET", "a watch", "a poll"])
def test_the_first_reader_of_a_shared_resource_does_not_choose_what_others_get(
    opening: str, target: Target
) -> None:
    for name in RENAMED:
        path = f"/reflects/first/{next(numbers)}"
        lines = {"a GET": [], "a watch": ["Accept: text/event-stream"]}.get(
            opening, ['If-None-Match: "none"', "Prefer: wait=1"]
        )
        with Peer(target.address) as first:
            first.send(request(path, f"{name}: evil.example", *lines))
            assert first.stream().status == 200
        assert b"evil" not in target.connect().get(path, host="localhost").body, name
    assert target.refused() == {"forwarding_fields": len(RENAMED)}


@pytest.mark.parametrize(
    "sent",
    [
        request("/reflects/shown", body=b"a fat GET"),
        request("/reflects/shown", "Transfer-Encoding: chunked") + b"3\r\nfat\r\n0\r\n\r\n",
        request("/reflects/shown", "Range: bytes=0-1", "X-Forwarded-Host: evil"),
        request("/reflects/shown", "If-Match: *", "X-Forwarded-Host: evil"),
        request("/reflects/shown", method="HEAD"),
    ],
    ids=["a body", "a chunked body", "a range", "a condition", "HEAD"],
)
def test_no_odd_request_shows_watchers_anything(sent: bytes, target: Target) -> None:
    path = f"/reflects/shown/{next(numbers)}"
    sent = sent.replace(b"/reflects/shown", path.encode())
    watcher = target.connect()
    watcher.send(request(path, "Accept: text/event-stream"))
    watcher.stream()
    first = watcher.event().data
    peer = target.connect()
    peer.send(sent)
    assert peer.response("HEAD" if sent.startswith(b"HEAD") else "GET").status in {200, 206}
    target.live.changed("t")
    assert target.connect().get(path, host="localhost").body.decode() == first
    assert b"data:" not in watcher.available()


def test_a_shared_reread_has_nothing_of_any_clients(app: App, target: Target) -> None:
    odd = [f"{name}: http://odd" for name in ODD_NAMES]
    watchers = [target.connect() for _ in range(2)]
    watchers[0].send(request("/reflects/watched", "Accept: text/event-stream", *odd))
    watchers[1].send(request("/reflects/watched", "Accept: text/event-stream"))
    for watcher in watchers:
        assert watcher.stream().status == 200
        watcher.event()
    app.asked.clear()
    target.live.changed("t")
    assert watchers[0].event().data == watchers[1].event().data
    (reread,) = app.asked
    assert set(reread) <= {"host", "accept", "accept-encoding"}, reread


def test_a_reread_of_a_variant_has_what_vary_names(app: App, target: Target) -> None:
    peer = target.connect()
    peer.send(request("/vary", "Accept: text/event-stream", "X-Key: k", "X-Other: o"))
    peer.stream()
    peer.event()
    # The answer of this path has no tags, but a resource has its own URI for one.
    target.connect().get("/vary", "Content-Length: 0", method="POST", host="localhost")
    eventually(lambda: len([asked for asked in app.asked if "x-key" in asked]) == 2, "it was read again")
    reread = [asked for asked in app.asked if "x-key" in asked][-1]
    assert set(reread) <= {"host", "accept", "accept-encoding", "x-key"}, reread


USERS = {
    "nobody": [],
    "ann": ["Cookie: user=ann"],
    "bob": ["Cookie: user=bob"],
    "ann by token": ["Authorization: Bearer ann"],
    "bob by token": ["Authorization: Bearer bob"],
    "ann by both": ["Authorization: Bearer ann", "Cookie: user=bob"],
    "ann in two lines": ["Cookie: user=ann", "Cookie: user=bob"],
}


def own(target: str, lines: list[str]) -> str:
    """What a user may be shown, by the application's own rule."""
    pairs = [line.split(": ", 1) for line in lines]
    return f"{target} {who(joined((name.lower(), value) for name, value in pairs))}"


steps = st.lists(
    st.tuples(
        st.sampled_from(["get", "get", "head", "same etag", "others etag", "watch", "poll", "change"]),
        st.sampled_from(sorted(USERS)),
        st.sampled_from([*App.POLICIES]),
    ),
    min_size=2,
    max_size=14,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=steps)
def test_nobody_is_ever_shown_anothers_bytes(steps: list[tuple[str, str, str]], target: Target) -> None:
    number = next(numbers)
    # One connection for all users, as a proxy's is.
    through = target.connect()
    watchers: list[tuple[Peer, str, str]] = []
    etags: dict[str, str] = {}
    cookies: set[str] = set()

    def mine(policy: str, user: str, path: str) -> str:
        return "for everybody" if policy in SHARED else own(path, USERS[user])

    for kind, user, policy in steps:
        path = f"/{policy.replace(' ', '%20')}/{number}"
        if kind == "change":
            target.live.changed("t")
            continue
        if kind == "watch":
            peer = target.connect()
            peer.send(request(path, "Accept: text/event-stream", *USERS[user]))
            assert peer.stream().status == 200
            assert peer.event().data == mine(policy, user, path)
            watchers.append((peer, user, policy))
            continue
        lines = list(USERS[user])
        if kind == "poll":
            lines += ['If-None-Match: "none of them"', "Prefer: wait=1"]
        elif kind == "others etag" and policy != "etag":
            lines += [
                f"If-None-Match: {etag}" for other, etag in etags.items() if other != f"{policy} {user}"
            ][:1]
        elif kind == "same etag":
            lines += [f"If-None-Match: {etags[f'{policy} {user}']}"] if f"{policy} {user}" in etags else []
        answer = through.get(path, *lines, method="HEAD" if kind == "head" else "GET")
        if answer.status == 304:
            assert kind == "same etag" or policy in SHARED
        elif kind != "head":
            assert (answer.status, answer.body.decode()) == (200, mine(policy, user, path))
            etags[f"{policy} {user}"] = answer["etag"]
        for cookie in answer.all("set-cookie"):
            assert cookie not in cookies, "a session is one client's"
            cookies.add(cookie)
        if policy not in SHARED and user != "nobody":
            assert "hit" not in answer["cache-status"] or any(
                (watcher, watched) == (user, policy) for _, watcher, watched in watchers
            )
    for peer, user, policy in watchers:
        path = f"/{policy.replace(' ', '%20')}/{number}"
        for piece in peer.available().decode().split("data: ")[1:]:
            assert piece.split("\n")[0] == mine(policy, user, path)
        peer.close()


DECEPTIVE = [
    "/me/x.css",
    "/me;x.css",
    "/me;/x.css",
    "/me%3bx.css",
    "/me?x.css",
    "/me%3fx.css",
    "/me%23x.css",
    "/me%00.css",
    "/me%0ax.css",
    "/me%2fx.css",
    "/me%5cx.css",
    "/static/%2e%2e/me",
    "/static/..%2fme",
    "/static/%2e%2e%2fme",
    "/static/..%5cme",
    "/static/..;/me",
    "/static/.%2e/me/x.css",
    "//me",
    "/me/",
    "/ME",
    "/%6de",
]


@pytest.mark.parametrize("path", DECEPTIVE)
def test_a_path_dressed_up_as_something_public_shows_nobody_anything(path: str, target: Target) -> None:
    victim, thief = target.connect(), target.connect()
    secret = victim.get(path, "Cookie: user=ann").body
    assert b"user=ann" in secret
    for lines in ([], ["Cookie: user=eve"], ["Authorization: eve"]):
        for spelling in (path, path.replace("%2e", "."), path + "?", path + "?x.css"):
            got = thief.get(spelling, *lines)
            assert b"ann" not in got.body
            assert b"ann" not in got.head


def test_escapes_that_a_router_reads_differently_are_another_resource(app: App, target: Target) -> None:
    peer = target.connect()
    bodies = [
        peer.get(path).body for path in ("/a/b", "/a%2fb", "/a%5cb", "/a%00b", "/a;b", "/a%3bb", "/a//b")
    ]
    assert len(set(bodies)) == len(bodies) == len(app.asked)


def test_what_is_one_path_is_one_resource(app: App, target: Target) -> None:
    peer = target.connect()
    spellings = ("/one/b", "/one/./b", "/one/x/../b", "/one/%62", "/%6fne/b", "/one/x/%2e%2E/b")
    assert len({peer.get(path).body for path in spellings}) == 1
    assert len(app.asked) == 1


def test_a_session_is_given_to_one_of_many_that_ask_at_once(target: Target) -> None:
    peers = [target.connect() for _ in range(20)]
    for peer in peers:
        peer.send(request("/set-cookie/at-once"))
    cookies = [peer.response()["set-cookie"] for peer in peers]
    assert len(set(cookies)) == 20
