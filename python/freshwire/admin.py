"""The way to a node in another process: HTTP/1.1 over its Unix admin socket, and where that socket is.

Called by `Fresh.changed` when this process is no node, and by the command line, which makes the socket.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import socket
import stat
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from freshwire.exceptions import NodeRefused, NodeUnreachable, TagError

VARIABLE = "FRESHWIRE_ADMIN_SOCKET"
"""The environment variable that names the socket."""
OFF = "off"
"""The value that says: no admin socket, or no node to tell."""
TIMEOUT_S = 5.0
"""How long a node may take to answer, seconds."""
MAX_ANSWER_BYTES = 64 * 1024
"""The longest answer that is read, bytes."""


@dataclass(frozen=True, slots=True)
class AdminSocket:
    """Where a node is expected, and who said so."""

    path: Path | None
    """None: switched off."""
    source: str
    """What named the path, for errors."""


def directory() -> Path:
    """The directory of this user's default sockets; nobody else can make it or look into it."""
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    return Path(runtime) / "freshwire" if runtime else Path(f"/tmp/freshwire-{os.getuid()}")


def default_path(project: Path | None = None) -> Path:
    """The default socket of the node that was started in a directory.

    project: that directory; None: the current one.
    """
    real = os.path.realpath(project or Path.cwd())
    return directory() / f"{hashlib.sha256(os.fsencode(real)).hexdigest()[:12]}.sock"


def is_private(path: Path) -> bool:
    """Whether a directory is ours and closed to others, so that nobody can have put a socket there for us."""
    status = path.lstat()
    return (
        stat.S_ISDIR(status.st_mode)
        and status.st_uid == os.getuid()
        and not stat.S_IMODE(status.st_mode) & 0o077
    )


def project_table(project: Path | None = None) -> Mapping[str, object]:
    """`[tool.freshwire]` of a directory's pyproject.toml; empty without one.

    Raises tomllib.TOMLDecodeError.
    """
    try:
        text = ((project or Path.cwd()) / "pyproject.toml").read_text(encoding="utf-8")
    except OSError:
        return {}
    table = tomllib.loads(text).get("tool", {}).get("freshwire", {})
    return table if isinstance(table, dict) else {}


def find(explicit: str | os.PathLike[str] | None = None) -> AdminSocket:
    """Where the node is: as said, else FRESHWIRE_ADMIN_SOCKET, else pyproject.toml, else the default path."""
    named: tuple[tuple[object, str], ...] = (
        (explicit, "given to Fresh(admin_socket=...)"),
        (os.environ.get(VARIABLE), f"from {VARIABLE}"),
    )
    for value, source in named:
        if value:
            return AdminSocket(None if value == OFF else Path(str(value)), source)
    value = project_table().get("admin_socket")
    if isinstance(value, str) and value:
        return AdminSocket(None if value == OFF else Path(value), "from [tool.freshwire] in pyproject.toml")
    return AdminSocket(default_path(), f"the default for {Path.cwd()}")


class _Connection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=TIMEOUT_S)
        self.path = path

    def connect(self) -> None:
        """Connect. Raises OSError."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(os.fspath(self.path))


def post_changes(where: AdminSocket, tags: Sequence[str]) -> str:
    """Tell a node that tags changed; blocks for at most a few `TIMEOUT_S`.

    Returns the position, or "" when there is deliberately no node (`off`).

    Raises NodeUnreachable, TagError if the node says that a tag is at fault, NodeRefused if it says anything
    else.
    """
    if where.path is None:
        return ""
    if where.path.parent == directory() and where.path.parent.exists() and not is_private(where.path.parent):
        raise NodeUnreachable(
            f"{where.path.parent} is not a directory that only this user can use, so whoever listens there "
            f"may be anybody: remove it, or set {VARIABLE}"
        )
    connection = _Connection(where.path)
    try:
        connection.request(
            "POST", "/changes", json.dumps({"tags": list(tags)}), {"Content-Type": "application/json"}
        )
        response = connection.getresponse()
        status, body = response.status, response.read(MAX_ANSWER_BYTES)
    except (OSError, http.client.HTTPException) as error:
        raise NodeUnreachable(
            f"no node answers at {where.path} ({where.source}): {error or type(error).__name__}. Start it "
            f"with `freshwire serve`, set {VARIABLE} to its admin socket, or set it to `{OFF}` where no node "
            "is meant to run"
        ) from error
    finally:
        connection.close()
    return _position(where.path, status, body)


def _position(path: Path, status: int, body: bytes) -> str:
    """Read the node's answer: a position, or a problem (RFC 9457)."""
    try:
        answer = json.loads(body)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        answer = {}
    if status == 200 and isinstance(answer.get("position"), str):
        return str(answer["position"])
    reason = answer.get("detail") or answer.get("title") or "an answer that is not a node's"
    if status in (400, 422):
        raise TagError(f"the node refuses the tags: {reason}")
    raise NodeRefused(f"{path} answered {status}: {reason}", status)
