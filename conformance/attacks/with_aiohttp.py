"""The same application for aiohttp's server: `python -m conformance.attacks.with_aiohttp PORT`."""

from __future__ import annotations

import sys

from aiohttp import WSMsgType, web

from .application import MIB


async def http(request: web.Request) -> web.StreamResponse:
    """As `application.answer`."""
    if request.headers.get("upgrade", "").lower() == "websocket":
        return await websocket(request)
    if request.path == "/injected":
        return web.Response(headers={"x-said": "a\r\ninjected: yes"})
    received = 0
    async for piece in request.content.iter_any():
        received += len(piece)
    bodies = {"/client": (request.remote or "").encode(), "/large": b"x" * (16 * MIB)}
    return web.Response(body=bodies.get(request.path, b"%d" % received))


async def websocket(request: web.Request) -> web.StreamResponse:
    """Echo, or never stop."""
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    while request.path == "/firehose":
        await socket.send_bytes(bytes(64 * 1024))
    async for message in socket:
        if message.type == WSMsgType.TEXT:
            await socket.send_str(message.data)
        elif message.type == WSMsgType.BINARY:
            await socket.send_bytes(message.data)
    return socket


if __name__ == "__main__":
    application = web.Application()
    application.router.add_route("*", "/{rest:.*}", http)
    web.run_app(application, host="127.0.0.1", port=int(sys.argv[1]), print=None)
