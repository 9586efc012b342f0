"""The application whose pages use the JavaScript client: what they watch, and ways to change it."""

from __future__ import annotations

from pathlib import Path

from freshwire import Fresh
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

CLIENT = Path(__file__).parents[2] / "clients" / "js"
DIST = CLIENT / "dist"

PAGE = """<!doctype html>
<title>Site</title>
<link rel="icon" href="data:,">
<script src="/dist/freshwire.min.js"></script>
<script>
const log = [], warned = []
console.warn = (text) => warned.push(text)
function follow(url, options) {
  const watch = freshwire.watch(url, options)
  for (const type of ["change", "live", "stale", "gone", "error"])
    watch.addEventListener(type, ({detail}) => log.push([type, detail ?? null]))
  return (window.last = watch)
}
const of = (type) => log.filter((entry) => entry[0] === type).map((entry) => entry[1])
</script>
"""

EXPOSED = ["etag", "fresh-position", "link"]


class Site:
    """The application and what it knows."""

    def __init__(self) -> None:
        self.goals = 0
        self.status = 200
        """What /match answers with."""
        self.reads = 0
        """How often the application has been asked for /match."""
        self.lifetime = ""
        """The `Cache-Control` of /match."""
        self.retry_after = ""
        fresh = self.fresh = Fresh()
        self.app = Starlette(
            routes=[
                Route("/page", self.page),
                Route("/dist/{name}", self.dist),
                Route("/match", fresh.tags("match")(self.match)),
                Route("/goal", self.goal, methods=["POST"]),
                Route("/n/{k:int}", fresh.tags("match")(self.number)),
                Route("/big", fresh.tags("match")(self.big)),
                Route("/me", fresh.tags("match")(self.me)),
                Route("/bearer", fresh.tags("match")(self.bearer)),
                Route("/text", fresh.tags("match")(self.text)),
                Route("/flag.bin", fresh.tags("match")(self.flag)),
                Route("/unwatchable", self.unwatchable),
            ],
            middleware=[Middleware(CORSMiddleware, allow_origins=["*"], expose_headers=EXPOSED)],
        )

    async def page(self, request: Request) -> Response:
        return HTMLResponse(PAGE)

    async def dist(self, request: Request) -> Response:
        return FileResponse(DIST / request.path_params["name"])

    async def match(self, request: Request) -> Response:
        self.reads += 1
        if self.status != 200:
            fields = {"retry-after": self.retry_after} if self.retry_after else {}
            raise HTTPException(self.status, headers=fields)
        answer = JSONResponse({"goals": self.goals})
        if self.lifetime:
            answer.headers["cache-control"] = self.lifetime
        return answer

    async def goal(self, request: Request) -> Response:
        self.goals += 1
        await self.fresh.changed("match")
        return PlainTextResponse(str(self.goals))

    async def number(self, request: Request) -> Response:
        answer = JSONResponse({"k": request.path_params["k"], "goals": self.goals})
        if self.lifetime:
            answer.headers["cache-control"] = self.lifetime
        return answer

    async def big(self, request: Request) -> Response:
        answer = {"goals": self.goals, "players": [f"player {number}" for number in range(100)]}
        return JSONResponse(answer, headers={"cache-control": "public, s-maxage=600"})

    async def me(self, request: Request) -> Response:
        return JSONResponse({"name": request.cookies.get("name"), "goals": self.goals})

    async def bearer(self, request: Request) -> Response:
        if not (said := request.headers.get("authorization")):
            raise HTTPException(401)
        return JSONResponse({"said": said, "goals": self.goals})

    async def text(self, request: Request) -> Response:
        return PlainTextResponse(str(self.goals))

    async def flag(self, request: Request) -> Response:
        return Response(b"\x89\xff" + bytes([self.goals]), media_type="application/octet-stream")

    async def unwatchable(self, request: Request) -> Response:
        return JSONResponse({"goals": self.goals}, headers={"vary": "*"})
