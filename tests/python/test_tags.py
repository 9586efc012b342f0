# ruff: noqa: A002 - a path parameter is called id
from __future__ import annotations

import asyncio
import datetime
import enum
import inspect
import json
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI
from fastapi.testclient import TestClient
from freshwire import Fresh, TagError
from freshwire.tags import Template
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.endpoints import HTTPEndpoint
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from .fakes import Exchange

fresh = Fresh()


def rendered(template: str, **values: object) -> str:
    return Template.parse(template).render(values.__getitem__)


class Code(enum.Enum):
    JFK = "jfk"


@pytest.mark.parametrize(
    ("template", "values", "tag"),
    [
        ("matches", {}, "matches"),
        ("match:{id}", {"id": 7}, "match:7"),
        ("{kind}:{id}", {"kind": "a", "id": "b"}, "a:b"),
        ("{{{id}}}", {"id": 7}, "{7}"),
        ("m:{match.id}", {"match": SimpleNamespace(id=3)}, "m:3"),
        ("m:{ids[1]}", {"ids": [1, 2]}, "m:2"),
        ("m:{by[name].id}", {"by": {"name": SimpleNamespace(id=4)}}, "m:4"),
        ("d:{day:%Y-%m-%d}", {"day": datetime.date(2013, 2, 8)}, "d:2013-02-08"),
        ("a:{code}", {"code": Code.JFK}, "a:jfk"),
        ("n:{n:04d}", {"n": 7}, "n:0007"),
    ],
)
def test_a_template_is_filled_in_with_parameters(template: str, values: dict[str, Any], tag: str) -> None:
    assert rendered(template, **values) == tag


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("", "empty"),
        ("match:{", "Single '{'"),
        ("match:{}", "does not name a parameter"),
        ("match:{0}", "does not name a parameter"),
        ("match:{id!r}", "conversion"),
        ("match:{id:{width}}", "fields of its own"),
        ("match:{id.__class__}", "public attribute"),
        ("match:{id()}", "does not name a parameter"),
        ("match:\n{id}", "control characters"),
    ],
)
def test_a_malformed_template_is_refused_when_it_is_written(template: str, reason: str) -> None:
    with pytest.raises(TagError, match=reason.replace("(", r"\(")):
        fresh.tags(template)


def test_the_decorator_without_its_call_says_how_it_is_written() -> None:
    with pytest.raises(TagError, match=r'write @fresh\.tags\("name:\{id\}"\)'):
        fresh.tags(lambda id: None)  # type: ignore[arg-type]  # noqa: A006


@pytest.mark.parametrize("value", [None, object()])
def test_a_value_without_a_text_of_its_own_makes_no_tag(value: object) -> None:
    with pytest.raises(TagError):
        rendered("x:{value}", value=value)


@given(st.text(st.characters(exclude_categories=["Cc", "Cs"])), st.integers())
def test_any_text_around_a_field_stays_as_it_is(text: str, number: int) -> None:
    written = text.replace("{", "{{").replace("}", "}}")
    assert rendered(written + "{n}" + written + "!", n=number) == f"{text}{number}{text}!"


def test_a_parameter_that_the_handler_cannot_have_is_refused_at_decoration() -> None:
    with pytest.raises(TagError, match=r"'match:\{match_id\}' names 'match_id'.*it takes id"):

        @fresh.tags("match:{match_id}")
        async def match(id: int) -> None: ...


@pytest.mark.parametrize(
    "name", ["kwargs", "request by name", "request by type", "first of an untyped handler"]
)
def test_a_handler_that_may_get_the_parameter_is_accepted(name: str) -> None:
    def kwargs(**kwargs: Any) -> None: ...

    def by_name(request: Any) -> None: ...

    def by_type(r: Request) -> None: ...

    def untyped(r) -> None: ...  # type: ignore[no-untyped-def]

    handlers = dict(
        zip(
            ("kwargs", "request by name", "request by type", "first of an untyped handler"),
            (kwargs, by_name, by_type, untyped),
            strict=True,
        )
    )
    fresh.tags("match:{match_id}")(handlers[name])


