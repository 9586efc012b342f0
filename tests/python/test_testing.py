from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from freshwire import Fresh, WatchEnded
from freshwire.asgi.lifespan import LifespanError
from freshwire.testing import LiveNode, Transport, node
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

TRANSPORTS: list[Transport] = ["sse", "websocket", "poll"]
Start = Callable[..., LiveNode]


class Board:
    """An application with one live resource, `/scores/{code}`."""

    def __init__(self) -> None:
        self.scores: dict[str, int] = {"a": 0}
        fresh = Fresh()

        @fresh.tags("score:{code}")
        async def score(request: Request) -> Response:
            code = request.path_params["code"]
            if code not in self.scores:
                raise HTTPException(404, "no such score")
            return JSONResponse({"score": self.scores[code]})

        async def goal(request: Request) -> Response:
            self.scores[request.path_params["code"]] += 1
            return Response(await fresh.changed("score:" + request.path_params["code"]))

        self.app = Starlette(
            routes=[Route("/scores/{code}", score), Route("/goals/{code}", goal, methods=["POST"])]
        )


@pytest.fixture
def board() -> Board:
    return Board()


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_watch_gets_what_is_there_and_then_each_change(
    board: Board, freshwire_node: Start, transport: Transport
) -> None:
    live = freshwire_node(board.app)
    watch = live.watch("/scores/a", transport=transport)
    assert watch.next().json() == {"score": 0}
    position = httpx.post(f"{live.url}/goals/a").text
    after = watch.next()
    assert after.json() == {"score": 1}
    if transport != "websocket":
        assert after.position.split("-")[0] == position.split("-")[0]


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_watch_ends_with_the_status_of_the_answer(
    board: Board, freshwire_node: Start, transport: Transport
) -> None:
    live = freshwire_node(board.app)
    watch = live.watch("/scores/a", transport=transport)
    watch.next()
    board.scores.clear()
    live.changed("score:a")
    for _ in range(2):  # and it stays ended
        with pytest.raises(WatchEnded) as ended:
            watch.next()
        assert ended.value.status == 404


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_what_cannot_be_read_cannot_be_watched(
    board: Board, freshwire_node: Start, transport: Transport
) -> None:
    with pytest.raises(WatchEnded) as ended:
        freshwire_node(board.app).watch("/scores/none", transport=transport).next()
    assert ended.value.status == 404


def test_a_watch_resumes_from_a_position_without_what_it_has(board: Board, freshwire_node: Start) -> None:
    live = freshwire_node(board.app)
    with live.watch("/scores/a") as first:
        position = first.next().position
    with live.watch("/scores/a", since=position) as second:
        board.scores["a"] = 5
        live.changed("score:a")
        assert second.next().json() == {"score": 5}


async def test_it_is_used_from_async_tests_too(board: Board) -> None:
    async with node(board.app) as live:
        watch = live.watch("/scores/a")
        assert (await watch.anext()).json() == {"score": 0}
        board.scores["a"] = 2
        live.changed("score:a")
        assert (await watch.anext()).json() == {"score": 2}


def test_nothing_to_wait_for_is_a_timeout_and_the_watch_goes_on(board: Board, freshwire_node: Start) -> None:
    live = freshwire_node(board.app)
    watch = live.watch("/scores/a")
    watch.next()
    with pytest.raises(TimeoutError):
        watch.next(timeout=0.05)
    board.scores["a"] = 3
    live.changed("score:a")
    assert watch.next().json() == {"score": 3}


def test_another_process_tells_the_node_over_its_socket(board: Board, freshwire_node: Start) -> None:
    live = freshwire_node(board.app)
    watch = live.watch("/scores/a")
    watch.next()
    board.scores["a"] = 4
    code = "from freshwire import Fresh; print(Fresh().changed_sync('score:a'))"
    told = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "FRESHWIRE_ADMIN_SOCKET": str(live.admin_socket)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "-" in told.stdout
    assert watch.next().json() == {"score": 4}


def test_tags_from_threads_and_from_depends_on_reach_the_response(freshwire_node: Start) -> None:
    fresh = Fresh()

    @fresh.tags("sync:{code}")
    def score(request: Request) -> Response:
        fresh.depends_on("inside")
        return JSONResponse(1)

    live = freshwire_node(Starlette(routes=[Route("/scores/{code}", score)]))
    groups = httpx.get(f"{live.url}/scores/a").headers["cache-groups"]
    assert {group.strip().strip('"') for group in groups.split(",")} >= {"sync:a", "inside"}


def test_the_figures_count(board: Board, freshwire_node: Start) -> None:
    live = freshwire_node(board.app)
    live.watch("/scores/a").next()
    assert live.stats()["watchers"] == 1


def test_options_reach_the_node_and_wrong_ones_are_refused(board: Board, freshwire_node: Start) -> None:
    live = freshwire_node(board.app, max_target_bytes=20)
    assert httpx.get(f"{live.url}/scores/{'a' * 30}").status_code == 414
    with pytest.raises(ValueError, match="max_feilds"):
        freshwire_node(board.app, max_feilds=1)


def test_an_application_that_does_not_start_is_said(freshwire_node: Start) -> None:
    @asynccontextmanager
    async def lifespan(app: Any) -> Any:
        raise RuntimeError("no database")
        yield

    with pytest.raises(LifespanError):
        freshwire_node(Starlette(lifespan=lifespan))


def test_nothing_is_left_when_it_has_ended(board: Board) -> None:
    with node(board.app) as live:
        watch = live.watch("/scores/a")
        watch.next()
        host, port = live.url.removeprefix("http://").split(":")
    with pytest.raises(WatchEnded):
        watch.next()
    assert not live.admin_socket.exists()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((host, int(port)))
