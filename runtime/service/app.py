"""The Starlette application: the routes, the page and the door around them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute
from starlette.types import ASGIApp

from runtime.service.door import Door, Rules
from runtime.service.limits import RateLimit
from runtime.service.metrics import Metrics
from runtime.service.pictures import VIEWS
from runtime.service.refusal import Refusal, answer_fault, answer_http_error, answer_refusal
from runtime.service.routes import Routes
from runtime.service.service import Service
from runtime.service.streams import Streams

_PAGE = Path(__file__).parent / "page"
_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


def page_files() -> dict[str, tuple[bytes, str]]:
    """Address → (content, type) of everything the page needs, read once: no request ever names a file."""
    files = {
        f"/page/{path.name}": (path.read_bytes(), _TYPES[path.suffix])
        for path in sorted(_PAGE.iterdir())
        if path.suffix in _TYPES
    }
    return {"/": files["/page/index.html"], **files}


def build_app(service: Service, hosts: frozenset[str], token: str | None) -> ASGIApp:
    """The whole service. `hosts`: what a Host header may say (none: anything); `token`: None where none is needed."""
    files = page_files()
    routes, streams = Routes(service), Streams(service)
    known = frozenset([
        *files, "/translate", "/streams", *(f"/streams/{view}" for view in VIEWS), "/controls", "/flag", "/health",
        "/ready", "/metrics", "/engine", *(f"/snapshot/{view}" for view in (*VIEWS, "side")),
    ])  # fmt: skip
    routes.metrics = Metrics(service, known)

    async def page(request: Request) -> Response:
        content, media_type = files[request.url.path]
        return Response(content, media_type=media_type)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        service.pictures.bind(asyncio.get_running_loop())
        if service.live is not None:
            service.live.start()
        yield

    app = Starlette(
        routes=[
            *(Route(path, page) for path in files),
            Route("/translate", routes.translate, methods=["POST"]),
            Route("/streams", streams.index),
            WebSocketRoute("/streams", streams.websocket),
            Route("/streams/{view}", streams.mjpeg),
            Route("/controls", routes.controls, methods=["GET", "POST"]),
            Route("/flag", routes.flag, methods=["POST"]),
            Route("/snapshot/{view}", routes.snapshot),
            Route("/health", routes.health),
            Route("/ready", routes.ready),
            Route("/metrics", routes.scrape),
            Route("/engine", routes.engine),
        ],
        lifespan=lifespan,
        exception_handlers={Refusal: answer_refusal, HTTPException: answer_http_error, Exception: answer_fault},
    )
    rules = Rules(hosts, token, frozenset([*files, "/health"]))
    return Door(app, rules, RateLimit(service.limits.rate), routes.metrics.observe)