def test_a_class_and_a_classmethod_are_refused_with_what_to_do() -> None:
    with pytest.raises(TagError, match="methods of View"):

        @fresh.tags("x")
        class View: ...

    with pytest.raises(TagError, match="below @classmethod"):

        class Other:
            @fresh.tags("x")  # type: ignore[arg-type]
            @classmethod
            def get(cls) -> None: ...


async def test_async_and_sync_handlers_carry_their_tags(exchange: Exchange) -> None:
    @fresh.tags("match:{id}", "matches")
    async def asynchronous(id: int) -> str:
        return "answer"

    @fresh.tags("sync:{id}")
    def synchronous(id: int = 9) -> str:
        return "answer"

    assert await asynchronous(7) == "answer"
    assert await asyncio.to_thread(synchronous) == "answer"
    assert exchange.tags == ["match:7", "matches", "sync:9"]


async def test_a_handler_that_raises_leaves_no_tags(exchange: Exchange) -> None:
    @fresh.tags("match:{id}")
    async def match(id: int) -> None:
        raise KeyError(id)

    with pytest.raises(KeyError):
        await match(id=7)
    assert exchange.tags == []


async def test_a_handler_may_refuse_a_parameter_that_no_tag_can_be_made_of(exchange: Exchange) -> None:
    known = {"JFK", "E\x07R"}

    def plain(code: str) -> str:
        if code not in known:
            raise KeyError(code)
        return code

    async def coroutine(code: str) -> str:
        return plain(code)

    for handler in (fresh.tags("airport:{code}")(plain), fresh.tags("airport:{code}")(coroutine)):
        for code, error in (("\x00", KeyError), ("E\x07R", TagError)):
            with pytest.raises(error, match=r"x00|control characters"):
                answer: Any = handler(code)
                await answer
    assert exchange.tags == []


async def test_an_awaitable_from_a_plain_callable_is_awaited_before_the_tags(exchange: Exchange) -> None:
    class Endpoint:
        async def __call__(self, id: int) -> int:
            assert exchange.tags == []
            return id

    def handler(id: int) -> Any:
        return Endpoint()(id)

    assert await fresh.tags("a:{id}")(Endpoint())(id=1) == 1
    exchange.tags.clear()
    assert await fresh.tags("b:{id}")(handler)(id=2) == 2
    assert exchange.tags == ["b:2"]


def test_the_signature_and_the_name_stay_what_they_were() -> None:
    async def match(id: int, q: str = "") -> dict[str, int]:
        """Doc."""
        return {}

    wrapped = fresh.tags("match:{id}")(match)
    assert inspect.signature(wrapped) == inspect.signature(match, eval_str=True)
    assert (wrapped.__name__, wrapped.__doc__) == ("match", "Doc.")
    assert inspect.iscoroutinefunction(wrapped)


def owner(id: int) -> SimpleNamespace:
    return SimpleNamespace(name=f"o{id}")


def test_fastapi_injects_as_before_and_parameters_reach_the_template(exchange: Exchange) -> None:
    app = FastAPI()

    @app.get("/matches/{id}")
    @fresh.tags("match:{id}", "owner:{who.name}", "page:{page}")
    async def match(id: int, who: Annotated[Any, Depends(owner)], page: int = 1) -> dict[str, int]:
        return {"id": id}

    @app.get("/sync/{id}")
    @fresh.tags("sync:{id}")
    def sync(id: int) -> dict[str, object]:
        fresh.depends_on("more")
        return {"thread": threading.current_thread() is threading.main_thread()}

    client = TestClient(app)
    assert client.get("/matches/7").json() == {"id": 7}
    assert client.get("/matches/x").status_code == 422
    assert client.get("/sync/7").json() == {"thread": False}


