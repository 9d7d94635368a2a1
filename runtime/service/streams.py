"""Live pictures for any number of viewers: MJPEG for every tool, and a WebSocket for the page.

Nobody is sent an old picture: each viewer gets the newest one when it is ready for it. The WebSocket has one message in
flight; the viewer asks for the next with any text, and until then hears nothing. A message is
    uint32 (big endian) length of the head | head: JSON | the JPEG files of head["views"], each of head["bytes"]
and comes at least twice a second, without pictures where there is no new one: silence means a broken connection.
"""

from __future__ import annotations

import asyncio
import json
import struct
from contextlib import suppress
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from runtime.service.door import PROTOCOL, deny
from runtime.service.pictures import VIEWS, Pair
from runtime.service.refusal import Refusal
from runtime.service.routes import unknown_view
from runtime.service.service import Service

_BOUNDARY = "inloco-frame"
_BEAT_S = 0.5
_ASKS_WITHIN_S = 30.0  # a viewer that draws nothing for so long is gone


class Streams:
    """The addresses under /streams."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def index(self, request: Request) -> Response:
        """Which streams there are, and how the live one is."""
        status = self._service.status(self._service.pictures.newest)
        return JSONResponse({"views": {view: f"/streams/{view}" for view in VIEWS}, "status": status})

    async def mjpeg(self, request: Request) -> Response:
        """GET /streams/VIEW."""
        view = request.path_params["view"]
        if view not in VIEWS:
            raise unknown_view(view)
        if self._service.live is None:
            raise Refusal(409, "no_source", "this service has no source; start it with --camera or --source")
        return _Mjpeg(self._service, view)

    async def websocket(self, socket: WebSocket) -> None:
        """WS /streams?views=original,translated"""
        views = socket.query_params.get("views", "original,translated").split(",")
        try:
            if unknown := [view for view in views if view not in VIEWS]:
                raise unknown_view(unknown[0])
            with self._service.viewers.take():
                await self._feed(socket, tuple(dict.fromkeys(views)))
        except Refusal as refusal:
            await deny(refusal.response(), socket.scope, socket.receive, socket.send)
        except (WebSocketDisconnect, asyncio.TimeoutError, OSError):
            with suppress(Exception):  # it may be gone already
                await socket.close(1013)

    async def _feed(self, socket: WebSocket, views: tuple[str, ...]) -> None:
        service, seen = self._service, 0
        offered = socket.scope.get("subprotocols", [])
        await socket.accept(PROTOCOL if PROTOCOL in offered else None)
        while not service.stopping.is_set():
            # A mere beat is not asked for: it may cross the answer to the one before.
            pair = await service.pictures.newer_than(seen, _BEAT_S)
            if pair is None:
                await self._send(socket, await self._message(None, ()))
                continue
            seen = pair.number
            await self._send(socket, await self._message(pair, views))
            await asyncio.wait_for(socket.receive_text(), _ASKS_WITHIN_S)
        await socket.close(1001)

    async def _message(self, pair: Pair | None, views: tuple[str, ...]) -> bytes:
        files = [await pair.jpeg(view) for view in views] if pair else []
        status: dict[str, Any] = self._service.status(pair or self._service.pictures.newest)
        head = json.dumps(status | {"views": views, "bytes": [len(file) for file in files]}).encode()
        return b"".join([struct.pack(">I", len(head)), head, *files])

    async def _send(self, socket: WebSocket, message: bytes) -> None:
        await asyncio.wait_for(socket.send_bytes(message), self._service.limits.send_s)


class _Mjpeg(Response):
    """multipart/x-mixed-replace without end: FFmpeg, VLC, a browser or another `runtime.stream` read it."""

    def __init__(self, service: Service, view: str) -> None:
        super().__init__(media_type=f"multipart/x-mixed-replace; boundary={_BOUNDARY}")
        self._service, self._view = service, view
        del self.headers["content-length"]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._service.viewers.take():
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            gone = asyncio.ensure_future(_disconnected(receive))
            try:
                await self._feed(send, gone)
            except (asyncio.TimeoutError, OSError):
                pass  # a viewer that takes nothing is let go
            finally:
                gone.cancel()

    async def _feed(self, send: Send, gone: asyncio.Future[None]) -> None:
        pictures, seen = self._service.pictures, 0
        while not self._service.stopping.is_set():
            if gone.done():
                return
            pair = await pictures.newer_than(seen, _BEAT_S)
            if pair is not None:
                seen = pair.number
                await self._part(send, await pair.jpeg(self._view))
        await send({"type": "http.response.body", "body": f"--{_BOUNDARY}--\r\n".encode()})

    async def _part(self, send: Send, jpeg: bytes) -> None:
        head = f"--{_BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n".encode()
        body = head + jpeg + b"\r\n"
        await asyncio.wait_for(
            send({"type": "http.response.body", "body": body, "more_body": True}), self._service.limits.send_s
        )


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
