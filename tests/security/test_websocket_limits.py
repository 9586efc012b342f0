"""Rows 3 to 6, 12 and 13: what a WebSocket's peer may say, how much of it and how fast, on a watch and on an
application's WebSocket alike.
"""

import asyncio
import threading
import zlib
from collections.abc import Callable
from typing import Any

import pytest

from .conftest import Target, TargetProcess
from .wire import BINARY, CLOSE, PING, PONG, TEXT, Closed, Frame, Peer, frame

CONTINUATION = 0
COMPRESSED = 64
DEFLATE = (
    "Sec-WebSocket-Extensions: permessage-deflate; client_no_context_takeover; server_no_context_takeover"
)

SOURCE = """
async def app(scope, receive, send):
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": [(b"cache-groups", b'"t"')]})
        await send({"type": "http.response.body", "body": b"first"})
    if scope["type"] != "websocket":
        return
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        if (text := message.get("text")) is not None:
            await send({"type": "websocket.send", "text": text})
        else:
            await send({"type": "websocket.send", "bytes": message["bytes"]})
"""
namespace: dict[str, Any] = {}
exec(SOURCE, namespace)
echo = namespace["app"]

BOTH = pytest.mark.parametrize("subprotocol", ["", "freshwire.v1"], ids=["application", "watch"])


@pytest.fixture(scope="module")
def shared(attack_all: Callable[..., Target]) -> Target:
    return attack_all(echo)


def opened(target: Target | TargetProcess, subprotocol: str = "", *lines: str) -> Peer:
    """A WebSocket, and the first representation read if it is a watch."""
    peer = target.connect()
    assert peer.upgrade("/", *lines, subprotocol=subprotocol).status == 101
    if subprotocol:
        assert peer.message().payload == b"first"
    return peer


def ended(peer: Peer) -> Frame:
    """The close frame, behind which nothing comes."""
    last = peer.message()
    assert last.op == CLOSE, last
    assert peer.rest() == b""
    return last


def deflated(data: bytes) -> bytes:
    """A payload of permessage-deflate."""
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    return (deflate.compress(data) + deflate.flush(zlib.Z_SYNC_FLUSH))[:-4]


BROKEN = {
    "no mask": frame(TEXT, b"hello", mask=False),
    "a reserved bit": frame(TEXT, b"hello", bits=32),
    "compression that was not agreed": frame(TEXT, b"hello", bits=COMPRESSED),
    "a reserved opcode": frame(3, b"hello"),
    "a reserved control opcode": frame(11),
    "a fragmented control frame": frame(PING, b"x", last=False),
    "a long control frame": frame(PING, b"x" * 126),
    "a continuation of nothing": frame(CONTINUATION, b"x"),
    "a message within a message": frame(TEXT, b"x", last=False) + frame(TEXT, b"y"),
    "a length longer than it needs to be": b"\x81\xfe\x00\x05" + bytes(4) + b"hello",
    "a close code nobody may send": frame(CLOSE, b"\x03\xed"),
    "half a close code": frame(CLOSE, b"\x03"),
}


@BOTH
@pytest.mark.parametrize("sent", BROKEN.values(), ids=BROKEN)
def test_a_frame_that_breaks_the_protocol_ends_the_connection(
    sent: bytes, subprotocol: str, target: Target
) -> None:
    peer = opened(target, subprotocol)
    peer.send(sent + frame(TEXT, b"behind"))
    assert ended(peer).code == 1002
    assert target.refused() == {"websocket_protocol": 1}


@BOTH
def test_text_that_is_no_text_ends_the_connection(subprotocol: str, target: Target) -> None:
    peer = opened(target, subprotocol)
    peer.send(frame(TEXT, b"\xed\xa0\x80"))
    assert ended(peer).code == 1007
    assert target.refused() == {"websocket_protocol": 1}


@BOTH
@pytest.mark.parametrize("size", [64 * 1024 + 1, 2**32, 2**62])
def test_a_message_that_is_too_big_is_refused_by_its_length_field(
    size: int, subprotocol: str, target: Target
) -> None:
    peer = opened(target, subprotocol)
    peer.send(frame(BINARY, b"", size=size))
    last = ended(peer)
    assert (last.code, last.reason) == (1009, "a message above max_message_bytes")
    assert target.refused() == {"message_too_large": 1}


def test_a_message_as_big_as_it_may_be_arrives(target: Target) -> None:
    peer = opened(target)
    peer.send(frame(BINARY, b"x" * 64 * 1024))
    assert peer.message().payload == b"x" * 64 * 1024


@BOTH
def test_fragments_add_up_to_one_message(subprotocol: str, target: Target) -> None:
    peer = opened(target, subprotocol)
    peer.send(frame(BINARY, b"x" * 40_000, last=False) + frame(CONTINUATION, b"x" * 40_000, last=False))
    assert ended(peer).code == 1009
    assert target.refused() == {"message_too_large": 1}


