"""Addresses to listen on: reading them, binding them, and refusing what is not safe.

Text forms: `host:port`, `[::1]:8000`, `unix:/path`, `fd://3` (a socket inherited from a supervisor; systemd's
LISTEN_FDS are taken when nothing else was asked for).
"""

from __future__ import annotations

import errno
import ipaddress
import os
import re
import socket
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from freshwire import admin
from freshwire.asgi.server import Listener
from freshwire.exceptions import AddressError, OptionError

Role = Literal["public", "admin"]

SYSTEMD_FIRST_FD = 3
NO_TCP_ADMIN = "the admin API is not offered on TCP, as it has no key yet: give a path"


@dataclass(frozen=True, slots=True)
class Tcp:
    """A host and a port; port 0 is a free one."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Unix:
    """A path in the file system."""

    path: Path


@dataclass(frozen=True, slots=True)
class Inherited:
    """A descriptor that whoever started this process has opened."""

    descriptor: int


Address = Tcp | Unix | Inherited


def parse(text: str) -> Address:
    """Read an address. Raises OptionError."""
    if text.startswith("unix:"):
        path = text.removeprefix("unix:").removeprefix("//")
        if not path:
            raise OptionError(f"{text!r} has no path: unix:/run/app.sock")
        return Unix(Path(path))
    if text.startswith("fd://"):
        number = text.removeprefix("fd://")
        if not number.isdecimal():
            raise OptionError(f"{text!r} has no descriptor: fd://3")
        return Inherited(int(number))
    found = re.fullmatch(r"(?:\[(?P<v6>[^\]]+)\]|(?P<host>[^:]*)):(?P<port>\d{1,5})", text)
    if found is None or int(found["port"]) > 65535:
        raise OptionError(f"{text!r} is no address: host:port, [::1]:8000, unix:/path or fd://3")
    return Tcp(found["v6"] or found["host"] or "0.0.0.0", int(found["port"]))


def systemd() -> list[str]:
    """The sockets that systemd (or what speaks its protocol) passed to this process, as `fd://` addresses."""
    if os.environ.get("LISTEN_PID") != str(os.getpid()):
        return []
    count = int(os.environ.get("LISTEN_FDS", "0"))
    return [f"fd://{SYSTEMD_FIRST_FD + number}" for number in range(count)]


def bind(address: Address, *, backlog: int = 2048, mode: int = 0o666) -> list[socket.socket]:
    """Open the sockets of an address and let the kernel accept; a host name can stand for several.

    backlog: connections that the kernel keeps waiting.
    mode: who may connect to a Unix socket, less the umask.

    Raises AddressError.
    """
    match address:
        case Tcp(host, port):
            return _bind_tcp(host, port, backlog)
        case Unix(path):
            return [bind_unix(path, backlog=backlog, mode=mode)]
        case Inherited(descriptor):
            return [_adopt(descriptor)]


def _bind_tcp(host: str, port: int, backlog: int) -> list[socket.socket]:
    """Open a socket for each address of a host."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise AddressError(f"cannot listen on {host}: {error.strerror}") from error
    sockets: list[socket.socket] = []
    for family, kind, protocol, _, where in dict.fromkeys(found):
        listening = socket.socket(family, kind, protocol)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            chosen = port or (sockets[0].getsockname()[1] if sockets else 0)
            listening.bind((where[0], chosen, *where[2:]))
            listening.listen(backlog)
        except OSError as error:
            listening.close()
            if error.errno == errno.EADDRNOTAVAIL and len(found) > 1:
                continue
            for opened in sockets:
                opened.close()
            raise AddressError(f"cannot listen on {host}:{port}: {_reason(error, port)}") from error
        sockets.append(listening)
    if not sockets:
        raise AddressError(f"cannot listen on {host}:{port}: none of its addresses is on this machine")
    return sockets


def _reason(error: OSError, port: int) -> str:
    """Why an address cannot be had, and what to do."""
    if error.errno == errno.EADDRINUSE:
        return f"another process listens there; stop it, or choose another with --port {port + 1} or --port 0"
    if error.errno == errno.EACCES:
        return f"{error.strerror}: ports below 1024 need a privilege; use one above, or systemd's sockets"
    return error.strerror or str(error)


def bind_unix(path: Path, *, backlog: int = 2048, mode: int) -> socket.socket:
    """Open a Unix socket; one that a dead process left is replaced, one that lives is not.

    mode: who may connect, less the umask.

    Raises AddressError.
    """
    try:
        if path.is_socket():
            if is_live(path):
                raise AddressError(f"cannot listen on {path}: another process listens there")
            path.unlink()
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            os.fchmod(listening.fileno(), mode)  # before bind, so that the file never has another
            listening.bind(os.fspath(path))
            listening.listen(backlog)
        except OSError:
            listening.close()
            raise
    except AddressError:
        raise
    except OSError as error:
        raise AddressError(f"cannot listen on {path}: {error.strerror or error}") from error
    return listening


