"""Whoever puts the kernel's settings back and ends the processes, however the benchmark itself ends.

It is a process of its own that changes the settings, leads the process group of everything that the benchmark starts,
and waits for the end of its standard input. That comes when the benchmark is over, and also when it was killed: then
the settings are put back, and the group is ended with its leader in it. It is also in the network namespace that the
group has, if it needs one (`settings.BUCKETS`).
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from benchmarks.million import MillionError, settings
from benchmarks.million.settings import ROOT, Setting

PATIENCE_S = 30.0
DONE = "restored"
CLONE_NEWNET = 0x40000000
SIOCSIFFLAGS = 0x8914
IFF_UP = 1


class Keeper:
    """Its end in the benchmark: the settings are as needed and there is a process group while it is open."""

    def __init__(self, needed: Sequence[Setting], root: Path = ROOT) -> None:
        """Change what must change. Raises MillionError."""
        apart = settings.apart(needed)
        # A namespace begins with the kernel's defaults, whatever the machine has.
        always = {settings.BUCKETS, *settings.OF_A_NAMESPACE} if apart else set()
        words = [f"{s.name}={s.needed}" for s in needed if not s.enough or s.name in always]
        self._popen = subprocess.Popen(
            [sys.executable, "-m", __name__, str(root), *words],
            cwd=Path(__file__).resolve().parents[2],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            process_group=0,
        )
        self.group = self._popen.pid
        self.network = Path(f"/proc/{self.group}/net")
        """What the kernel says of the network that the group is in."""
        inside = ["nsenter", f"--net=/proc/{self.group}/ns/net", "--"]
        self.enter = inside if apart else []
        """How to begin a command that is to be in that network."""
        assert self._popen.stdout is not None
        if (said := self._popen.stdout.readline().strip()) != "ready":
            self.close()
            raise MillionError(said or "the process that changes the settings has ended")

    def close(self) -> None:
        """Have everything put back and ended. Raises MillionError if something could not be put back."""
        if self._popen.returncode is not None:
            return
        try:
            said, _ = self._popen.communicate(timeout=PATIENCE_S)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            said, _ = self._popen.communicate()
        if DONE not in said:
            raise MillionError(f"the settings may not be as they were: {said.strip() or 'no answer'}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self.close()


def main(words: Sequence[str]) -> None:
    """Keep; the end of this is SIGKILL, to the whole group."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    root = Path(words[0])
    wanted = dict(word.split("=") for word in words[1:])
    own = {
        name: wanted.pop(name)
        for name in settings.OF_A_NAMESPACE
        if name in wanted and settings.BUCKETS in wanted
    }
    before: dict[str, str] = {}
    moved = False
    with open("/proc/self/ns/net") as machine:
        try:
            for name, value in wanted.items():
                before[name] = settings.read(name, root)
                settings.write(name, value, root)
            if settings.BUCKETS in wanted:
                _leave_the_network()
                moved = True
                for name, value in own.items():
                    settings.write(name, value, root)
        except OSError as error:
            print(f"cannot set {name}: {error.strerror}", flush=True)
        else:
            print("ready", flush=True)
            sys.stdin.read()
        if moved:
            _libc("setns", machine.fileno(), CLONE_NEWNET)  # settings are those of the network that one is in
    failed = [problem for name, value in before.items() if (problem := _restore(name, value, root))]
    try:
        print("; ".join(failed) or DONE, flush=True)
    finally:  # also when nobody listens any more
        os.killpg(0, signal.SIGKILL)


def _leave_the_network() -> None:
    """Into a network namespace that has nothing but a loopback interface. Raises OSError."""
    _libc("unshare", CLONE_NEWNET)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", IFF_UP))


def _libc(name: str, *arguments: int) -> None:
    """Call a function that Python has from 3.12. Raises OSError."""
    if getattr(ctypes.CDLL(None, use_errno=True), name)(*arguments):
        raise OSError(ctypes.get_errno(), f"{name}: {os.strerror(ctypes.get_errno())}")


def _restore(name: str, value: str, root: Path) -> str:
    """What is wrong, if anything."""
    try:
        settings.write(name, value, root)
    except OSError as error:
        return f"{name} was {value} and cannot be set: {error.strerror}"
    return ""


if __name__ == "__main__":
    main(sys.argv[1:])
