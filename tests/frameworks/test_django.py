"""Django's ASGI handler: views of both kinds, its CSRF check, streams, and who is told when a client leaves."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import httpx
import pytest
from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.middleware.csrf import get_token
from django.urls import path
from django.views import View
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from freshwire import Fresh
from freshwire.testing import LiveNode

from .boards import django_board

Start = Callable[..., LiveNode]

fresh = Fresh()
orders: dict[int, str] = {}
signals: dict[str, threading.Event] = {}


@fresh.tags("order:{number}")
async def order(request: HttpRequest, number: int) -> JsonResponse:
    return JsonResponse({"state": orders[number]})


@fresh.tags("orders")
def order_list(request: HttpRequest) -> JsonResponse:
    for number in orders:
        fresh.depends_on(f"order:{number}")
    return JsonResponse(list(orders.values()), safe=False)


class Plain(View):
    """One that says with a field what others say with `fresh.tags`."""

    def get(self, request: HttpRequest, number: int) -> JsonResponse:
        return JsonResponse(
            {"plain": orders[number]}, headers={"Cache-Groups": f'"order:{number}", "orders"'}
        )


def form(request: HttpRequest) -> HttpResponse:
    if request.method == "POST":
        orders[int(request.POST["id"])] = request.POST["state"]
        return HttpResponse(fresh.changed_sync(f"order:{request.POST['id']}"))
    return HttpResponse(get_token(request))


@csrf_exempt
def by_field(request: HttpRequest, number: int) -> HttpResponse:
    orders[number] = "by field"
    return HttpResponse(status=204, headers={"Cache-Group-Invalidation": f'"order:{number}"'})


async def stream(request: HttpRequest) -> StreamingHttpResponse:
    async def lines() -> AsyncIterator[str]:
        try:
            yield "one\n"
            signals["two"].clear()
            await asyncio.to_thread(signals["go"].wait, 10)
            yield "two\n"
            await asyncio.Event().wait()
        finally:
            signals["left"].set()

    return StreamingHttpResponse(lines(), content_type="text/plain")


def sync_stream(request: HttpRequest) -> StreamingHttpResponse:
    return StreamingHttpResponse(f"{number}\n" for number in range(100))


async def hang(request: HttpRequest) -> HttpResponse:
    signals["begun"].set()
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        signals["cancelled"].set()
        raise
    return HttpResponse()


@never_cache
def now(request: HttpRequest) -> HttpResponse:
    return HttpResponse("now")


def raises(request: HttpRequest) -> HttpResponse:
    raise ValueError("broken")


@csrf_exempt
def number_of(request: HttpRequest, number: int) -> HttpResponse:
    fresh.depends_on(f"number:{number}")
    return JsonResponse(number, safe=False)


urlpatterns = [
    path("orders/<int:number>", order),
    path("orders", order_list),
    path("plain/<int:number>", Plain.as_view()),
    path("form", form),
    path("by-field/<int:number>", by_field),
    path("stream", stream),
    path("sync-stream", sync_stream),
    path("hang", hang),
    path("now", now),
    path("raises", raises),
    path("numbers/<int:number>", number_of),
]


@pytest.fixture
def live(freshwire_node: Start) -> Iterator[LiveNode]:
    orders.clear()
    orders.update({1: "new", 2: "new"})
    signals.update({name: threading.Event() for name in ("two", "go", "left", "begun", "cancelled")})
    with django_board.served(__name__, DEBUG=False) as app:
        yield freshwire_node(app)


def test_async_and_sync_views_and_a_field_carry_their_tags(live: LiveNode) -> None:
    with httpx.Client(base_url=live.url) as http:
        groups = [http.get(where).headers["cache-groups"] for where in ("/orders/1", "/orders", "/plain/1")]
        assert groups[0] == '"order:1"'
        assert set(groups[1].split(", ")) == {'"orders"', '"order:1"', '"order:2"'}
        assert groups[2] == '"order:1", "orders"'
        for where in ("/orders/1", "/orders", "/plain/1"):
            assert http.get(where).headers["cache-status"].startswith("freshwire; hit")


def test_a_form_needs_its_csrf_token_and_its_change_is_pushed(live: LiveNode) -> None:
    one, whole, plain = (
        live.watch("/orders/1"),
        live.watch("/orders", transport="websocket"),
        live.watch("/plain/1"),
    )
    assert one.next().json() == {"state": "new"}
    assert whole.next().json() == ["new", "new"]
    assert plain.next().json() == {"plain": "new"}
    with httpx.Client(base_url=live.url) as http:
        assert http.post("/form", data={"id": "1", "state": "ready"}).status_code == 403
        token = http.get("/form").text
        answer = http.post("/form", data={"id": "1", "state": "ready", "csrfmiddlewaretoken": token})
        assert answer.status_code == 200
        assert "-" in answer.text
    assert one.next().json() == {"state": "ready"}
    assert whole.next().json() == ["ready", "new"]
    assert plain.next().json() == {"plain": "ready"}


def test_a_csrf_token_is_nobody_elses(live: LiveNode) -> None:
    tokens = [httpx.get(f"{live.url}/form").text for _ in range(2)]
    cookies = [httpx.get(f"{live.url}/form").cookies["csrftoken"] for _ in range(2)]
    assert len({*tokens, *cookies}) == 4


def test_a_field_of_the_answer_says_what_changed(live: LiveNode) -> None:
    watch = live.watch("/orders/2")
    watch.next()
    assert httpx.post(f"{live.url}/by-field/2").status_code == 204
    assert watch.next().json() == {"state": "by field"}


def test_never_cache_is_obeyed(live: LiveNode) -> None:
    for _ in range(2):
        assert "hit" not in httpx.get(f"{live.url}/now").headers["cache-status"]


def test_an_error_is_djangos_own_page_and_others_go_on(live: LiveNode) -> None:
    answer = httpx.get(f"{live.url}/raises")
    assert answer.status_code == 500
    assert "Server Error (500)" in answer.text
    assert httpx.get(f"{live.url}/now").text == "now"


def test_streams_of_both_kinds_come_as_they_are_made(live: LiveNode) -> None:
    assert httpx.get(f"{live.url}/sync-stream").text.split() == [str(number) for number in range(100)]
    with httpx.stream("GET", f"{live.url}/stream") as response:
        pieces = response.iter_text()
        assert next(pieces) == "one\n"
        signals["go"].set()
        assert next(pieces) == "two\n"
        assert not signals["left"].is_set()
    assert signals["left"].wait(10)


def test_an_async_view_is_cancelled_when_its_client_leaves(live: LiveNode) -> None:
    with pytest.raises(httpx.ReadTimeout):
        httpx.get(f"{live.url}/hang", timeout=httpx.Timeout(10, read=0.3))
    assert signals["begun"].is_set()
    assert signals["cancelled"].wait(10)


async def test_fifty_sync_views_at_once_keep_their_contexts(live: LiveNode) -> None:
    async with httpx.AsyncClient(base_url=live.url, timeout=30) as http:
        answers: list[Any] = await asyncio.gather(*(http.get(f"/numbers/{number}") for number in range(50)))
    for number, answer in enumerate(answers):
        assert answer.json() == number
        assert answer.headers["cache-groups"] == f'"number:{number}"'
