"""Translate a stream of frames.

    python -m runtime.stream --engine cyclegan_int8.onnx --camera 0
    python -m runtime.stream --engine cyclegan_fp16.plan --source rtsp://10.0.0.7/line --sink out.mp4
    python -m runtime.stream --engine munit.onnx --camera 0 --control style=seed:3 --control-stdin
    python -m runtime.stream --engine fp16.plan --deadline 33ms --ladder int8.plan --ladder small.plan --camera 0
    python -m runtime.stream --config streams.toml
"""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from contextlib import ExitStack
from typing import Any

from runtime.assembly import assemble
from runtime.companions import board_of
from runtime.control_lines import opened
from runtime.ending import end_process
from runtime.errors import BAD_INPUT, DONE, ConfigError, run_command
from runtime.heartbeat import Heartbeat
from runtime.manifest import read_manifest
from runtime.pipeline import Pipeline
from runtime.recording.start import recording
from runtime.report import latency_table, write_report
from runtime.service_manager import ServiceManager
from runtime.stop_signals import stop_on_signals
from runtime.stream_options import StreamOptions, options_of, stream_parser
from runtime.streams import run_streams
from runtime.streams_file import read_streams


def stream(options: StreamOptions, show_status: bool = False) -> dict[str, Any]:
    """Run the main job; return what `--json` prints.

    SIGINT and SIGTERM end it well: frames on their way are finished and files are closed. Raises InlocoError in one
    sentence, with nothing left behind, for whatever is wrong.
    """
    manifest = read_manifest(options.engine)
    with ExitStack() as stack:
        board = stack.enter_context(board_of(options.engine, options.controls, options.fit, options.backend))
        recorder = stack.enter_context(recording(options.record, manifest, options.source, board.__str__))
        pipe, flag = sys.stdin if options.control_stdin else None, recorder.flag if recorder else None
        stack.enter_context(opened(board, options.control_file, pipe, flag))
        job = assemble(options, manifest, board, recorder=recorder)
        _run(job.pipeline, show_status)
    summary = job.summary()
    if options.report is not None:
        write_report(options.report, summary, job.pipeline.stats)
    return summary


def _run(pipeline: Pipeline, show_status: bool) -> None:
    manager, heart = ServiceManager(), Heartbeat(pipeline)

    def look() -> None:
        if show_status:
            print(f"\r{status_line(pipeline):<100}", end="", file=sys.stderr, flush=True)
        if manager.listens:
            manager.say(status_line(pipeline))
        if heart.beats():
            manager.ready()
            manager.alive()

    try:
        with stop_on_signals(pipeline.stop):
            pipeline.run(look)
    finally:
        manager.stopping()
        if show_status:
            print(file=sys.stderr)


def status_line(pipeline: Pipeline) -> str:
    """How a stream does, in a line."""
    stats = pipeline.stats
    compute, age = stats.stages["compute"], stats.stages["age"]
    step = f"  step {stats.ladder_level} {stats.ladder_name}" if stats.ladder_level else ""
    return (
        f"{stats.frames} frames  {stats.fps:.1f} fps  compute p50 {compute.percentile(0.5):.1f} "
        f"p99 {compute.percentile(0.99):.1f} ms  age {age.percentile(0.5):.0f} ms  dropped {pipeline.dropped}{step}"
    )


def main() -> int:
    """The command."""
    parser = stream_parser()
    arguments = parser.parse_args()
    if arguments.config is not None:
        return _several(arguments)
    if arguments.engine is None:
        parser.error("name an engine with --engine, or several streams with --config")
    summary = stream(options_of(arguments), show_status=sys.stderr.isatty())
    print(json.dumps(summary) if arguments.json else latency_table(summary))
    return DONE


def _several(arguments: Namespace) -> int:
    """The streams of a file."""
    silent = vars(stream_parser().parse_args([]))
    given = {name for name, value in vars(arguments).items() if value != silent[name]}
    if beside := sorted(given - {"config", "json"}):
        name = beside[0].replace("_", "-")
        raise ConfigError(f"--{name} does not go with --config: write it into {arguments.config}")
    summary = run_streams(read_streams(arguments.config), show_status=sys.stderr.isatty())
    if arguments.json:
        print(json.dumps(summary))
    else:
        print("\n\n".join(f"{name}: {latency_table(one)}" for name, one in summary["streams"].items()))
    return BAD_INPUT if any("error" in one for one in summary["streams"].values()) else DONE


if __name__ == "__main__":
    raise SystemExit(end_process(run_command(main)))
