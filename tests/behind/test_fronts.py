"""What each proxy of docs/behind lets through, keeps, and keeps to itself, with the file that the page shows."""

import json
from pathlib import Path

import httpx
import pytest
from freshwire.testing import LiveNode, node
from freshwire.testing.watch import Transport
from websockets.sync.client import connect

from tests.security.test_forwarded import SAID_BY_PROXIES
from tests.security.wire import Peer

from . import site
from .conftest import Behind
from .fronts import CACHES, FILES, YOURS, adapted, front


@pytest.mark.parametrize("name", FILES)
def test_a_file_changes_in_its_marked_lines_alone(name: str, tmp_path: Path) -> None:
    changed = adapted(name, tmp_path, 1, 2)
    assert YOURS.findall(changed)
    assert "8000" not in changed


def test_a_resource_is_read_with_all_that_the_node_says(behind: Behind, name: str) -> None:
    answer = behind.get(f"/scores/{name}")
    assert answer.json() == {"score": 0}
    assert answer.headers["etag"]
    assert answer.headers["fresh-position"]
    assert answer.headers["cache-groups"] == f'"score:{name}"'
    assert "freshwire" in answer.headers["cache-status"]


def test_a_writer_reads_what_it_wrote(behind: Behind, name: str) -> None:
    assert behind.get(f"/scores/{name}").json() == {"score": 0}
    for score in (1, 2, 3):
        behind.goal(name)
        assert behind.get(f"/scores/{name}").json() == {"score": score}


def test_what_has_a_lifetime_is_kept_by_caches(behind: Behind, name: str) -> None:
    first = behind.get(f"/tables/{name}")
    before = behind.requests()
    again = [behind.get(f"/tables/{name}") for _ in range(5)]
    assert {answer.content for answer in again} == {first.content}
    assert behind.requests() - before == (0 if behind.front in CACHES else 5)
    if behind.front in CACHES:
        assert all(f"{behind.front}; hit" in answer.headers["cache-status"] for answer in again)


def test_what_has_no_lifetime_is_not_kept(behind: Behind, name: str) -> None:
    before = behind.requests()
    for _ in range(3):
        behind.get(f"/scores/{name}")
    assert behind.requests() - before == 3


@pytest.mark.parametrize("transport", ["sse", "websocket", "poll"])
@pytest.mark.parametrize("path", ["/scores", "/tables"])
def test_a_watch_gets_the_state_and_then_the_change(
    transport: Transport, path: str, behind: Behind, name: str
) -> None:
    # A cached copy must not be what the watch is answered with, in whatever form.
    assert behind.get(f"{path}/{name}").json() == {"score": 0}
    watch = behind.watch(f"{path}/{name}", transport)
    assert watch.next().json() == {"score": 0}
    for score in (1, 2):
        behind.goal(name)
        assert watch.next().json() == {"score": score}


def test_a_json_client_gets_no_event_stream_after_an_event_source(behind: Behind, name: str) -> None:
    with behind.http.stream(
        "GET", f"{behind.url}/tables/{name}", headers={"Accept": "text/event-stream"}
    ) as events:
        assert events.headers["content-type"] == "text/event-stream"
        for _ in range(2):
            assert behind.get(f"/tables/{name}").json() == {"score": 0}


def test_a_stream_of_the_application_is_not_held_back(behind: Behind) -> None:
    with behind.http.stream("GET", f"{behind.url}/own", headers={"Accept": "text/event-stream"}) as events:
        assert next(events.iter_lines()) == "data: first"


def test_a_websocket_of_the_application_goes_through(behind: Behind) -> None:
    with connect(behind.url.replace("http", "ws") + "/echo", proxy=None) as socket:
        for said in ("one", "two"):
            socket.send(said)
            assert socket.recv(10) == said


def test_no_other_protocol_gets_a_tunnel(behind: Behind) -> None:
    lines = {"Connection": "Upgrade, HTTP2-Settings", "Upgrade": "h2c", "HTTP2-Settings": "AAMAAABkAAQAAP__"}
    answer = behind.http.get(f"{behind.url}/request", headers=lines)
    assert answer.status_code == 200
    assert "h2c" not in answer.text


