"""Clients that behave badly beside those that do not, who must not notice."""

import asyncio
import ctypes
import itertools
import json
import os
import random
import shutil
import socket
import struct
import subprocess
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from conformance.faults.node import NodeProcess
from conformance.faults.trial import Size, Trial, trial

HEAD = b"Host: localhost\r\n"
GET = b"GET /r/4 HTTP/1.1\r\n" + HEAD + b"\r\n"
REQUESTS = (
    GET,
    b"GET /r/4 HTTP/1.1\r\n" + HEAD + b"Accept: text/event-stream\r\n\r\n",
    b"GET /r/4 HTTP/1.1\r\n" + HEAD + b'If-None-Match: "x"\r\nPrefer: wait=3\r\n\r\n',
    b"PUT /r/4?version=0 HTTP/1.1\r\n" + HEAD + b"Content-Length: 20\r\n\r\n" + bytes(20),
    b"PUT /r/4?version=0 HTTP/1.1\r\n" + HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n",
    b"GET /r/4 HTTP/1.1\r\n"
    + HEAD
    + b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    + b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: freshwire.v1\r\n\r\n"
    + b"\x89\x84abcd\x01\x02\x03\x04",
)
"""One of each: a GET, an event stream, a poll, a body, a body in chunks, a WebSocket with a ping."""
ATTEMPT_S = 5.0


async def connected(it: Trial, receive_buffer: int = 0) -> socket.socket:
    """A connection whose segments are what is sent."""
    peer = socket.socket()
    if receive_buffer:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    peer.setblocking(False)
    peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    await asyncio.get_running_loop().sock_connect(peer, ("127.0.0.1", it.node.port))
    return peer


async def read(peer: socket.socket, at_most: int) -> bytes:
    """Something, or nothing for what does not come."""
    try:
        async with asyncio.timeout(ATTEMPT_S):
            return await asyncio.get_running_loop().sock_recv(peer, at_most)
    except (OSError, TimeoutError):
        return b""


async def send(peer: socket.socket, data: bytes) -> None:
    """All of it, if the node takes it."""
    with suppress(OSError):
        await asyncio.get_running_loop().sock_sendall(peer, data)


def reset(peer: socket.socket) -> None:
    """End a connection as a crash does."""
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.close()


async def _beside(
    size: Size, seed: int, folder: Path, badly: Callable[[Trial], Awaitable[None]], **options: object
) -> None:
    """Behave badly beside everybody else, and see that nothing is left of it."""
    async with trial(size, seed, folder, options) as it:
        await badly(it)
        await it.calm()
        await _is_gone(it)


async def _is_gone(it: Trial) -> None:
    """Nobody is connected but those who should be."""
    for _ in range(500):
        # Who asks is connected too, and the clients have one connection each, the writers a few.
        if (await it.node.stats())["connections"] <= len(it.followers) + len(it.readers) + 8:
            return
        await asyncio.sleep(0.02)
    raise AssertionError(f"connections are left: {await it.node.stats()}")


async def reset_at_any_byte(size: Size, seed: int, folder: Path) -> None:
    """After each byte of a request, and after some bytes of its response."""

    async def badly(it: Trial) -> None:
        step = 3 if size.rounds == 1 else 1
        for request in REQUESTS:
            for cut in range(it.chance.randrange(step), len(request) + 1, step):
                peer = await connected(it)
                await send(peer, request[:cut])
                if cut == len(request):
                    await read(peer, it.chance.randrange(1, 5000))
                reset(peer)

    await _beside(size, seed, folder, badly)


async def half_closes(size: Size, seed: int, folder: Path) -> None:
    """A request whose sender says that there is no more is answered; a watch ends."""

    async def badly(it: Trial) -> None:
        for _ in range(5 * size.rounds):
            for request in REQUESTS:
                with closing(await connected(it)) as peer:
                    await send(peer, request)
                    peer.shutdown(socket.SHUT_WR)
                    came = b""
                    while piece := await read(peer, 65_536):
                        came += piece
                    if request is GET:
                        head, _, body = came.partition(b"\r\n\r\n")
                        assert head.startswith(b"HTTP/1.1 200"), head
                        assert json.loads(body)["resource"] == 4

    await _beside(size, seed, folder, badly)


async def stalls(size: Size, seed: int, folder: Path) -> None:
    """In the middle of a request: it is told so, or cut off."""

    async def badly(it: Trial) -> None:
        peers = []
        for _ in range(10 * size.rounds):
            peer = await connected(it)
            request = it.chance.choice(REQUESTS)
            await send(peer, request[: it.chance.randrange(1, len(request.partition(b"\r\n\r\n")[0]))])
            peers.append(peer)
        for peer in peers:
            with closing(peer):
                came = await read(peer, 100)
                assert not came or came.startswith(b"HTTP/1.1 408"), came

    await _beside(size, seed, folder, badly, header_timeout_s=1.0)


