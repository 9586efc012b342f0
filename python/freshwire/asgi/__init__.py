"""Run an ASGI application in this process, behind the engine: its lifespan, its event loop, its server."""