@BOTH
def test_a_message_has_so_many_fragments(subprotocol: str, attack: Callable[..., Target]) -> None:
    target = attack(echo, max_frames_per_s=0)
    peer = opened(target, subprotocol)
    peer.try_send(frame(TEXT, last=False) + frame(CONTINUATION, last=False) * 1023)
    peer.try_send(frame(PING, b"alive"))
    assert peer.frame() == Frame(PONG, b"alive", 128 | PONG)
    peer.try_send(frame(CONTINUATION, last=False) * 100)
    last = ended(peer)
    assert (last.code, last.reason) == (1008, "a message of more than max_fragments")
    assert target.refused() == {"websocket_policy": 1}


@BOTH
@pytest.mark.parametrize(
    "sent",
    [
        frame(PONG),
        frame(TEXT, last=False) + frame(CONTINUATION, b"x" * 10, last=False) * 500 + frame(PONG) * 700,
    ],
)
def test_so_many_frames_come_in_a_second(sent: bytes, subprotocol: str, target: Target) -> None:
    peer = opened(target, subprotocol)
    for _ in range(60):
        # Pongs ask for nothing, but reading them is work.
        if not peer.try_send(sent * (100 if len(sent) < 100 else 1)):
            break
    last = ended(peer)
    assert last.code == 1008
    assert last.reason == "too many frames a second (max_frames_per_s)"
    assert target.refused() == {"websocket_rate": 1}


def test_what_a_peer_sends_grows_nothing(attack_process: Callable[..., TargetProcess]) -> None:
    target = attack_process(SOURCE, max_frames_per_s=0, max_connections_per_address=0)
    opened(target, "freshwire.v1", DEFLATE)
    before = target.memory_kib()
    bomb = deflated(bytes(100 * 2**20))
    assert len(bomb) < 110_000
    small_bomb = deflated(bytes(60 * 2**20))
    assert len(small_bomb) < 64 * 1024
    attacks = [
        (frame(BINARY, b"", size=2**62), 1009),
        (frame(BINARY, bomb, bits=COMPRESSED), 1009),
        (frame(BINARY, small_bomb, bits=COMPRESSED), 1009),
        (frame(TEXT, b"x" * 64, last=False) + frame(CONTINUATION, b"x" * 64, last=False) * 65_000, None),
        (frame(PING, b"x" * 125) * 20_000, 1008),
    ]
    for subprotocol in ("", "freshwire.v1"):
        for sent, code in attacks:
            peer = opened(target, subprotocol, DEFLATE)
            peer.try_send(sent)
            try:
                last = peer.message()
                assert code is None or last.code == code
            except Closed:  # by a reset, because so much was on its way
                pass
            peer.close()
    refused = target.refused()
    assert sum(refused.values()) == 10, refused
    assert target.memory_kib() - before < 3 * 1024


def test_a_bomb_takes_no_room(attack_process: Callable[..., TargetProcess]) -> None:
    target = attack_process(SOURCE)
    bomb = deflated(bytes(100 * 2**20))
    assert 100_000 < len(bomb) < 110_000
    # As one frame above the limit, and in fragments of which each is below it.
    whole = frame(BINARY, bomb, bits=COMPRESSED)
    pieces = frame(BINARY, bomb[:30_000], bits=COMPRESSED, last=False) + frame(CONTINUATION, bomb[30_000:])
    for sent in (whole, pieces):
        with opened(target, "", DEFLATE) as peer:
            peer.try_send(sent)
    before = target.memory_kib()
    for sent in (whole, pieces):
        for subprotocol in ("", "freshwire.v1"):
            with opened(target, subprotocol, DEFLATE) as peer:
                peer.try_send(sent)
                peer.rest()
    assert target.refused() == {"message_too_large": 6}
    assert target.memory_kib() - before < 1024


@BOTH
def test_65_000_fragments_are_cut_short(
    subprotocol: str, attack_process: Callable[..., TargetProcess]
) -> None:
    target = attack_process(SOURCE)
    peers = [opened(target, subprotocol) for _ in range(20)]
    before = target.memory_kib()
    for peer in peers:
        peer.try_send(
            frame(TEXT, b"x" * 64, last=False) + frame(CONTINUATION, b"x" * 64, last=False) * 65_000
        )
        peer.rest()
    assert sum(target.refused().values()) == 20
    assert set(target.refused()) <= {"websocket_rate", "websocket_policy", "message_too_large"}
    # What was sent was 84 MiB.
    assert target.memory_kib() - before < 4 * 1024


@BOTH
def test_20_000_pings_are_answered_with_a_few_pongs(subprotocol: str, target: Target) -> None:
    peer = opened(target, subprotocol)
    for n in range(200):
        if not peer.try_send(b"".join(frame(PING, b"%05d" % (n * 100 + m)) for m in range(100))):
            break
    frames = []
    try:
        while not frames or frames[-1].op != CLOSE:
            frames.append(peer.frame())
    except Closed:  # by a reset, because so much was on its way
        pass
    pongs = [said.payload for said in frames if said.op == PONG]
    assert len(pongs) <= 60
    assert pongs == sorted(pongs)
    assert set(target.refused()) == {"websocket_rate"}


