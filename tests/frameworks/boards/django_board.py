from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import django
from django.conf import settings
from freshwire import Fresh

from . import NUMBERS

if not settings.configured:
    settings.configure(DEBUG=True, SECRET_KEY="not a secret", ALLOWED_HOSTS=["*"])
    django.setup()

from django.core.asgi import get_asgi_application
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.test.utils import override_settings
from django.urls import path
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

fresh = Fresh()
known: dict[str, int] = {}


async def plain(request: HttpRequest) -> HttpResponse:
    return HttpResponse("hello", content_type="text/plain")


@fresh.tags("score:{code}")
def score(request: HttpRequest, code: str) -> HttpResponse:
    if code not in known:
        raise Http404
    return JsonResponse({"score": known[code]})


@csrf_exempt
@require_POST
def goal(request: HttpRequest, code: str) -> HttpResponse:
    known[code] += 1
    fresh.changed_sync(f"score:{code}")
    return HttpResponse(status=204)


@csrf_exempt
async def echo(request: HttpRequest) -> HttpResponse:
    return HttpResponse(request.body)


async def numbers(request: HttpRequest) -> StreamingHttpResponse:
    async def lines() -> AsyncIterator[bytes]:
        for line in NUMBERS:
            yield line

    return StreamingHttpResponse(lines())


urlpatterns = [
    path("plain", plain),
    path("scores/<str:code>", score),
    path("scores/<str:code>/goal", goal),
    path("echo", echo),
    path("numbers", numbers),
]


@contextmanager
def served(urlconf: str, **more: Any) -> Iterator[Any]:
    """Django's handler with the urls of a module, for as long as the block lasts."""
    with override_settings(ROOT_URLCONF=urlconf, MIDDLEWARE=MIDDLEWARE, **more):
        yield get_asgi_application()


@contextmanager
def application(scores: dict[str, int]) -> Iterator[Any]:
    global known
    known = scores
    with served(__name__) as app:
        yield app
