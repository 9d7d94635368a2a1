"""uvicorn, with what it leaves out: time for a head, a count of connections, JSON errors, a quick end."""

from __future__ import annotations

import asyncio
import json
import logging
import signal
import socket
from collections.abc import Callable
from types import FrameType
from typing import Any

import h11
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from runtime.errors import InlocoError
from runtime.service.limits import Limits
from runtime.service.tls import Certificate

_HEAD_BYTES = 16 << 10  # of a request line and its headers
_MESSAGE_BYTES = 4 << 10  # of what a viewer says
_DRAIN_S = 1  # for requests on their way; the rest of the two seconds is the pipeline's
_KEEP_ALIVE_S = 10
_SEND_BUFFER_BYTES = 256 << 10
_PING_S = 5.0


class AddressError(InlocoError):
    """The address cannot be listened on."""


def bind(host: str, port: int) -> socket.socket:
    """A listening socket. Raises AddressError."""
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(128)
    except OSError as error:
        raise AddressError(
            f"cannot listen on {host}:{port}: {error.strerror or error}; choose another --host or --port"
        ) from error
    listener.set_inheritable(False)
    return listener


class Server(uvicorn.Server):
    """Ends well on SIGTERM and SIGINT: `stop` is called at once, requests on their way get a second."""

    def __init__(
        self,
        app: ASGIApp,
        limits: Limits,
        certificate: Certificate | None,
        stop: Callable[[], None],
        beat: Callable[[], None] = lambda: None,
    ) -> None:
        class Http(_Http):
            bounds = limits

        class Socket(_WebSocket):
            bounds = limits

        super().__init__(uvicorn.Config(
            app, http=Http, ws=Socket, loop="asyncio", lifespan="on", log_config=None,
            access_log=False, proxy_headers=False, server_header=False, timeout_keep_alive=_KEEP_ALIVE_S,
            timeout_graceful_shutdown=_DRAIN_S, h11_max_incomplete_event_size=_HEAD_BYTES,
            ws_max_size=_MESSAGE_BYTES, ws_per_message_deflate=False, ws_ping_interval=_PING_S, ws_ping_timeout=_PING_S,
            ssl_certfile=certificate.path if certificate else None,
            ssl_keyfile=certificate.key if certificate else None,
        ))  # fmt: skip
        self._stop, self._beat = stop, beat

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second once requests are taken: as long as the event loop turns."""
        self._beat()
        return await super().on_tick(counter)

    def end(self) -> None:
        """As a signal does; from any thread."""
        self._stop()
        self.should_exit = True

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Unlike uvicorn's, leaves the signal behind: the process ends with code 0."""
        if self.should_exit and sig == signal.SIGINT:
            self.force_exit = True
        self.end()


class _Impatient(asyncio.Protocol):
    """Cuts a connection whose other end takes nothing: closing it would wait for ever."""

    bounds: Limits
    transport: asyncio.Transport
    _stuck: asyncio.TimerHandle | None = None

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stuck = asyncio.get_running_loop().call_later(self.bounds.send_s, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._stuck is not None:
            self._stuck.cancel()
            self._stuck = None


class _WebSocket(_Impatient, WebSocketsSansIOProtocol):
    """One viewer."""


class _Http(_Impatient, H11Protocol):
    """HTTP/1.1 for one connection."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        # What the system holds for a slow viewer is old before it arrives.
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)
        host = self.client[0] if self.client else ""
        from_here = sum(_host_of(other) == host for other in self.connections)
        if len(self.connections) > self.bounds.connections or from_here > self.bounds.connections_each:
            self._answer(429, "busy", "too many connections are open; close some, or try again in a moment")
            return
        self._start_timer()

    def data_received(self, data: bytes) -> None:
        self._start_timer()
        super().data_received(data)
        if self._in_request() or self.transport.get_protocol() is not self:  # or it became a WebSocket
            self._stop_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """uvicorn's answer to what is no HTTP, in our words."""
        self._answer(400, "bad_request", f"this is not HTTP/1.1, or its head is larger than {_HEAD_BYTES} bytes")

    def _in_request(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _start_timer(self) -> None:
        if self._head_timer is None and not self._in_request():
            self._head_timer = self.loop.call_later(self.bounds.header_s, self._too_slow)

    def _stop_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _too_slow(self) -> None:
        self._head_timer = None
        if not self._in_request():
            self._answer(408, "too_slow", f"no request came within {self.bounds.header_s:g} s")

    def _answer(self, status: int, code: str, message: str) -> None:
        """Send a refusal by hand, where no request has come to be routed, and close."""
        if self.transport.is_closing():
            return
        body = json.dumps({"error": code, "message": message}).encode()
        headers = [
            ("content-type", "application/json"), ("content-length", str(len(body))), ("connection", "close"),
            ("cache-control", "no-store"), ("x-content-type-options", "nosniff"),
        ]  # fmt: skip
        try:
            parts = [h11.Response(status_code=status, headers=headers), h11.Data(data=body), h11.EndOfMessage()]
            for part in parts:
                self.transport.write(self.conn.send(part) or b"")
        except h11.LocalProtocolError:  # an answer has begun already
            logging.getLogger("inloco.serve").debug("closing a connection in the middle of an answer")
        self.transport.close()


def _host_of(connection: Any) -> str:
    client = getattr(connection, "client", None)
    return client[0] if client else ""
