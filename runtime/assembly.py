"""Joins what the options of a stream name into a pipeline, and says afterwards what it did."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from runtime import sinks, sources
from runtime.control_board import ControlBoard
from runtime.engine import BACKENDS, Engine, open_engine
from runtime.errors import EngineError, FrameError
from runtime.fit import fit_frame
from runtime.frames import Array, Frame
from runtime.ladder_engine import LadderPlan, plan_ladder
from runtime.manifest import ImagePort, Manifest
from runtime.pipeline import Mode, Pipeline, Stages
from runtime.report import check_folder
from runtime.rung_fit import beside
from runtime.rungs import OF_A_PLACE
from runtime.stream_options import TILE, StreamOptions
from runtime.tiling import TiledEngine
from runtime.watched_engine import WatchedEngine

if TYPE_CHECKING:
    from runtime.recording.recorder import Recorder


class Openers(Protocol):
    """Opens engines that several streams may share (runtime/shared_engine.py)."""

    def open(self, path: Path, backend: str | None, hang_s: float) -> Engine:
        """As `open_engine`; one that gives nothing for `hang_s` seconds is opened anew (0: never)."""


@dataclass(frozen=True)
class Assembled:
    """A pipeline, and what its summary tells of."""

    pipeline: Pipeline
    options: StreamOptions
    manifest: Manifest
    board: ControlBoard
    plan: LadderPlan | None
    recorder: Recorder | None = None

    def summary(self) -> dict[str, Any]:
        """What `--json` prints of it."""
        pipeline, options, manifest, stats = self.pipeline, self.options, self.manifest, self.pipeline.stats
        facts: dict[str, Any] = {
            "captured": pipeline.captured,
            "frames": stats.frames,
            "dropped": pipeline.dropped,
            "refused": pipeline.refused,
            "unfinished": pipeline.unfinished,
            "no_signal": pipeline.no_signal,
            "frozen": pipeline.frozen,
            **pipeline.watch.counters(),
            "fps": round(stats.fps, 3),
            "backend": pipeline.backend,
            "engine": options.engine.name,
            "engine_sha256": manifest.sha256["engine"],
            "system": manifest.system,
            "precision": manifest.precision,
            "mode": "realtime" if pipeline.realtime else "lossless",
            "source": sources.without_password(options.source),
            "sink": options.sink,
            "latency_ms": stats.latency_ms(),
        }
        if self.plan is not None:
            facts["ladder"] = self.plan.describe()
        if self.recorder is not None:
            facts["recording"] = self.recorder.counters() | {"error": self.recorder.error}
        return facts | {"controls": self.board.describe()}


def assemble(
    options: StreamOptions, manifest: Manifest, board: ControlBoard, sink: sinks.Sink | None = None,
    shared: Openers | None = None, recorder: Recorder | None = None,
) -> Assembled:
    """Check what can be checked without loading a vendor library or opening a camera, and join the stages.

    `sink` stands in the place of the one that `options` names; `shared` opens engines for several streams; `recorder`
    is the caller's, who closes it.

    Raises:
        EngineError, SinkError: what the options name cannot be.
    """
    if options.backend is not None and options.backend not in BACKENDS:
        raise EngineError(f"unknown backend {options.backend!r}; there are {', '.join(BACKENDS)}")
    if options.report is not None:
        check_folder(options.report)
    realtime = sources.is_live(options.source) if options.realtime is None else options.realtime
    plan = _plan(options, realtime)
    # A generator of noise takes no frame; it is driven at the size that it draws.
    port = manifest.frame or manifest.translated[0]
    # One of several streams waits for its camera, so that the others can begin.
    watch = sources.Watch(frozen_after_s=options.frozen_after_s, may_be_away=shared is not None)
    stages = Stages(
        open_source=partial(sources.open_source, options.source, port, watch),
        prepare=partial(_prepare, port=port, fit=None if plan or options.fit == TILE else options.fit),
        open_engine=_opening(options, plan, watch, options.hang_s if realtime else 0.0, shared),
        sink=sink or sinks.open_sink(options.sink),
        controls=board.values,
        blank=_blank(manifest, options),
        recorder=recorder,
    )
    if plan is not None:
        seen = beside(manifest, options.fit)
        stages = replace(stages, ladder=plan.ladder, original=seen, controls=partial(_controls, board, seen))
    pipeline = Pipeline(stages, Mode(realtime, options.frames, options.compare), watch)
    return Assembled(pipeline, options, manifest, board, plan, recorder)


def _controls(
    board: ControlBoard, seen: Callable[[Frame], Frame], frame: Frame, name: str
) -> Mapping[str, Array]:
    """Of a ladder, whose frames come at their own size: controls that depend on a frame get it as the engines do."""
    placed = any(control.kind in OF_A_PLACE for control in board.controls)
    return board.values(seen(frame) if placed else frame, name)


def _blank(manifest: Manifest, options: StreamOptions) -> Frame | None:
    """As large as what the sink gets; of tiles that is not known before there is a frame."""
    if options.fit == TILE:
        return None
    height, width, channels = manifest.translated[0].shape
    return np.zeros((height, width * 2 if options.compare else width, channels), manifest.translated[0].dtype)


def _plan(options: StreamOptions, realtime: bool) -> LadderPlan | None:
    if options.deadline_s is None:
        if options.ladder or not options.original:
            raise EngineError("a ladder needs to know when a frame is late: add --deadline, such as --deadline 33ms")
        return None
    if not realtime:
        raise EngineError(
            f"{options.source} is translated frame by frame, however late; a deadline is for cameras: "
            "add --realtime, or name a clip as replay:CLIP"
        )
    return plan_ladder(options.deadline_s, [options.engine, *options.ladder], options.fit, options.original)


def _opening(
    options: StreamOptions, plan: LadderPlan | None, watch: sources.Watch, hang_s: float, shared: Openers | None
) -> Callable[[], Engine]:
    """What opens the stream's engine, in the thread that will use it."""
    tiled = options.fit == TILE
    if shared is not None and not tiled:  # tiles of a frame that is lost would meet the next frame's
        open_one: Callable[[Path], Engine] = partial(_open_shared, shared, options.backend, hang_s)
        return partial(plan.open, open_one) if plan else partial(open_one, options.engine)
    open_one = partial(_open_own, options.backend, tiled)
    opening = partial(plan.open, open_one) if plan else partial(open_one, options.engine)
    return partial(WatchedEngine, opening, hang_s, watch.watchdog) if hang_s else opening


def _open_shared(shared: Openers, backend: str | None, hang_s: float, path: Path) -> Engine:
    return shared.open(path, backend, hang_s)


def _open_own(backend: str | None, tiled: bool, path: Path) -> Engine:
    engine = open_engine(path, backend)
    return TiledEngine(engine) if tiled else engine


def _prepare(frame: Frame, port: ImagePort, fit: str | None) -> Frame:
    if frame.shape[2] != port.channels or frame.dtype != port.dtype:
        raise FrameError(
            f"the source gives {frame.shape[2]} channel(s) of {frame.dtype}, "
            f"the engine takes {port.channels} of {port.dtype}"
        )
    return frame if fit is None else fit_frame(frame, port.height, port.width, fit)
