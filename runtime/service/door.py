"""Who may come in: host, origin, rate and token are checked before any route; every answer gets the security headers.

A page of another origin can neither read nor act (no CORS header is ever sent, a foreign Origin is refused), and a name
that somebody else's DNS points at this machine is not ours (DNS rebinding).
"""

from __future__ import annotations

import hmac
import logging
from base64 import urlsafe_b64decode
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from runtime.service.limits import RateLimit
from runtime.service.refusal import Refusal

PROTOCOL = "inloco"  # of the WebSocket; the token travels beside it, since browsers set no other header there
_TOKEN_PROTOCOL = "token."
_UNLIMITED = {"/health", "/ready", "/metrics"}  # a monitor must hear us while a client floods us
_HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
    "cache-control": "no-store",
}
log = logging.getLogger("inloco.serve")
Observe = Callable[[Scope, int, float], None]  # (scope, status, seconds)


@dataclass(frozen=True)
class Rules:
    """Whom the door lets in."""

    hosts: frozenset[str]  # names that a Host header may have, lower case, without port; empty: any
    token: str | None = None  # None: nobody needs one
    open_paths: frozenset[str] = field(default_factory=frozenset)  # that need no token: the page itself, /health


class Door:
    """ASGI middleware around everything."""

    def __init__(self, app: ASGIApp, rules: Rules, rate: RateLimit, observe: Observe) -> None:
        self._app, self._rules, self._rate, self._observe = app, rules, rate, observe

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        started, status = perf_counter(), 0

        async def send_on(message: Message) -> None:
            nonlocal status
            if message["type"] in ("http.response.start", "websocket.http.response.start"):
                status = message["status"]
                message["headers"] = _with_security(message.get("headers", []))
            elif message["type"] == "websocket.accept":
                status = 101
            await send(message)

        try:
            await self._answer(scope, receive, send_on)
        except Exception:
            log.exception("%s failed", scope["path"])  # and whoever asked was told by Starlette's handler
        finally:
            self._observe(scope, status, perf_counter() - started)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            self._check(HTTPConnection(scope))
        except Refusal as refusal:
            await deny(refusal.response(), scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _check(self, request: HTTPConnection) -> None:
        check_host(request.headers, self._rules.hosts)
        path = request.scope["path"]
        if path not in _UNLIMITED:
            self._rate.take(request.client.host if request.client else "")
        check_origin(request.headers)
        if self._rules.token is not None and path not in self._rules.open_paths:
            check_token(request.headers, self._rules.token)


def check_host(headers: Headers, hosts: frozenset[str]) -> None:
    """Raise Refusal unless the Host header is one of `hosts` (none: any)."""
    host = urlsplit(f"//{headers.get('host', '')}").hostname or ""
    if hosts and host.lower() not in hosts:
        raise Refusal(
            421, "wrong_host", f"this service is not called {host[:80]!r}; name the host with --allow-host if it is"
        )


def check_origin(headers: Headers) -> None:
    """Raise Refusal for what a page of another origin asks for."""
    origin = headers.get("origin")
    foreign = headers.get("sec-fetch-site") in ("cross-site", "same-site")
    if origin is not None:
        foreign = urlsplit(origin).netloc.lower() != headers.get("host", "").lower()
    if foreign and headers.get("sec-fetch-mode") != "navigate":
        raise Refusal(403, "foreign_origin", "pages of other origins may not use this service")


def check_token(headers: Headers, token: str) -> None:
    """Raise Refusal unless a Bearer token or a WebSocket protocol carries `token`; compared in constant time."""
    scheme, _, given = headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        given = token_of_protocols(headers.get("sec-websocket-protocol", ""))
    if not hmac.compare_digest(given.strip().encode(), token.encode()):
        raise Refusal(
            401, "unauthorized", "a token is needed: send `Authorization: Bearer TOKEN`", {"WWW-Authenticate": "Bearer"}
        )


def token_of_protocols(offered: str) -> str:
    """The token among the WebSocket protocols `inloco, token.BASE64URL`; empty where there is none."""
    for name in offered.split(","):
        if name.strip().startswith(_TOKEN_PROTOCOL):
            text = name.strip().removeprefix(_TOKEN_PROTOCOL)
            try:
                return urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode()
            except ValueError:
                return ""
    return ""


async def deny(response: Response, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
    """Answer a request, or a WebSocket that is not let in."""
    if scope["type"] == "websocket":
        await receive()  # its websocket.connect
    # Starlette prefixes the messages with "websocket." where the scope is one.
    await response(scope, receive, send)


def _with_security(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    present = {name.lower() for name, _ in headers}
    missing = [(name.encode(), value.encode()) for name, value in _HEADERS.items() if name.encode() not in present]
    return [*headers, *missing]
