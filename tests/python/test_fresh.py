from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from typing import Any

import pytest
from freshwire import Fresh, NodeRefused, NodeUnreachable, TagError, admin

from .fakes import AdminSocket, Exchange


def test_importing_and_making_it_does_no_io_and_loads_nothing_heavy() -> None:
    code = (
        "import sys, builtins\n"
        "from freshwire import Fresh\n"
        "import freshwire.fresh\n"
        "builtins.open = None\n"
        "Fresh(admin_socket='/nowhere')\n"
        "print([m for m in ('httpx', 'typer', 'pydantic', 'freshwire.asgi.server') if m in sys.modules])\n"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        == "[]\n"
    )


def test_depends_on_outside_a_node_does_nothing_but_check() -> None:
    Fresh().depends_on("a", "b")
    with pytest.raises(TagError):
        Fresh().depends_on("")


async def test_depends_on_adds_tags_also_in_threads_of_the_request(exchange: Exchange) -> None:
    fresh = Fresh()
    fresh.depends_on("a", "b")
    await asyncio.to_thread(fresh.depends_on, "c")
    await asyncio.create_task(asyncio.to_thread(fresh.depends_on, "d"))
    assert exchange.tags == ["a", "b", "c", "d"]


@pytest.mark.parametrize("refusal", [ValueError("too many"), RuntimeError("sent")])
def test_what_the_node_refuses_is_a_tag_error(exchange: Exchange, refusal: Exception) -> None:
    exchange.refusal = refusal
    with pytest.raises(TagError, match=r"too many|the response has begun, so it cannot get the tags a"):
        Fresh().depends_on("a")


@pytest.mark.parametrize("tags", [(), ("",), ("a\nb",), (7,), (["a"],), ("a", None)])
def test_what_cannot_be_a_tag_is_refused_before_anything_is_sent(tags: tuple[Any, ...]) -> None:
    with pytest.raises(TagError):
        Fresh().changed_sync(*tags)


class Node:
    def __init__(self) -> None:
        self.changes: list[list[str]] = []

    def changed(self, tags: list[str]) -> str:
        if "refused" in tags:
            raise ValueError("a tag is longer than 255 bytes")
        self.changes.append(tags)
        return f"e-{len(self.changes)}"


async def test_in_the_process_of_a_node_the_node_is_told_directly(monkeypatch: pytest.MonkeyPatch) -> None:
    node = Node()
    monkeypatch.setattr("freshwire.asgi.server.current_node", lambda: node)
    fresh = Fresh(admin_socket="/nowhere")
    assert await fresh.changed("a", "b") == "e-1"
    assert await asyncio.to_thread(fresh.changed_sync, "c") == "e-2"
    assert node.changes == [["a", "b"], ["c"]]
    with pytest.raises(TagError, match="longer than 255 bytes"):
        await fresh.changed("refused")


async def test_from_another_process_the_node_is_told_over_its_socket(admin_socket: AdminSocket) -> None:
    fresh = Fresh(admin_socket=admin_socket.path)
    assert await fresh.changed("a", "b") == "e-1"
    assert fresh.changed_sync("c") == "e-1"
    assert admin_socket.got == [
        ("/changes", "application/json", {"tags": ["a", "b"]}),
        ("/changes", "application/json", {"tags": ["c"]}),
    ]


async def test_the_loop_runs_on_while_the_node_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    ran = threading.Event()

    def slow(where: object, tags: object) -> str:
        assert ran.wait(10)
        return "e-1"

    monkeypatch.setattr(admin, "post_changes", slow)
    asyncio.get_running_loop().call_soon(ran.set)
    assert await Fresh().changed("a") == "e-1"


def test_the_socket_is_found_by_argument_then_variable_then_project_then_directory(
    admin_socket: AdminSocket, monkeypatch: pytest.MonkeyPatch, place: Any
) -> None:
    with pytest.raises(NodeUnreachable) as unreachable:
        Fresh().changed_sync("a")
    assert str(admin.default_path()) in str(unreachable.value)
    assert str(place) in str(unreachable.value)
    assert "freshwire serve" in str(unreachable.value)
    assert "FRESHWIRE_ADMIN_SOCKET" in str(unreachable.value)

    (place / "pyproject.toml").write_text(f'[tool.freshwire]\nadmin_socket = "{admin_socket.path}"\n')
    assert Fresh().changed_sync("a") == "e-1"
    monkeypatch.setenv("FRESHWIRE_ADMIN_SOCKET", "/nowhere/a.sock")
    with pytest.raises(NodeUnreachable, match=r"/nowhere/a\.sock \(from FRESHWIRE_ADMIN_SOCKET\)"):
        Fresh().changed_sync("a")
    assert Fresh(admin_socket=admin_socket.path).changed_sync("a") == "e-1"


def test_off_means_that_nobody_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRESHWIRE_ADMIN_SOCKET", "off")
    assert Fresh().changed_sync("a") == ""


@pytest.mark.parametrize("status", [400, 422])
def test_a_refused_tag_is_a_tag_error_with_the_nodes_reason(admin_socket: AdminSocket, status: int) -> None:
    admin_socket.status, admin_socket.answer = (
        status,
        {"title": "Bad tag", "detail": "too long", "status": status},
    )
    with pytest.raises(TagError, match="too long"):
        Fresh(admin_socket=admin_socket.path).changed_sync("a")


@pytest.mark.parametrize("answer", [b"", b"[]", b"nonsense", {"position": 7}, {"title": "Overloaded"}])
def test_any_other_answer_is_a_refusal_with_its_status(admin_socket: AdminSocket, answer: object) -> None:
    admin_socket.status, admin_socket.answer = 503, answer
    with pytest.raises(NodeRefused, match="answered 503") as refused:
        Fresh(admin_socket=admin_socket.path).changed_sync("a")
    assert refused.value.status == 503


def test_an_answer_that_is_not_http_means_that_there_is_no_node(tmp_path: Any) -> None:
    import socket

    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "x.sock"))
        listening.listen()

        def answer() -> None:
            peer, _ = listening.accept()
            with peer:
                peer.recv(1000)
                peer.sendall(b"SSH-2.0\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(NodeUnreachable):
            Fresh(admin_socket=tmp_path / "x.sock").changed_sync("a")
        thread.join()


def test_a_default_directory_that_others_can_write_to_is_not_trusted() -> None:
    directory = admin.directory()
    directory.mkdir(mode=0o755)
    with pytest.raises(NodeUnreachable, match="only this user"):
        Fresh().changed_sync("a")
