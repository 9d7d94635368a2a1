"""What can be said to the main job: one frozen record, the arguments that fill it, and their help."""

from __future__ import annotations

import argparse
import re
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Any

from runtime import sinks, sources
from runtime.engine import BACKENDS
from runtime.fit import FITS
from runtime.recording.options import RecordOptions, add_record_options, record_options
from runtime.sources.freeze import FROZEN_S
from runtime.watched_engine import HANG_S

TILE = "tile"
_DURATION = re.compile(r"(\d+(?:\.\d+)?|\.\d+)(ms|s)")


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
    deadline_s: float | None = None  # for the age of a frame; None: there is none, and no ladder
    ladder: tuple[Path, ...] = ()  # engines of falling cost, after `engine`
    original: bool = True  # the last step of the ladder is the frame as it came, with a banner
    record: RecordOptions | None = None


def stream_parser(kind: type[argparse.ArgumentParser] = argparse.ArgumentParser) -> argparse.ArgumentParser:
    """The arguments of `python -m runtime.stream`."""
    parser = kind(
        prog="python -m runtime.stream",
        description="Translate a camera, a video, pictures or a test pattern with an engine.",
        epilog=f"sources:\n{_grammar(sources)}\n\nsinks:\n{_grammar(sinks)}\n\nexamples:\n"
        "  python -m runtime.stream --engine cyclegan_int8.onnx --camera 0 --sink out.mp4 --report report/\n"
        "  python -m runtime.stream --camera 0 --deadline 33ms --engine fp16.plan --ladder int8.plan\n"
        "  python -m runtime.stream --config streams.toml",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--config", type=Path, metavar="FILE", help="several streams: these options as TOML, under [streams.NAME]")
    add_engine_arguments(parser, required=False)
    add("--sink", metavar="URI", help="where they go (default: a window)")
    add("--control-file", type=Path, metavar="FILE", help="NAME=VALUE lines, applied whenever the file changes")
    add("--control-stdin", action="store_true", help="NAME=VALUE lines from standard input, while the stream runs")
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--realtime", action="store_true", default=None, help="newest frame wins (cameras)")
    mode.add_argument("--lossless", action="store_false", dest="realtime", help="drop nothing (files)")
    add("--frames", type=_count, metavar="N", help="end after N translated frames")
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
    add_record_options(parser)
    return parser


def add_engine_arguments(parser: argparse.ArgumentParser, required: bool) -> None:
    """What the stream and the service take alike: engine, source, controls, fit, deadline and ladder."""
    add = parser.add_argument
    add("--engine", type=Path, required=required, help="engine with its manifest beside it")
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--camera", type=int, metavar="N", help="camera of this machine, short for --source v4l2:N")
    source.add_argument("--source", metavar="URI", help="where frames come from")
    add("--backend", help=f"instead of the manifest's: {', '.join(BACKENDS)}")
    add("--control", action="append", default=[], metavar="NAME=VALUE", help="z=seed:3, style=f.npy, domain=FLAIR")
    add("--fit", choices=[*FITS, TILE], default="letterbox", help="for frames of another size than the engine's")
    add("--deadline", type=_duration, metavar="TIME", help="for the age of a frame, 33ms or 0.5s: beyond it, step down")
    add("--ladder", action="append", default=[], type=Path, metavar="ENGINE", help="the next cheaper engine; repeat it")
    add("--no-original", action="store_true", help="end the ladder with its last engine, not with the original")


def options_of(arguments: argparse.Namespace) -> StreamOptions:
    """The record of parsed arguments."""
    return StreamOptions(
        engine=arguments.engine,
        source=arguments.source or f"v4l2:{arguments.camera or 0}",
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
        deadline_s=arguments.deadline,
        ladder=tuple(arguments.ladder),
        original=not arguments.no_original,
        record=record_options(arguments),
    )


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


def _duration(text: str) -> float:
    match = _DURATION.fullmatch(text.replace(" ", ""))
    seconds = float(match[1]) / (1000 if match[2] == "ms" else 1) if match else 0.0
    if not seconds:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time above 0 with its unit, such as 33ms or 0.5s")
    return seconds
