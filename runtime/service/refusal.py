"""Every refusal of the service is one JSON object: {"error": CODE, "message": ONE SENTENCE}."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

_CODES = {404: "not_found", 405: "method_not_allowed"}
_WAYS_OUT = {
    404: "there is nothing at this address; GET / is the page, docs/service.md lists the others",
    405: "this address does not take that method; docs/service.md says which",
}


class Refusal(Exception):
    """A request that is not answered as asked.

    Args:
        status: of HTTP.
        code: for machines, in snake_case; it stays the same over versions.
        message: for people: the thing, the fact and the way out.
        headers: such as Retry-After.
    """

    def __init__(self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message
        self.headers = dict(headers or {})

    def response(self) -> JSONResponse:
        """The answer to send."""
        return JSONResponse({"error": self.code, "message": self.message}, self.status, self.headers)


def busy(what: str, seconds: float = 1.0) -> Refusal:
    """429: come back later."""
    return Refusal(429, "busy", f"{what}; try again in a moment", {"Retry-After": str(max(1, round(seconds)))})


def answer_refusal(request: Request, error: Exception) -> Response:
    """Starlette's handler of `Refusal`."""
    assert isinstance(error, Refusal)
    return error.response()


def answer_http_error(request: Request, error: Exception) -> Response:
    """Starlette's handler of its own errors, such as an unknown address."""
    assert isinstance(error, HTTPException)
    status = error.status_code
    message = _WAYS_OUT.get(status, error.detail)
    return Refusal(status, _CODES.get(status, "refused"), message, error.headers).response()


def answer_fault(request: Request, error: Exception) -> Response:
    """Starlette's handler of what nobody foresaw; the log has the traceback, the client has not."""
    return Refusal(500, "internal", "this should not have happened; the service's log says more").response()