@BOTH
def test_a_bomb_is_refused_for_what_it_inflates_to(subprotocol: str, target: Target) -> None:
    bomb = deflated(bytes(2**20))
    assert len(bomb) < 2000
    peer = opened(target, subprotocol, DEFLATE)
    peer.send(frame(BINARY, bomb, bits=COMPRESSED))
    assert ended(peer).code == 1009
    assert target.refused() == {"message_too_large": 1}


def test_compression_keeps_no_memory_of_a_connection(target: Target) -> None:
    asked = "Sec-WebSocket-Extensions: permessage-deflate"
    accepted = target.connect().upgrade("/", asked)["sec-websocket-extensions"]
    assert "server_no_context_takeover" in accepted
    assert "client_no_context_takeover" in accepted


def test_what_came_before_a_fault_is_answered_before_it(target: Target) -> None:
    peer = opened(target)
    peer.send(frame(TEXT, b"a") + frame(BINARY, b"b") + frame(3, b"") + frame(PING, b"never read"))
    assert [peer.message().payload for _ in range(2)] == [b"a", b"b"]
    assert ended(peer).code == 1002
    assert target.refused() == {"websocket_protocol": 1}


def test_a_fault_ends_the_connection_of_an_application_that_does_not_listen(
    attack: Callable[..., Target],
) -> None:
    left = threading.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "websocket":
            return
        await receive()
        await send({"type": "websocket.accept"})
        try:
            while True:
                await send({"type": "websocket.send", "text": "tick"})
                await asyncio.sleep(0.05)
        finally:
            left.set()

    peer = attack(app).connect()
    assert peer.upgrade("/").status == 101
    peer.send(frame(TEXT, b"unheard") + frame(3, b""))
    while (got := peer.message()).op == TEXT:
        assert got.payload == b"tick"
    assert got.code == 1002
    assert left.wait(10)


@BOTH
def test_a_flood_of_pings_is_not_answered_one_by_one(subprotocol: str, target: Target) -> None:
    peer = opened(target, subprotocol)
    for at in range(0, 20_000, 500):
        if not peer.try_send(b"".join(frame(PING, str(n).encode()) for n in range(at, at + 500))):
            break
    pongs = 0
    try:
        while (got := peer.frame()).op == PONG:
            pongs += 1
        assert got.code == 1008
        assert got.reason == "too many pings a second (max_pings_per_s)"
    except Closed:  # by a reset, because so much was on its way
        pass
    assert pongs <= 60
    assert target.refused() == {"websocket_rate": 1}


@BOTH
def test_of_pings_that_come_at_once_a_few_are_answered_each_and_of_many_the_newest(
    subprotocol: str, target: Target
) -> None:
    peer = opened(target, subprotocol)
    for pings, least in ((10, 10), (38, 16)):
        peer.send(b"".join(frame(PING, str(n).encode()) for n in range(pings)))
        pongs = [int(peer.frame().payload)]
        while pongs[-1] != pings - 1:
            pongs.append(int(peer.frame().payload))
        assert pongs[-least:] == list(range(pings - least, pings))
    assert len(pongs) < 38
    assert not target.refused()


def test_a_flood_of_messages_is_slowed_and_others_are_served(attack: Callable[..., Target]) -> None:
    target = attack(echo, max_messages_per_s=4, threads=1)
    flooder, other = opened(target), opened(target)
    flooder.send(frame(TEXT, b"flood") * 500)
    for _ in range(8):  # the burst
        assert flooder.message().payload == b"flood"
    for n in range(8):
        other.send(frame(TEXT, b"%d" % n))
        assert other.message().payload == b"%d" % n
    # What the rate allows in this time is a handful.
    assert flooder.available().count(b"flood") < 100
    assert target.connect().get("/").status == 200


def test_messages_that_came_too_fast_are_read_later(attack: Callable[..., Target]) -> None:
    target = attack(echo, max_messages_per_s=2)
    peer = opened(target)
    for n in range(8):  # one by one: nothing that comes later wakes the node
        peer.send(frame(TEXT, b"%d" % n))
        assert peer.message().payload == b"%d" % n


def test_a_watcher_that_talks_too_fast_still_hears_and_can_leave(attack: Callable[..., Target]) -> None:
    target = attack(echo, max_messages_per_s=2)
    peer = opened(target, "freshwire.v1")
    peer.send(frame(TEXT, b"x") * 10 + frame(PING, b"still there"))
    assert peer.frame() == Frame(PONG, b"still there", 128 | PONG)
    peer.send(frame(CLOSE, b"\x03\xe8"))
    assert ended(peer).code == 1000
