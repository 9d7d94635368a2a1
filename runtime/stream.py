"""Translate a stream of frames.

    python -m runtime.stream --engine cyclegan_int8.onnx --camera 0
    python -m runtime.stream --engine cyclegan_fp16.plan --source rtsp://10.0.0.7/line --sink out.mp4
    python -m runtime.stream --engine munit.onnx --camera 0 --control style=seed:3 --control-stdin
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from math import inf
from pathlib import Path
from types import FrameType
from typing import Any

from runtime import sinks, sources
from runtime.companions import board_of
from runtime.control_board import ControlBoard
from runtime.control_lines import opened
from runtime.engine import BACKENDS, Engine, open_engine
from runtime.errors import DONE, EngineError, FrameError, run_command
from runtime.fit import FITS, fit_frame
from runtime.frames import Frame
from runtime.manifest import ImagePort, Manifest, read_manifest
from runtime.pipeline import Mode, Pipeline, Stages
from runtime.report import check_folder, latency_table, write_report
from runtime.sources.freeze import FROZEN_S
from runtime.tiling import TiledEngine
from runtime.watched_engine import HANG_S, WatchedEngine

_TILE = "tile"


@dataclass(frozen=True)
class StreamOptions:
    """One run of the main job."""

    engine: Path
    source: str  # URI, as in runtime/sources
    sink: str  # URI, as in runtime/sinks
    backend: str | None = None  # None: the manifest's
    controls: tuple[str, ...] = ()  # NAME=VALUE, as in runtime/controls.py
    control_file: Path | None = None  # of such lines; what is written there later holds from the next frame on
    control_stdin: bool = False  # such lines from standard input, likewise
    realtime: bool | None = None  # None: cameras are, files are not
    frames: int | None = None
    fit: str = "letterbox"
    compare: bool = False
    hang_s: float = HANG_S  # an engine in realtime that gives nothing for so long is opened anew; 0: never
    frozen_after_s: float = FROZEN_S  # a camera that repeats its frames for so long is said to be frozen; 0: never
    report: Path | None = None


def stream(options: StreamOptions, show_status: bool = False) -> dict[str, Any]:
    """Run the main job; return what `--json` prints.

    SIGINT and SIGTERM end it well: frames on their way are finished and files are closed. Raises InlocoError in one
    sentence, with nothing left behind, for whatever is wrong.
    """
    manifest = read_manifest(options.engine)
    with ExitStack() as stack:
        board = stack.enter_context(board_of(options.engine, options.controls, options.fit, options.backend))
        stack.enter_context(opened(board, options.control_file, sys.stdin if options.control_stdin else None))
        pipeline = build_pipeline(options, manifest, board)
        _run(pipeline, show_status)
    summary = _summary(pipeline, options, manifest) | {"controls": board.describe()}
    if options.report is not None:
        write_report(options.report, summary, pipeline.stats)
    return summary


def _run(pipeline: Pipeline, show_status: bool) -> None:
    handlers = _stop_on_signals(pipeline)
    try:
        pipeline.run(partial(_print_status, pipeline) if show_status else _silent)
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        if show_status:
            print(file=sys.stderr)


def build_pipeline(
    options: StreamOptions, manifest: Manifest, board: ControlBoard, sink: sinks.Sink | None = None
) -> Pipeline:
    """Check what can be checked without loading a vendor library or opening a camera, and join the stages.

    `sink` stands in the place of the one that `options` names.
    """
    if options.backend is not None and options.backend not in BACKENDS:
        raise EngineError(f"unknown backend {options.backend!r}; there are {', '.join(BACKENDS)}")
    if options.report is not None:
        check_folder(options.report)
    # A generator of noise takes no frame; it is driven at the size that it draws.
    port = manifest.frame or manifest.translated[0]
    tiled, watch = options.fit == _TILE, sources.Watch(frozen_after_s=options.frozen_after_s)
    realtime = sources.is_live(options.source) if options.realtime is None else options.realtime
    opening: Callable[[], Engine] = partial(_open_engine, options, tiled)
    if realtime and options.hang_s:
        opening = partial(WatchedEngine, opening, options.hang_s, watch.watchdog)
    stages = Stages(
        open_source=partial(sources.open_source, options.source, port, watch),
        prepare=partial(_prepare, port=port, fit=None if tiled else options.fit),
        open_engine=opening,
        sink=sink or sinks.open_sink(options.sink),
        controls=board.values,
    )
    return Pipeline(stages, Mode(realtime, options.frames, options.compare), watch)


def _prepare(frame: Frame, port: ImagePort, fit: str | None) -> Frame:
    if frame.shape[2] != port.channels or frame.dtype != port.dtype:
        raise FrameError(
            f"the source gives {frame.shape[2]} channel(s) of {frame.dtype}, "
            f"the engine takes {port.channels} of {port.dtype}"
        )
    return frame if fit is None else fit_frame(frame, port.height, port.width, fit)


def _open_engine(options: StreamOptions, tiled: bool) -> Engine:
    engine = open_engine(options.engine, options.backend)
    return TiledEngine(engine) if tiled else engine


def _stop_on_signals(pipeline: Pipeline) -> dict[int, Any]:
    """Let SIGINT and SIGTERM stop the pipeline, and a second one interrupt it; return the former handlers."""

    def stop(number: int, frame: FrameType | None) -> None:
        signal.signal(number, signal.default_int_handler)
        pipeline.stop()

    return {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}


def _print_status(pipeline: Pipeline) -> None:
    stats = pipeline.stats
    compute, age = stats.stages["compute"], stats.stages["age"]
    line = (
        f"{stats.frames} frames  {stats.fps:.1f} fps  compute p50 {compute.percentile(0.5):.1f} "
        f"p99 {compute.percentile(0.99):.1f} ms  age {age.percentile(0.5):.0f} ms  dropped {pipeline.dropped}"
    )
    print(f"\r{line:<100}", end="", file=sys.stderr, flush=True)


def _silent() -> None:
    """No status line."""


def _summary(pipeline: Pipeline, options: StreamOptions, manifest: Manifest) -> dict[str, Any]:
    stats = pipeline.stats
    return {
        "frames": stats.frames,
        "dropped": pipeline.dropped,
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


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m runtime.stream",
        description="Translate a camera, a video, pictures or a test pattern with an engine.",
        epilog=f"sources:\n{_grammar(sources)}\n\nsinks:\n{_grammar(sinks)}\n\nexample:\n"
        "  python -m runtime.stream --engine cyclegan_int8.onnx --camera 0 --sink out.mp4 --report report/",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--engine", type=Path, required=True, help="engine with its manifest beside it")
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--camera", type=int, metavar="N", help="camera of this machine, short for v4l2:N")
    source.add_argument("--source", metavar="URI", help="where frames come from")
    add("--sink", metavar="URI", help="where they go (default: a window)")
    add("--backend", help=f"instead of the manifest's: {', '.join(BACKENDS)}")
    add("--control", action="append", default=[], metavar="NAME=VALUE", help="z=seed:3, style=f.npy, domain=FLAIR")
    add("--control-file", type=Path, metavar="FILE", help="NAME=VALUE lines, applied whenever the file changes")
    add("--control-stdin", action="store_true", help="NAME=VALUE lines from standard input, while the stream runs")
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--realtime", action="store_true", default=None, help="newest frame wins (cameras)")
    mode.add_argument("--lossless", action="store_false", dest="realtime", help="drop nothing (files)")
    add("--frames", type=_count, metavar="N", help="end after N translated frames")
    add("--fit", choices=[*FITS, _TILE], default="letterbox", help="for frames of another size than the engine's")
    add("--compare", choices=["side"], help="show the original beside the translated frame")
    add(
        "--frozen-after",
        type=_seconds,
        default=FROZEN_S,
        metavar="S",
        help="seconds of repeats; 0: never (%(default)s)",
    )
    add("--watchdog", type=_seconds, default=HANG_S, metavar="S", help="until an engine hangs; 0: never (%(default)s)")
    add("--report", type=Path, metavar="DIR", help="write report.html and report.json there")
    add("--json", action="store_true", help="print one JSON object at the end")
    return parser


def _grammar(package: Any) -> str:
    """The list of URIs in the docstring of `sources` or `sinks`."""
    return "\n".join(line[2:] for line in package.__doc__.splitlines() if line.startswith("    "))


def _count(text: str) -> int:
    count = int(text)
    if count < 1:
        raise ValueError
    return count


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 <= seconds < inf:
        raise ValueError
    return seconds


def _options(arguments: argparse.Namespace) -> StreamOptions:
    source = arguments.source or f"v4l2:{arguments.camera or 0}"
    return StreamOptions(
        engine=arguments.engine,
        source=source,
        sink=arguments.sink or "display:",
        backend=arguments.backend,
        controls=tuple(arguments.control),
        control_file=arguments.control_file,
        control_stdin=arguments.control_stdin,
        realtime=arguments.realtime,
        frames=arguments.frames,
        fit=arguments.fit,
        compare=arguments.compare == "side",
        frozen_after_s=arguments.frozen_after,
        hang_s=arguments.watchdog,
        report=arguments.report,
    )


def main() -> int:
    """The command."""
    arguments = _parser().parse_args()
    summary = stream(_options(arguments), show_status=sys.stderr.isatty())
    if arguments.json:
        print(json.dumps(summary))
    else:
        print(latency_table(summary))
    return DONE


if __name__ == "__main__":
    raise SystemExit(run_command(main))