def is_live(path: Path) -> bool:
    """Whether a process listens on a Unix socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)  # a full backlog is a living one
        try:
            probe.connect(os.fspath(path))
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except OSError:
            return True
    return True


def _adopt(descriptor: int) -> socket.socket:
    """A socket from an inherited descriptor. Raises AddressError."""
    try:
        listening = socket.socket(fileno=descriptor)
    except OSError as error:
        raise AddressError(f"fd://{descriptor} is not a socket: {error.strerror}") from error
    if not listening.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        listening.detach()
        raise AddressError(f"fd://{descriptor} is a socket that does not listen")
    os.set_inheritable(descriptor, False)
    return listening


def text_of(listening: socket.socket) -> str:
    """The address of a socket as text: 127.0.0.1:8000, [::1]:8000 or unix:/path."""
    name = listening.getsockname()
    if listening.family == socket.AF_UNIX:
        return f"unix:{os.fsdecode(name)}"
    return f"[{name[0]}]:{name[1]}" if listening.family == socket.AF_INET6 else f"{name[0]}:{name[1]}"


def is_loopback(listening: socket.socket) -> bool:
    """Whether only this machine can connect."""
    return (
        listening.family == socket.AF_UNIX
        or ipaddress.ip_address(listening.getsockname()[0].split("%")[0]).is_loopback
    )


@dataclass(slots=True)
class Opened:
    """What a node listens on."""

    listeners: list[Listener] = field(default_factory=list)
    public: list[str] = field(default_factory=list)
    """The addresses of the public ones, as text."""
    admin_path: str | None = None
    """The path of the admin socket."""
    files: list[Path] = field(default_factory=list)
    """The Unix sockets that this process has made in the file system, and removes when it ends."""

    def add(self, address: Address, role: Role, *, backlog: int, mode: int = 0o666) -> None:
        """Open an address. Raises AddressError."""
        for listening in bind(address, backlog=backlog, mode=mode):
            self.listeners.append(Listener(listening, role))
            if role == "public":
                self.public.append(text_of(listening))
            elif listening.family == socket.AF_UNIX:
                self.admin_path = os.fsdecode(listening.getsockname())
        if isinstance(address, Unix):
            self.files.append(address.path)

    def close(self) -> None:
        """Close the sockets that nobody took over, and remove the files."""
        for listener in self.listeners:
            listener.socket.close()
        self.remove()

    def remove(self) -> None:
        """Remove the files."""
        for path in self.files:
            path.unlink(missing_ok=True)


def open_all(
    addresses: Iterable[str], admin_socket: str, *, backlog: int, allow_hosts: Sequence[str]
) -> Opened:
    """Open every listener of a node.

    admin_socket: a path, `fd://3`, "off" for none, or empty for this user's and directory's own.
    allow_hosts: the names that the node answers to; needed as soon as other machines can connect (DNS
        rebinding).

    Raises OptionError, AddressError.
    """
    public = [parse(address) for address in addresses]
    opened = Opened()
    try:
        for address in public:
            opened.add(address, "public", backlog=backlog)
        for listener in opened.listeners:
            if not allow_hosts and not is_loopback(listener.socket):
                raise OptionError(
                    f"{text_of(listener.socket)} can be reached from other machines, so say which host names "
                    "are yours: --allow-host example.org (repeatable, '*.example.org' for subdomains, '*' "
                    "for any, which leaves browsers open to DNS rebinding)"
                )
        administration = _admin_address(admin_socket)
        if administration is not None:
            opened.add(administration, "admin", backlog=backlog, mode=0o600)
            if opened.admin_path is None:
                raise OptionError(f"--admin-socket {admin_socket} is not a Unix socket; {NO_TCP_ADMIN}")
    except BaseException:
        opened.close()
        raise
    return opened


def _admin_address(value: str) -> Address | None:
    """Where the admin listener goes. Raises OptionError, AddressError."""
    if value == admin.OFF:
        return None
    if value.startswith("fd://"):
        return parse(value)
    if re.fullmatch(r"\[?[\w.:*-]*\]?:\d+", value):
        raise OptionError(f"--admin-socket {value} is a TCP address; {NO_TCP_ADMIN}")
    return Unix(Path(value.removeprefix("unix:")) if value else _default_admin_path())


def _default_admin_path() -> Path:
    """The default path, in a directory that only this user can use; beside it if a node has it already.

    Raises AddressError.
    """
    directory = admin.directory()
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        private = admin.is_private(directory)
    except OSError as error:
        raise AddressError(f"cannot make {directory} for the admin socket: {error.strerror}") from error
    if not private:
        raise AddressError(
            f"{directory} is not a directory that only this user can use, so the admin socket cannot be "
            "there: remove it, or choose another place with --admin-socket PATH (or off)"
        )
    path = admin.default_path()
    if path.is_socket() and is_live(path):
        other = path.with_name(f"{path.stem}-{os.getpid()}.sock")
        print(
            f"warning: another node of this directory has the admin socket {path}; changes made in other "
            f"processes go to that one unless they set {admin.VARIABLE}={other}",
            file=sys.stderr,
        )
        return other
    return path