async def call(app: Any, path: str) -> tuple[int, Any]:
    """One GET in this task, so that the exchange of the test is the request's."""
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    received = iter([{"type": "http.request", "body": b"", "more_body": False}])

    async def receive() -> Any:
        return next(received, None) or await asyncio.Future()

    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(b"host", b"testserver")],
        "client": ("127.0.0.1", 1),
        "server": ("testserver", 80),
    }
    await app(scope, receive, send)
    body = b"".join(message.get("body", b"") for message in sent)
    return sent[0]["status"], json.loads(body) if body else None


async def test_tags_and_depends_on_reach_the_exchange_through_fastapi_also_from_a_thread(
    exchange: Exchange,
) -> None:
    app = FastAPI()

    @app.get("/matches/{id}")
    @fresh.tags("match:{id}")
    def match(id: int) -> int:
        fresh.depends_on("inside")
        return id

    assert await call(app, "/matches/7") == (200, 7)
    assert exchange.tags == ["inside", "match:7"]


async def test_starlette_endpoints_get_their_parameters_from_the_path(exchange: Exchange) -> None:
    @fresh.tags("match:{id}")
    async def match(request: Request) -> JSONResponse:
        return JSONResponse(1)

    class Board(HTTPEndpoint):
        @fresh.tags("board:{code}")
        async def get(self, request: Request) -> JSONResponse:
            return JSONResponse(2)

    app = Starlette(routes=[Route("/matches/{id:int}", match), Route("/boards/{code}", Board)])
    assert await call(app, "/matches/7") == (200, 1)
    assert await call(app, "/boards/JFK") == (200, 2)
    assert exchange.tags == ["match:7", "board:JFK"]


async def test_a_parameter_that_the_route_has_not_is_named_at_the_request(exchange: Exchange) -> None:
    @fresh.tags("match:{match_id}")
    async def match(request: Request) -> JSONResponse:
        raise AssertionError("the handler must not run")

    app = Starlette(routes=[Route("/matches/{id}", match)])
    with pytest.raises(TagError, match=r"'match:\{match_id\}' on (/matches/\{id\}|.*match\(\)).*'match_id'"):
        await call(app, "/matches/7")


@pytest.fixture(scope="module")
def django() -> Iterator[Any]:
    import django
    from django.conf import settings

    if not settings.configured:
        settings.configure(DEBUG=True, SECRET_KEY="x", ALLOWED_HOSTS=["*"])
        django.setup()
    from django.test.utils import override_settings

    with override_settings(ROOT_URLCONF=__name__):
        yield django


urlpatterns: list[Any] = []


async def test_django_views_carry_tags_async_sync_and_as_methods(django: Any, exchange: Exchange) -> None:
    from django.core.asgi import get_asgi_application
    from django.http import HttpRequest, JsonResponse
    from django.urls import path
    from django.views import View

    @fresh.tags("async:{id}")
    async def asynchronous(request: HttpRequest, id: int) -> JsonResponse:
        return JsonResponse({"id": id})

    @fresh.tags("sync:{id}")
    def synchronous(request: HttpRequest, **kwargs: int) -> JsonResponse:
        return JsonResponse(kwargs)

    class Board(View):
        @fresh.tags("board:{code}")
        def get(self, request: HttpRequest, code: str) -> JsonResponse:
            return JsonResponse({"code": code})

    urlpatterns[:] = [
        path("async/<int:id>", asynchronous),
        path("sync/<int:id>", synchronous),
        path("boards/<str:code>", Board.as_view()),
    ]
    app = get_asgi_application()
    assert await call(app, "/async/7") == (200, {"id": 7})
    assert await call(app, "/sync/7") == (200, {"id": 7})
    assert await call(app, "/boards/JFK") == (200, {"code": "JFK"})
    assert exchange.tags == ["async:7", "sync:7", "board:JFK"]
