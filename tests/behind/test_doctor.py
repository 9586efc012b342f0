"""`freshwire doctor` before real nodes behind real proxies: those of docs/behind, and the same with one thing wrong."""

import asyncio
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from freshwire.doctor import examine
from freshwire.doctor.report import Report
from freshwire.doctor.visit import Visit, client
from freshwire.testing import node

from . import site
from .fronts import CACHES, FILES, front

SHORT = {"watch_cycle_s": 4.0}
IDLE_S = 4.0
PROMPT_S = 15.0
"""More than a client should have to wait, but these machines are busy."""
WAITS = 20
SIDE_BY_SIDE = 16
"""Cases that are looked at at once: they mostly wait."""


@dataclass(frozen=True)
class Case:
    """A proxy, what is wrong with it, and what the doctor should find."""

    front: str
    path: str = "/scores/"
    changes: Mapping[str, str] = field(default_factory=dict)
    found: frozenset[str] = frozenset()
    advice: str = ""
    """In the lines to change."""
    change: str = "socket"
    """How the doctor has the resource changed, and whether it has the node's figures: only by the admin socket."""
    options: Mapping[str, object] = field(default_factory=lambda: SHORT)


def wrong(
    front: str,
    changes: dict[str, str],
    *found: str,
    advice: str,
    path: str = "/scores/",
    change: str = "socket",
    **options: object,
) -> Case:
    return Case(front, path, changes, frozenset(found), advice, change, SHORT | options)


RIGHT = {f"{front}/scores/": Case(front) for front in FILES}
RIGHT |= {f"{front}/tables/": Case(front, "/tables/") for front in CACHES}
RIGHT |= {f"{front} without figures": Case(front, change="url") for front in CACHES}
NGINX_STREAMS = "if ($fresh_poll) { return 418; }"
NGINX_LOCKS = "        proxy_cache_lock_timeout 30s;\n        proxy_cache_lock_age 30s;\n"
VARNISH_WAITS = 'if (req.method == "GET" && req.url ~ "^/\\.fresh/watch/") {'
VARNISH_LIFETIMES = (
    '} elsif (beresp.http.Cache-Control !~ "(?i)(max-age|s-maxage)\\s*=" && !beresp.http.Expires) {'
)
VARNISH_STREAMS = (
    'if (req.http.Accept ~ "(?i)text/event-stream" || req.http.Prefer ~ "(?i)(^|[,; \\t])wait\\s*=") {'
)
WRONG = {
    "nginx without a lock": wrong(
        "nginx", {"proxy_cache_lock on;": ""}, "wait-not-collapsed", advice="proxy_cache_lock on;"
    ),
    "nginx without a lock, told by itself": wrong(
        "nginx",
        {"proxy_cache_lock on;": ""},
        "wait-not-collapsed",
        advice="proxy_cache_lock on;",
        change="url",
    ),
    "nginx with a lock of five seconds": wrong(
        "nginx",
        {NGINX_LOCKS: ""},
        "wait-not-collapsed",
        advice="proxy_cache_lock_age 30s;",
        watch_cycle_s=7.0,
    ),
    "nginx that buffers, and speaks HTTP/1.0 to the node": wrong(
        "nginx",
        {
            "proxy_http_version 1.1;": "",
            "proxy_buffering off;": "proxy_ignore_headers X-Accel-Buffering;",
        },
        *("stream-buffered", "websocket-refused"),
        advice="proxy_buffering off;",
    ),
    "nginx that answers an EventSource from its cache": wrong(
        "nginx",
        {NGINX_STREAMS: ""},
        *("accept-not-passed", "poll-answered-by-cache", "websocket-refused"),
        advice="text/event-stream",
        path="/tables/",
    ),
    "nginx that is impatient": wrong(
        "nginx",
        {"proxy_read_timeout 75s;": "proxy_read_timeout 2s;"},
        *("stream-cut", "wait-cut", "poll-cut"),
        advice="proxy_read_timeout 75s;",
    ),
    "nginx that hides Link": wrong(
        "nginx",
        {"proxy_http_version 1.1;": "proxy_http_version 1.1; proxy_hide_header Link;"},
        "link-dropped",
        advice="proxy_hide_header Link;",
    ),
    "nginx that compresses": wrong(
        "nginx",
        {"proxy_http_version 1.1;": "proxy_http_version 1.1; gzip on; gzip_min_length 1; gzip_types *;"},
        "etag-dropped",
        advice="gzip off;",
    ),
    "nginx that keeps Upgrade to itself": wrong(
        "nginx",
        {"Connection $fresh_connection;": 'Connection "";'},
        "websocket-refused",
        advice="$fresh_upgrade",
    ),
    "nginx that keeps everything": wrong(
        "nginx",
        {"proxy_cache_bypass": "proxy_cache_valid 200 60s; proxy_cache_bypass"},
        *("cached-unasked", "stale"),
        advice="proxy_cache_valid",
    ),
    "nginx that shares what cookies chose": wrong(
        "nginx",
        {
            "proxy_cache_bypass $http_authorization $http_cookie;": "",
            "proxy_no_cache $http_authorization $http_cookie;": "",
        },
        "credentials-cached",
        advice="proxy_no_cache",
        path="/me",
        change="",
    ),
    "nginx that ignores the query": wrong(
        "nginx",
        {"location @pinned {": 'location @pinned { proxy_cache_key "$scheme://$http_host$uri";'},
        "query-ignored",
        advice="$request_uri",
        path="/tables/",
    ),
    "Varnish that passes waits": wrong(
        "varnish",
        {
            VARNISH_WAITS: "if (false) {",
            "if (req.http.Authorization || req.http.Cookie) {": 'if (req.url ~ "watch" || req.http.Cookie) {',
        },
        "wait-not-collapsed",
        advice="return (hash)",
    ),
    "Varnish that keeps everything": wrong(
        "varnish",
        {
            VARNISH_LIFETIMES: "} elsif (false) {",
        },
        *("cached-unasked", "stale"),
        advice="default_ttl",
    ),
    "Varnish without a pipe": wrong(
        "varnish", {"return (pipe);": "return (pass);"}, "websocket-refused", advice="return (pipe)"
    ),
    "Varnish that answers an EventSource from its cache": wrong(
        "varnish",
        {VARNISH_STREAMS: "if (false) {"},
        *("accept-not-passed", "poll-answered-by-cache"),
        advice="text/event-stream",
        path="/tables/",
    ),
    "Varnish that is impatient": wrong(
        "varnish",
        {
            "first_byte_timeout = 75s": "first_byte_timeout = 2s",
            "between_bytes_timeout = 75s": "between_bytes_timeout = 2s",
        },
        *("stream-cut", "wait-cut", "poll-cut"),
        advice="between_bytes_timeout = 75s",
    ),
    "HAProxy that is impatient": wrong(
        "haproxy",
        {"timeout server 75s": "timeout server 2s", "timeout tunnel 75s": "timeout tunnel 2s"},
        *("stream-cut", "wait-cut", "poll-cut"),
        advice="timeout tunnel 75s",
    ),
    "HAProxy that removes Link": wrong(
        "haproxy",
        {"http-reuse": "http-response del-header link\n    http-reuse"},
        "link-dropped",
        advice="del-header link",
    ),
    "Caddy that is impatient": wrong(
        "caddy",
        {"response_header_timeout 75s": "response_header_timeout 2s"},
        *("wait-cut", "poll-cut"),
        advice="response_header_timeout 75s",
    ),
    "Caddy that removes Link": wrong(
        "caddy",
        {"transport http {": "header_down -Link\n\t\ttransport http {"},
        "link-dropped",
        advice="header_down -Link",
    ),
}
CASES = RIGHT | WRONG


