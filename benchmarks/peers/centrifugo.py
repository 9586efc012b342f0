"""Centrifugo 6: its unidirectional transports, published to over its HTTP API."""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from benchmarks.peers import Peer, needs_programs, program
from benchmarks.peers.publisher import Publisher
from benchmarks.processes import get, listening, websocket
from benchmarks.station import Station
from tests.ports import free_port

SUBSCRIBE = quote(json.dumps({"subs": {"state": {}}}))
CONFIGURATION = {
    "client": {"insecure": True, "allowed_origins": ["*"]},
    "channel": {"without_namespace": {"allow_subscribe_for_anonymous": True}},
    "http_api": {"insecure": True},
    "uni_sse": {"enabled": True},
    "uni_websocket": {"enabled": True},
    "log": {"level": "error"},
}


@contextlib.contextmanager
def _station() -> Iterator[Station]:
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="freshwire-centrifugo-") as name:
        path = Path(name, "config.json")
        settings = {**CONFIGURATION, "http_server": {"address": "127.0.0.1", "port": port}}
        path.write_text(json.dumps(settings))
        words = [program("centrifugo") or "centrifugo", "--config", str(path)]
        with listening("centrifugo", words, port) as server:
            publisher = Publisher(port, "/api/publish", wrapped)
            requests = {
                "sse": get(f"/connection/uni_sse?cf_connect={SUBSCRIBE}"),
                "websocket": websocket(f"/connection/uni_websocket?cf_connect={SUBSCRIBE}"),
            }
            yield Station(server, requests, publisher.push, greets=False)


def wrapped(state: bytes) -> bytes:
    return b'{"channel":"state","data":%s}' % state


PEER = Peer("centrifugo", ("sse", "websocket"), needs_programs("centrifugo"), _station)
