"""One attack on one server: slowhttptest's connections, how many of them the server still has, and whether another
client is served.
"""

from __future__ import annotations

import contextlib
import http.client
import subprocess
import threading
import time
from dataclasses import dataclass, field

CONNECTIONS = 1000
RATE = 500
LOOK_S = 30.0
"""When the connections that are left are counted, from the first on."""
PROBE_TIMEOUT_S = 5.0
ADDRESS = "127.0.0.1"
PROBE_ADDRESS = "127.0.0.2"
"""Where the attack and the other client come from."""
BEGIN_S = 5.0
"""How long an attack may take to be seen; one that is over at once never is."""


@dataclass(frozen=True)
class Attack:
    """A mode of slowhttptest."""

    name: str
    flags: tuple[str, ...]
    path: str
    counters: frozenset[str]
    """What the node counts of it, besides `max_connections_per_address`."""


ATTACKS = (
    # A field of the head every 10 s.
    Attack("slow head", ("-H", "-i", "10", "-x", "24"), "/", frozenset({"header_timeout"})),
    # Of a body of 8 KB, ten bytes every 10 s.
    Attack("slow body", ("-B", "-i", "10", "-s", "8192", "-x", "10"), "/", frozenset({"slow_body"})),
    # 32 bytes every 5 s, through a window of 10 to 20, of the three answers asked for.
    Attack(
        "slow read",
        ("-X", "-n", "5", "-z", "32", "-w", "10", "-y", "20", "-k", "3"),
        "/large",
        frozenset({"slow_reader"}),
    ),
    # A head of 20 KB that asks for 3,000 ranges; nothing of it is slow.
    Attack("ranges", ("-R", "-a", "1", "-b", "3000"), "/", frozenset()),
)


@dataclass
class Seen:
    """What became of an attack."""

    most: int = 0
    """Connections that the server had at once."""
    left: int = 0
    """Connections that it still had after `LOOK_S`."""
    probes: int = 0
    failed: list[str] = field(default_factory=list)
    """Why a probe was not served."""


def run(attack: Attack, port: int) -> Seen:
    """Attack a server on 127.0.0.1, probe it every second, and count what is left."""
    seen = Seen()
    done = threading.Event()
    prober = threading.Thread(target=_probe, args=(port, seen, done))
    words = [
        *("slowhttptest", "-c", str(CONNECTIONS), "-r", str(RATE), "-v", "0", *attack.flags),
        *("-l", str(int(LOOK_S) + 30), "-u", f"http://{ADDRESS}:{port}{attack.path}"),
    ]
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as slow:
        try:
            _wait_for_first(port, slow)
            prober.start()
            end = time.monotonic() + LOOK_S
            while time.monotonic() < end:
                seen.most = max(seen.most, connections(port))
                time.sleep(0.2)
            seen.left = connections(port)
        finally:
            done.set()
            slow.kill()
            if prober.ident is not None:
                prober.join()
    return seen


def connections(port: int) -> int:
    """How many connections the server has from the attack's address; not those that it has closed."""
    words = [
        "ss",
        "-Htn",
        "state",
        "established",
        "state",
        "close-wait",
        f"sport = :{port} and dst {ADDRESS}",
    ]
    return len(subprocess.run(words, capture_output=True, text=True, check=True).stdout.splitlines())


def _wait_for_first(port: int, slow: subprocess.Popen[bytes]) -> None:
    """Wait for the attack to begin, or to have ended already."""
    deadline = time.monotonic() + BEGIN_S
    while not connections(port) and slow.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)


def _probe(port: int, seen: Seen, done: threading.Event) -> None:
    while True:
        seen.probes += 1
        connection = http.client.HTTPConnection(
            ADDRESS, port, timeout=PROBE_TIMEOUT_S, source_address=(PROBE_ADDRESS, 0)
        )
        with contextlib.closing(connection):
            try:
                connection.request("GET", "/", headers={"Connection": "close"})
                if (status := connection.getresponse().status) != 200:
                    seen.failed.append(str(status))
            except (OSError, http.client.HTTPException) as error:
                seen.failed.append(type(error).__name__)
        if done.wait(1):
            return
