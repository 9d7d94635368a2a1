"""The addresses that answer once: pictures, controls, health, metrics, manifest, snapshot. For streams: streams.py."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from runtime.controls import FileRefusedError
from runtime.errors import ControlError
from runtime.fit import FITS, fit_frame
from runtime.frames import Array, Frame
from runtime.manifest import ImagePort
from runtime.service import uploads
from runtime.service.metrics import CONTENT_TYPE, Metrics
from runtime.service.pictures import VIEWS
from runtime.service.refusal import Refusal
from runtime.service.service import Service

TILE = "tile"
_SETTINGS_BYTES = 64 << 10  # of a body that sets controls


class Routes:
    """One method per address."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self.metrics: Metrics | None = None

    async def translate(self, request: Request) -> Response:
        """POST an image, get it translated, in the same format unless `?format=` or Accept says another.

        `?fit=` letterbox, crop, stretch or tile; `?control=style=seed:3` for this picture only, several times.
        """
        service = self._service
        self._refuse_stopping()
        port = service.manifest.frame
        if port is None:
            raise Refusal(409, "takes_no_picture", "this engine makes pictures of noise and takes none")
        fit = request.query_params.get("fit", service.fit)
        if fit not in (*FITS, TILE):
            raise Refusal(400, "unknown_fit", f"fit={fit[:20]!r} is not one of {', '.join([*FITS, TILE])}")
        assigned = self._assigned(request.query_params.getlist("control"))
        data = await uploads.receive_body(request, service.limits, service.uploads)
        return await self._translated(request, data, (port, fit), assigned)

    async def _translated(
        self, request: Request, data: bytes, target: tuple[ImagePort, str], assigned: Mapping[str, Array]
    ) -> Response:
        service, (port, fit) = self._service, target

        def read() -> tuple[str, Frame, Mapping[str, Array]]:
            head = uploads.measure(data, service.limits.pixels)
            name, frame = uploads.chosen_format(request, head.format), uploads.decode(data, port)
            fitted = frame if fit == TILE else fit_frame(frame, port.height, port.width, fit)
            try:
                return name, fitted, {**service.board.values(fitted), **assigned}
            except ControlError as error:  # of a detector that was named at the start
                raise _refused(error) from error

        name, frame, controls = await asyncio.to_thread(read)
        result = await service.translator.translate(frame, controls)
        content = await asyncio.to_thread(uploads.encode, result.picture, name)
        headers = {
            "Server-Timing": f"engine;dur={result.total_ms:.2f}",
            "X-Engine-SHA256": service.manifest.sha256["engine"],
            "X-Backend": service.translator.backend,
        }
        return Response(content, media_type=uploads.FORMATS[name][0], headers=headers)

    async def controls(self, request: Request) -> Response:
        """GET what there is to set and how it is set; POST {"style": "seed:7", "strength": 0.5} to change it live."""
        board = self._service.board
        if request.method == "POST":
            try:
                board.update(_assignments(await self._settings(request)))
            except ControlError as error:
                raise _refused(error) from error
        facts = {control.name: asdict(control) for control in self._service.manifest.controls}
        return JSONResponse({name: facts[name] | about for name, about in board.describe().items()})

    async def flag(self, request: Request) -> Response:
        """POST {"note": "a scratch"}: keep what is recorded around this moment."""
        recorder = self._service.recorder
        if recorder is None:
            raise Refusal(409, "not_recording", "nothing is recorded; start the service with --record DIR")
        note = (await self._settings(request)).get("note")
        if not isinstance(note, str):
            raise Refusal(400, "wrong_value", 'a flag has a note, as in {"note": "a scratch"}')
        recorder.flag(note)
        return JSONResponse({"flagged": note})

    async def _settings(self, request: Request) -> dict[str, Any]:
        if int(request.headers.get("content-length") or _SETTINGS_BYTES) > _SETTINGS_BYTES:
            raise Refusal(413, "too_large", f"settings may have {_SETTINGS_BYTES} bytes at most")
        body = await uploads.receive_body(request, self._service.limits, self._service.uploads)
        try:
            settings = json.loads(body[: _SETTINGS_BYTES + 1])
        except (ValueError, RecursionError):
            settings = None
        if not isinstance(settings, dict) or not settings:
            raise Refusal(400, "not_json", 'the body is not a JSON object such as {"style": "seed:7"}')
        return settings

    async def snapshot(self, request: Request) -> Response:
        """The newest picture without loss, as PNG: original, translated, difference, or both beside each other."""
        view, service = request.path_params["view"], self._service
        if view not in (*VIEWS, "side"):
            raise unknown_view(view)
        state, pair = service.state(), service.pictures.newest
        if pair is None or state not in ("live", "playing", "ended"):
            raise Refusal(409, "no_picture", f"there is no current picture to keep: the stream is {state}")
        content = await asyncio.to_thread(lambda: uploads.encode(pair.picture(view), "PNG"))
        headers = {
            "Content-Disposition": f'attachment; filename="inloco_{view}_{pair.sequence:06d}.png"',
            "X-Sequence": str(pair.sequence),
        }
        return Response(content, media_type="image/png", headers=headers)

    async def health(self, request: Request) -> Response:
        """The process answers."""
        return JSONResponse({"status": "ok"})

    async def ready(self, request: Request) -> Response:
        """200 where pictures would come out now, else 503 with the reason."""
        state = self._service.state()
        is_ready = state in ("off", "live", "playing") and not self._service.stopping.is_set()
        about = {"ready": is_ready, "engine": self._service.manifest.file, "stream": state}
        return JSONResponse(about, 200 if is_ready else 503)

    async def engine(self, request: Request) -> Response:
        """The manifest, the backend that runs it here, and the manifests of the engines below it on a ladder."""
        service = self._service
        ladder = [asdict(manifest) for manifest in service.ladder]
        return JSONResponse(asdict(service.manifest) | {"running": service.translator.backend, "ladder": ladder})

    async def scrape(self, request: Request) -> Response:
        """For Prometheus."""
        assert self.metrics is not None
        return Response(self.metrics.text(), headers={"content-type": CONTENT_TYPE})

    def _assigned(self, assignments: list[str]) -> dict[str, Array]:
        try:
            return self._service.board.parse(assignments)
        except ControlError as error:
            raise _refused(error) from error

    def _refuse_stopping(self) -> None:
        if self._service.stopping.is_set():
            raise Refusal(503, "stopping", "the service is ending", {"Connection": "close"})


def unknown_view(view: str) -> Refusal:
    """404 for a picture there is not."""
    return Refusal(404, "not_found", f"there is no picture {view[:20]!r}; there are {', '.join([*VIEWS, 'side'])}")


def _assignments(settings: dict[str, Any]) -> list[str]:
    """{"style": "seed:7", "z": [0.1, 0.2]} → ["style=seed:7", "z=0.1,0.2"]. Raises Refusal."""
    found = []
    for name, value in settings.items():
        items = value if isinstance(value, list) else [value]
        if not items or not all(isinstance(item, str | int | float) for item in items):
            raise Refusal(400, "wrong_value", f"control {name[:40]!r} takes a text, a number or a list of numbers")
        found.append(f"{name}={','.join(map(str, items))}")
    return found


def _refused(error: ControlError) -> Refusal:
    if isinstance(error, FileRefusedError):
        return Refusal(403, "no_files", str(error))
    return Refusal(422, "wrong_control", str(error))