def look(case: Case, place: Path) -> Report:
    """What the doctor says of a node of the case's own."""
    with ExitStack() as stack:
        live = stack.enter_context(node(site.app, trusted_proxies=["127.0.0.1"], **case.options))
        origin = int(live.url.rpartition(":")[2])
        host, port = stack.enter_context(front(case.front, place, origin, changes=case.changes))

        async def visit() -> Report:
            async with client(WAITS) as http:
                own = case.path if case.path == "/me" else f"{case.path}{port}"
                url = f"http://{host}:{port}{own}"
                return await examine(
                    Visit(
                        url,
                        {},
                        http,
                        lambda _: None,
                        IDLE_S,
                        WAITS,
                        prompt_s=PROMPT_S,
                        admin_socket=live.admin_socket if case.change == "socket" else None,
                        change_url=url if case.change == "url" else "",
                    )
                )

        return asyncio.run(visit())


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Future[Report]]]:
    """The doctor's reports of all cases."""
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        yield {
            name: pool.submit(look, case, tmp_path_factory.mktemp("front")) for name, case in CASES.items()
        }


@pytest.mark.parametrize("name", CASES)
def test_the_doctor_finds_what_is_wrong_and_nothing_else(
    name: str, reports: dict[str, Future[Report]]
) -> None:
    case, report = CASES[name], reports[name].result(100)
    said = "\n".join(report.lines())
    problems = {finding.problem for finding in report.findings if finding.severity != "note"}
    assert problems == case.found, said
    assert [shown.lower() for shown in report.in_front] == [case.front], said
    assert report.healthy == (not case.found)
    if case.found:
        assert case.advice in said
        label = report.in_front[0]
        assert all(
            set(finding.change) == {label} for finding in report.findings if finding.severity != "note"
        ), said


@pytest.mark.parametrize("name", list(RIGHT))
def test_with_all_right_only_what_cannot_be_known_is_not_checked(
    name: str, reports: dict[str, Future[Report]]
) -> None:
    report = reports[name].result(100)
    assert [outcome.check for outcome in report.outcomes if not outcome.checked] == []


def test_a_change_that_happens_by_itself_will_do(tmp_path: Path) -> None:
    async def look() -> Report:
        async with client(2) as http:
            visit = Visit(f"{live.url}/scores/busy", {}, http, lambda _: None, IDLE_S, 2)
            looking = asyncio.create_task(examine(visit))
            while not looking.done():
                live.changed("score:busy")
                await asyncio.wait([looking], timeout=0.1)
            return looking.result()

    with node(site.app) as live:
        report = asyncio.run(look())
    said = {outcome.check: outcome for outcome in report.outcomes}
    assert said["change"].checked, said
    assert "changes too often" in said["waits"].said
    assert report.healthy, report