async def segments_of_three_bytes(size: Size, seed: int, folder: Path) -> None:
    """A request is what it is, however it comes."""

    async def badly(it: Trial) -> None:
        for request in REQUESTS * size.rounds:
            with closing(await connected(it)) as peer:
                for at in range(0, len(request), 3):
                    await send(peer, request[at : at + 3])
                    await asyncio.sleep(0)
                status = (await read(peer, 4096)).partition(b"\r\n")[0]
                assert status.split()[1] in {b"200", b"204", b"101"}, (request, status)

    await _beside(size, seed, folder, badly)


async def reads_a_byte_a_second(size: Size, seed: int, folder: Path) -> None:
    """It costs the node next to nothing, and is given up in the end."""

    async def badly(it: Trial) -> None:
        await it.until_followed()
        before_kib = it.node.memory_kib()
        peers = [await connected(it, receive_buffer=2048) for _ in range(50 * size.rounds)]
        for peer in peers:
            await send(peer, it.chance.choice(REQUESTS[1:2] + REQUESTS[5:]))
        until_s = asyncio.get_running_loop().time() + 3 * size.span_s
        while asyncio.get_running_loop().time() < until_s:
            for peer in peers:
                with suppress(OSError):
                    peer.recv(1)
            await asyncio.sleep(1.0)
        grown_kib = it.node.memory_kib() - before_kib
        # A stuck client holds at most the message that it is in the middle of, and they share those.
        assert grown_kib < 40 * 1024, f"{grown_kib} KiB for {len(peers)}"
        for peer in peers:
            peer.close()

    await _beside(size, seed, folder, badly)


NETWORK = "10.203.77"
CLONE_NEWNET = 0x40000000


def ip(command: str) -> None:
    """Of iproute2. Raises CalledProcessError."""
    subprocess.run(["ip", *command.split()], check=True)


def can_cut() -> bool:
    """Whether this machine lets us have a network of our own."""
    return os.geteuid() == 0 and shutil.which("ip") is not None


@contextmanager
def network() -> Iterator[str]:
    """A network with a link to it; its name."""
    name = f"fw{random.randrange(10**6)}"
    commands = [
        f"netns add {name}",
        f"link add {name}a type veth peer name {name}b netns {name}",
        f"addr add {NETWORK}.1/24 dev {name}a",
        f"link set {name}a up",
        f"-n {name} addr add {NETWORK}.2/24 dev {name}b",
        f"-n {name} link set {name}b up",
    ]
    try:
        for command in commands:
            ip(command)
        yield name
    finally:
        ip(f"netns del {name}")


def sockets_in(name: str, count: int) -> list[socket.socket]:
    """Sockets that belong to that network; only their thread ever did."""
    made: list[socket.socket] = []

    def make() -> None:
        with open(f"/run/netns/{name}") as file:
            if ctypes.CDLL(None, use_errno=True).setns(file.fileno(), CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "setns")
        made.extend(socket.socket() for _ in range(count))

    thread = threading.Thread(target=make)
    thread.start()
    thread.join()
    return made


async def vanish(size: Size, seed: int, folder: Path) -> None:
    """Their link is cut: nobody says that they have gone, and they are given up."""
    with network() as name:
        options = {"push_timeout_s": 2.0}
        async with trial(size, seed, folder, options, clients=False, arrange=_everywhere) as it:
            peers = sockets_in(name, 20 * size.rounds)
            loop = asyncio.get_running_loop()
            for peer in peers:
                peer.setblocking(False)
                await loop.sock_connect(peer, (f"{NETWORK}.1", it.node.port))
                await send(peer, it.chance.choice(REQUESTS[1:2] + REQUESTS[5:]))
                assert await read(peer, 100)
            await _figure(it, "watchers", len(peers))
            ip(f"-n {name} link set {name}b down")
            await it.node.changed("r4")
            await _figure(it, "watchers", 0)
            for peer in peers:
                peer.close()


def _everywhere(node: NodeProcess) -> None:
    node.arguments += ["--host", "0.0.0.0", "--allow-host", "*"]


async def _figure(it: Trial, name: str, value: int) -> None:
    """Wait until a figure of the node is this."""
    async with asyncio.timeout(ATTEMPT_S * 6):
        for pause_s in itertools.repeat(0.05):
            if (await it.node.stats())[name] == value:
                return
            await asyncio.sleep(pause_s)


SCENARIOS = (
    reset_at_any_byte,
    half_closes,
    stalls,
    segments_of_three_bytes,
    reads_a_byte_a_second,
    vanish,
)
