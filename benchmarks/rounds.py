"""The command line of benchmarks that run ways of streaming a clip in turn, round after round."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from benchmarks.subjects import Choice, parse_choice
from runtime.errors import SourceError

EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "bottling"


def read_options(name: str, description: str, arguments: Sequence[str] | None) -> argparse.Namespace:
    """`engine`, `clip` (the shipped ones where no engine is named; None: synthetic), `frames`, `rounds` and `json`.

    Raises:
        SourceError: there is no such clip.
    """
    parser = argparse.ArgumentParser(
        prog=f"python -m benchmarks.{name}", description=description,
        epilog=f"example: python -m benchmarks.{name} --engine cyclegan_int8.onnx --clip degraded.mp4",
    )  # fmt: skip
    parser.add_argument("--engine", type=parse_choice, metavar="ENGINE[@BACKEND]", help="default: the shipped engine")
    parser.add_argument("--clip", type=Path, help="a video; default: the shipped one, with the shipped engine")
    parser.add_argument("--frames", type=_at_least_two, default=100, help="of a run (default %(default)d)")
    parser.add_argument("--rounds", type=_at_least_two, default=7, help="turns of every way (default %(default)d)")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of the table")
    options = parser.parse_args(arguments)
    if options.engine is None:
        options.engine, options.clip = Choice(EXAMPLE / "cyclegan_int8.onnx"), options.clip or EXAMPLE / "degraded.mp4"
    if options.clip is not None and not options.clip.is_file():
        raise SourceError(f"there is no clip {options.clip}; name another with --clip")
    return options


def _at_least_two(text: str) -> int:
    if int(text) < 2:
        raise argparse.ArgumentTypeError(f"{text} is not 2 or more")
    return int(text)
