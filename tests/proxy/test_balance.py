"""Several upstreams: who is asked, and what happens when one is not there."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import Counter

from freshwire.testing import proxy

from tests.proxy.upstream import Client, Request, ask, response, upstream
from tests.waiting import block_until


async def names_itself(request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    port = writer.get_extra_info("sockname")[1]
    writer.write(response("200 OK", b"%d" % port, "Cache-Control: no-store"))


def port(url: str) -> int:
    return int(url.rsplit(":", 1)[1])


def test_several_share_the_work_and_one_that_is_gone_is_left_out_until_it_is_back() -> None:
    with contextlib.ExitStack() as gone, upstream(names_itself) as one:
        other = gone.enter_context(upstream(names_itself))
        ports = [port(one.url), port(other.url)]
        with proxy(one.url, other.url, allow_hosts=["*"], threads=1) as live:

            def asked(count: int) -> Counter[int]:
                answers = [ask(live.url, "POST", f"/{n}") for n in range(count)]
                assert {answer.status for answer in answers} == {200}
                return Counter(int(answer.body) for answer in answers)

            assert asked(20) == {ports[0]: 10, ports[1]: 10}
            gone.close()
            # Nothing that was not sent is lost, also of a POST.
            assert asked(20) == {ports[0]: 20}
            assert live.stats()["upstreams_out"] == 1
            assert live.stats()["upstream_failures"] >= 1
            with upstream(names_itself, port=ports[1]):
                block_until(lambda: set(asked(2)) == set(ports))
                assert live.stats()["upstreams_out"] == 0


def test_the_least_busy_is_asked() -> None:
    go_on = threading.Event()

    async def waits(request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.to_thread(go_on.wait)
        await names_itself(request, reader, writer)

    with contextlib.ExitStack() as stack:
        slow, fast = stack.enter_context(upstream(waits)), stack.enter_context(upstream(names_itself))
        live = stack.enter_context(proxy(slow.url, fast.url, allow_hosts=["*"]))
        count = 0
        while not slow.requests:  # it may be the fast one's turn
            client = stack.enter_context(Client(live.url))
            client.ask("GET", f"/waits/{count}")
            count += 1
            block_until(lambda count=count: len(slow.requests) + len(fast.requests) == count)
        seen = Counter(int(ask(live.url, "GET", f"/{n}").body) for n in range(10))
        assert seen == {port(fast.url): 10}
        go_on.set()
        assert int(client.answer().body) == port(slow.url)


def test_one_that_fails_its_health_check_is_not_asked() -> None:
    well = threading.Event()
    well.set()

    async def checked(request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if request.target == "/health":
            writer.write(response("200 OK" if well.is_set() else "503 Unwell"))
        else:
            await names_itself(request, reader, writer)

    options = {"allow_hosts": ["*"], "upstream_health_path": "/health", "upstream_health_interval_s": 0.05}
    with upstream(checked) as one, proxy(one.url, **options) as live:
        assert ask(live.url, "GET", "/").status == 200
        well.clear()
        block_until(lambda: live.stats()["upstreams_out"] == 1)
        answer = ask(live.url, "GET", "/")
        assert (answer.status, answer.get("retry-after") is not None) == (503, True)
        well.set()
        block_until(lambda: ask(live.url, "GET", "/").status == 200)
        assert live.stats()["upstreams_out"] == 0
