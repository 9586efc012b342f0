from __future__ import annotations

import json
import re
import socket
from collections.abc import Callable

import httpx
from freshwire import admin
from websockets.sync.client import connect

from tests.python.command import Running

Start = Callable[..., Running]

LINE = re.compile(
    r'(?P<client>\S+) "(?P<method>\S+) (?P<target>\S+) HTTP/1\.(?P<minor>[01])" (?P<status>\d{3}|-) '
    r"(?P<bytes>\d+) (?P<ms>\d+)ms (?P<position>[0-9a-f]{8}-\d+|-) (?P<cache>\S+)"
)


def entry(running: Running, part: str) -> dict[str, str]:
    """The next line of the log that has this in it."""
    line = running.line(part)
    found = LINE.fullmatch(line)
    assert found, line
    return found.groupdict()


def test_a_line_has_the_position_and_what_the_cache_did(start: Start) -> None:
    running = start("serve", "main:app", "--port", "0", "--access-log")
    url = running.url()
    with httpx.Client(base_url=url) as http:
        first = http.get("/fruits/apple")
        line = entry(running, "/fruits/apple")
        assert (line["method"], line["status"], line["minor"]) == ("GET", "200", "1")
        assert (line["cache"], line["position"]) == ("stored", first.headers["fresh-position"])
        assert line["bytes"] == str(len(first.content))
        assert line["client"].startswith("127.0.0.1:")

        http.get("/fruits/apple")
        assert entry(running, "/fruits/apple")["cache"] == "hit"
        same = http.get("/fruits/apple", headers={"if-none-match": first.headers["etag"]})
        line = entry(running, "/fruits/apple")
        assert (line["status"], line["bytes"], line["cache"]) == (str(same.status_code), "0", "hit")

        http.post("/fruits/apple/eaten")
        line = entry(running, "POST")
        assert (line["status"], line["cache"]) == ("200", "method")
        assert int(line["position"].split("-")[1]) > int(first.headers["fresh-position"].split("-")[1])
        http.get("/nowhere")
        assert entry(running, "/nowhere")["status"] == "404"
        http.get("/raises")
        assert entry(running, "/raises")["status"] == "500"


def test_watches_and_sockets_are_logged_when_they_open_and_what_is_given_up_when_it_ends(
    start: Start,
) -> None:
    running = start("serve", "main:app", "--port", "0", "--access-log")
    url = running.url()
    with httpx.stream("GET", f"{url}/fruits/apple", headers={"accept": "text/event-stream"}):
        line = entry(running, "/fruits/apple")
        assert (line["status"], line["cache"]) == ("200", "watch")
    with connect(f"{url.replace('http', 'ws')}/socket"):
        assert entry(running, "/socket")["status"] == "101"
    with httpx.stream("GET", f"{url}/own") as stream:
        next(stream.iter_bytes())
    line = entry(running, "/own")
    assert (line["status"], line["bytes"]) == ("200", str(len("data: mine\n\n")))


def test_control_characters_are_escaped_and_secrets_are_not_written(start: Start) -> None:
    running = start("serve", "main:app", "--port", "0", "--access-log")
    url = running.url()
    httpx.get(f"{url}/a%0a%22b?access_token=s3cret&x=%0d%0a&token=s3cret")
    line = entry(running, "access_token")
    assert "s3cret" not in line["target"]
    assert line["target"].startswith("/a%0")
    httpx.request("PUT", f"{url}/c")
    assert entry(running, "/c")["method"] == "PUT"


def test_what_is_refused_is_logged_too(start: Start) -> None:
    running = start("serve", "main:app", "--port", "0", "--access-log", "--max-body", "10")
    url = running.url()
    refused = httpx.get(f"{url}/fruits/apple", headers={"host": "evil.example"})
    host = entry(running, "/fruits/apple")
    assert (host["status"], host["bytes"], host["position"]) == ("421", str(len(refused.content)), "-")
    assert httpx.post(f"{url}/later", content=b"0123456789a").status_code == 413
    assert entry(running, "/later")["status"] == "413"
    with socket.create_connection(("127.0.0.1", int(url.rsplit(":", 1)[1]))) as peer:
        peer.sendall(b"what is this\r\n\r\n")
        assert peer.recv(65_536).startswith(b"HTTP/1.1 400")
    running.line('"-" 400')


def test_what_comes_in_at_the_admin_socket_is_logged_without_an_address(start: Start) -> None:
    running = start("serve", "main:app", "--port", "0", "--access-log")
    running.url()
    transport = httpx.HTTPTransport(uds=str(admin.default_path()))
    with httpx.Client(transport=transport, base_url="http://node") as http:
        position = http.post("/changes", json={"tags": ["fruit:apple"]}).json()["position"]
        assert entry(running, "/changes")["client"] == "unix"
        assert http.get("/position").json() == {"position": position}
        refused = http.post("/changes", json={"tags": [""]})
        line = entry(running, '/changes HTTP/1.1" 422')
        assert line["bytes"] == str(len(refused.content))
        assert "watchers" in json.loads(http.get("/stats").text)


def test_there_is_none_unless_it_was_asked_for_and_errors_are_on_the_terminal(start: Start) -> None:
    running = start("serve", "main:app", "--port", "0")
    url = running.url()
    assert httpx.get(f"{url}/raises").status_code == 500
    running.line("Exception in the application")
    running.line('File "')
    running.line("ValueError: a bug")
    running.signal(15)
    running.end()
    assert not [line for line in running.printed() if "HTTP/1.1" in line]
