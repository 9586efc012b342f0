from __future__ import annotations

import os
import socket
import stat
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from freshwire import AddressError, OptionError, admin
from freshwire.cli.listeners import (
    Inherited,
    Opened,
    Tcp,
    Unix,
    bind,
    bind_unix,
    open_all,
    parse,
    systemd,
    text_of,
)

from .command import Cli


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:8000", Tcp("127.0.0.1", 8000)),
        ("example.org:0", Tcp("example.org", 0)),
        (":8000", Tcp("0.0.0.0", 8000)),
        ("[::1]:8000", Tcp("::1", 8000)),
        ("unix:/run/a.sock", Unix(Path("/run/a.sock"))),
        ("unix:relative.sock", Unix(Path("relative.sock"))),
        ("fd://3", Inherited(3)),
    ],
)
def test_an_address_is_read(text: str, address: object) -> None:
    assert parse(text) == address


@pytest.mark.parametrize(
    "text",
    [
        "",
        "8000",
        "host",
        "host:",
        "host:x",
        "host:65536",
        "::1:8000",
        "unix:",
        "fd://",
        "fd://x",
        "http://a:1",
    ],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(OptionError):
        parse(text)


def opened(*addresses: str, admin_socket: str = "off", allow_hosts: tuple[str, ...] = ()) -> Opened:
    return open_all(addresses, admin_socket, backlog=16, allow_hosts=allow_hosts)


def test_port_0_is_a_free_port_and_the_real_one_is_said() -> None:
    with closing(opened("127.0.0.1:0")) as found:
        host, port = found.public[0].split(":")
        assert host == "127.0.0.1"
        socket.create_connection((host, int(port))).close()


def test_ipv6_is_bound_without_ipv4() -> None:
    try:
        sockets = bind(Tcp("::1", 0))
    except AddressError:
        pytest.skip("no IPv6 here")
    assert text_of(sockets[0]).startswith("[::1]:")
    sockets[0].close()


def test_a_port_in_use_is_refused_with_what_to_do(cli: Cli, place: Path) -> None:
    (place / "main.py").write_text("async def app(scope, receive, send): ...")
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(AddressError, match=r"another process listens there.*--port 0"):
            opened(f"127.0.0.1:{port}")
        ended = cli("serve", "main:app", "--port", str(port), "--admin-socket", "off")
    assert ended.returncode == 1
    assert "another process listens" in ended.stderr


@pytest.mark.parametrize("address", ["0.0.0.0:0", ":0"])
def test_a_public_address_without_allowed_hosts_is_refused_and_closed(address: str) -> None:
    with pytest.raises(OptionError, match="--allow-host"):
        opened(address)
    opened(address, allow_hosts=("a.example",)).close()


def test_an_inherited_socket_is_listened_on_and_checked_like_any_other() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as theirs,
        closing(opened(f"fd://{os.dup(theirs.fileno())}")) as found,
    ):
        assert found.public == [f"127.0.0.1:{theirs.getsockname()[1]}"]
    with socket.create_server(("0.0.0.0", 0)) as theirs, pytest.raises(OptionError, match="--allow-host"):
        opened(f"fd://{os.dup(theirs.fileno())}")


def test_a_descriptor_that_does_not_listen_is_refused() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, pytest.raises(AddressError, match="does not listen"):
        opened(f"fd://{ours.fileno()}")
    read, write = os.pipe()
    with pytest.raises(AddressError, match="not a socket"):
        opened(f"fd://{read}")
    os.close(read)
    os.close(write)


def test_systemd_sockets_count_only_for_the_process_they_were_meant_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LISTEN_FDS", "2")
    monkeypatch.setenv("LISTEN_PID", str(os.getpid() + 1))
    assert systemd() == []
    monkeypatch.setenv("LISTEN_PID", str(os.getpid()))
    assert systemd() == ["fd://3", "fd://4"]


def test_a_unix_socket_that_a_dead_process_left_is_replaced_and_a_live_one_is_not(tmp_path: Path) -> None:
    path = tmp_path / "a.sock"
    bind_unix(path, mode=0o600).close()
    assert path.is_socket()
    with bind_unix(path, mode=0o600), pytest.raises(AddressError, match="another process listens"):
        bind_unix(path, mode=0o600)
    path.unlink()
    path.write_text("a file")
    with pytest.raises(AddressError):
        bind_unix(path, mode=0o600)
    assert path.read_text() == "a file"


def test_the_files_of_unix_sockets_go_with_them(tmp_path: Path) -> None:
    found = opened(f"unix:{tmp_path}/a.sock")
    assert found.public == [f"unix:{tmp_path}/a.sock"]
    found.close()
    assert list(tmp_path.glob("*.sock")) == []


def test_a_failure_leaves_nothing_behind(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other, pytest.raises(AddressError):
        opened(f"unix:{tmp_path}/a.sock", f"127.0.0.1:{other.getsockname()[1]}")
    assert list(tmp_path.glob("*.sock")) == []


@pytest.mark.parametrize("value", ["127.0.0.1:9000", ":9000", "[::1]:9000", "localhost:9000"])
def test_the_admin_listener_is_not_offered_on_tcp(value: str) -> None:
    with pytest.raises(OptionError, match="not offered on TCP"):
        opened("127.0.0.1:0", admin_socket=value)


def test_an_inherited_admin_socket_must_be_a_unix_one() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as theirs,
        pytest.raises(OptionError, match="not a Unix socket"),
    ):
        opened("127.0.0.1:0", admin_socket=f"fd://{os.dup(theirs.fileno())}")


@pytest.fixture
def first() -> Iterator[Opened]:
    with closing(opened("127.0.0.1:0", admin_socket="")) as found:
        yield found


def test_the_default_admin_socket_is_private_and_found_by_whoever_is_in_the_same_directory(
    first: Opened,
) -> None:
    assert first.admin_path == str(admin.default_path())
    assert stat.S_IMODE(Path(first.admin_path).stat().st_mode) == 0o600
    assert stat.S_IMODE(Path(first.admin_path).parent.stat().st_mode) == 0o700


def test_a_second_node_of_the_directory_does_not_take_the_default_over(
    first: Opened, capsys: pytest.CaptureFixture[str]
) -> None:
    with closing(opened("127.0.0.1:0", admin_socket="")) as second:
        assert second.admin_path != first.admin_path
        assert str(os.getpid()) in str(second.admin_path)
    warning = capsys.readouterr().err
    assert str(first.admin_path) in warning
    assert str(second.admin_path) in warning
    assert Path(str(first.admin_path)).is_socket()


def test_a_default_directory_that_is_not_private_is_refused() -> None:
    admin.directory().mkdir(mode=0o755)
    with pytest.raises(AddressError, match="only this user"):
        opened("127.0.0.1:0", admin_socket="")
