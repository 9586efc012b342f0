"""What every server of this suite runs: it reads bodies whole, and `/large` is more than a kernel takes at once."""

from typing import Any

LARGE = b"x" * 2_000_000


async def app(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] != "http":
        return
    if scope["method"] == "POST":
        while (message := await receive())["type"] == "http.request":
            if not message.get("more_body"):
                break
        else:
            return
    body = LARGE if scope["path"] == "/large" else b"ok"
    length = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": length})
    await send({"type": "http.response.body", "body": body})
