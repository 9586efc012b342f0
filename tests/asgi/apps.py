"""The two things that nearly every small application does."""

from freshwire.asgi.types import Send


async def respond(send: Send, body: bytes = b"ok", status: int = 200, *headers: tuple[bytes, bytes]) -> None:
    await send({"type": "http.response.start", "status": status, "headers": list(headers)})
    await send({"type": "http.response.body", "body": body})


def skip_lifespan(scope: dict) -> bool:  # type: ignore[type-arg]
    return scope["type"] == "lifespan"