def test_two_users_never_see_each_others_bytes(behind: Behind) -> None:
    for _ in range(2):
        for user in ("ann", "bob"):
            assert behind.get("/me", Cookie=f"user={user}").json()["cookie"] == f"user={user}"
            assert behind.get("/me", Authorization=user).json()["authorization"] == user
        assert behind.get("/me").json() == {"authorization": "", "cookie": ""}


def test_a_cookie_that_is_set_is_given_to_nobody_else(behind: Behind) -> None:
    for _ in range(2):
        answers = [httpx.get(f"{behind.url}/login?user=ann", trust_env=False) for _ in range(2)]
        assert all(answer.headers["set-cookie"] == "session=ann" for answer in answers)
    before = behind.requests()
    httpx.get(f"{behind.url}/login?user=ann", trust_env=False)
    assert behind.requests() == before + 1


def test_who_the_client_is_is_not_what_it_says(behind: Behind) -> None:
    lines = dict.fromkeys(SAID_BY_PROXIES.split(), "6.6.6.6")
    seen = behind.http.get(f"{behind.url}/request", headers=lines | {"X-Forwarded-Proto": "https"}).json()
    assert (seen["client"], seen["scheme"]) == ("127.0.0.1", "http")
    assert "6.6.6.6" not in json.dumps(seen)
    forged = httpx.get(f"{behind.url}/request", headers={"X-Forwarded-For": "6.6.6.6"}, trust_env=False)
    assert forged.json()["client"] == "127.0.0.1"


def test_another_host_gets_nothing_from_the_node(behind: Behind) -> None:
    before = behind.requests()
    host, port = behind.url.removeprefix("http://").split(":")
    with Peer((host, int(port))) as peer:
        peer.send(b"GET /scores/x HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n")
        assert b"score" not in peer.rest()
    assert behind.requests() == before


def test_a_connection_to_the_node_serves_many_clients(behind: Behind, name: str) -> None:
    before = behind.live.stats()["accepted"]
    for _ in range(20):
        httpx.get(f"{behind.url}/scores/{name}", trust_env=False)
    assert behind.live.stats()["accepted"] - before <= 2


def test_nobody_but_purgers_can_purge(origin: LiveNode, tmp_path: Path) -> None:
    nobody = {'"127.0.0.1";  # yours\n}': '"192.0.2.1";  # yours\n}'}
    at = int(origin.url.rpartition(":")[2])
    for name, changes, status in (("allowed", {}, 200), ("refused", nobody, 405)):
        with front("varnish", tmp_path / name, at, changes=changes) as (host, port):
            url = f"http://{host}:{port}/tables/purged"
            calls = [httpx.get(url).status_code, httpx.request("PURGE", url).status_code]
            kept = "hit" in httpx.get(url).headers["cache-status"].rpartition("varnish")[2]
        assert (calls, kept) == ([200, status], status == 405)


def test_a_purge_is_understood_where_one_can_be_made_alone(behind: Behind, name: str) -> None:
    behind.get(f"/tables/{name}")
    purged = behind.http.request("PURGE", f"{behind.url}/tables/{name}")
    again = behind.get(f"/tables/{name}")
    # Elsewhere it is a request like others, which the application refuses.
    assert purged.status_code == (200 if behind.front == "varnish" else 405)
    assert (f"{behind.front}; hit" in again.headers["cache-status"]) == (behind.front == "nginx")


def test_what_is_for_purged_caches_alone_is_kept_by_varnish(tmp_path: Path, name: str) -> None:
    with (
        node(site.app, cdn_max_age_s=600) as live,
        front("varnish", tmp_path, int(live.url.rpartition(":")[2])) as (host, port),
    ):
        answers = [httpx.get(f"http://{host}:{port}/tables/{name}") for _ in range(2)]
    assert ["varnish; hit" in answer.headers["cache-status"] for answer in answers] == [False, True]
    assert "no-cache" in answers[1].headers["cache-control"]
    assert answers[1].headers["cdn-cache-control"].startswith("max-age=600")
