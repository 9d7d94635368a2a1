"""What the stream costs beside the engine: frames a second of the pipeline against a bare loop over infer.

    python -m benchmarks.overhead
    python -m benchmarks.overhead --engine cyclegan_int8.onnx --clip degraded.mp4 --frames 200 --rounds 7

Three ways take turns within one run: a bare loop over the backend's infer, the stream from `synthetic:` to `null:`,
and the stream from a clip to `null:`, both lossless. A ratio is taken within a round; the median of the rounds counts.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

from tqdm import tqdm

from benchmarks.percentiles import spread
from benchmarks.rounds import read_options
from benchmarks.subjects import Choice, Subject
from runtime.errors import DONE, EngineError, SourceError, run_command
from runtime.stream import stream
from runtime.stream_options import StreamOptions

BARE, SYNTHETIC, CLIP = "bare loop", "synthetic: to null:", "clip to null:"


@dataclass(frozen=True)
class Comparison:
    """Frames a second of every way, round by round."""

    fps: dict[str, list[float]]

    def ratio(self, way: str) -> dict[str, float]:
        """Of a way to the bare loop of the same round: median, low and high."""
        return spread([ours / bare for ours, bare in zip(self.fps[way], self.fps[BARE], strict=True)])

    def as_json(self) -> dict[str, Any]:
        """What `--json` prints: way → fps and ratio, each median, low and high."""
        return {way: {"fps": spread(values), "ratio": self.ratio(way)} for way, values in self.fps.items()}


def bare_fps(choice: Choice, frames: int) -> float:
    """Of infer in a loop, from the first result to the last, as a stream counts."""
    with Subject(choice) as subject:
        subject.infer()
        start = perf_counter()
        for _ in range(frames - 1):
            subject.infer()
        return (frames - 1) / (perf_counter() - start)


def stream_fps(choice: Choice, source: str, frames: int) -> float:
    """Of the pipeline from `source` to nowhere, dropping nothing.

    Raises:
        SourceError: the source has fewer frames.
    """
    options = StreamOptions(
        engine=choice.path, source=source, sink="null:", backend=choice.backend, realtime=False, frames=frames
    )
    summary = stream(options)
    if summary["frames"] < frames:
        raise SourceError(f"{source} has {summary['frames']} frames, not {frames}: lower --frames")
    return float(summary["fps"])


def compare(choice: Choice, clip: Path | None, frames: int, rounds: int) -> Comparison:
    """All ways in turn, `rounds` times; which way begins rotates with the rounds."""
    ways = {BARE: partial(bare_fps, choice, frames), SYNTHETIC: partial(stream_fps, choice, "synthetic:", frames)}
    if clip is not None:
        ways[CLIP] = partial(stream_fps, choice, str(clip), frames)
    names = list(ways)
    fps: dict[str, list[float]] = {name: [] for name in names}
    with tqdm(total=rounds * len(names), desc="measuring", unit="run", leave=False) as progress:
        for turn in range(rounds):
            first = turn % len(names)
            for name in names[first:] + names[:first]:
                fps[name].append(ways[name]())
                progress.update()
    return Comparison(fps)


def as_table(comparison: Comparison) -> str:
    """Markdown."""
    lines = ["| way | fps (median) | ratio to the bare loop | range of rounds |", "|---|---|---|---|"]
    for way, figures in comparison.as_json().items():
        fps, ratio = figures["fps"], figures["ratio"]
        lines.append(
            f"| {way} | {fps['median']:.1f} | {ratio['median']:.3f} | {ratio['low']:.3f} to {ratio['high']:.3f} |"
        )
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    options = read_options("overhead", "Compare the stream with a bare loop over the engine.", arguments)
    choice, clip = options.engine, options.clip
    with Subject(choice) as subject:
        if subject.manifest.frame is None:
            raise EngineError(f"{choice.path} takes no frame: its stream has no source to measure")
    comparison = compare(choice, clip, options.frames, options.rounds)
    print(json.dumps(comparison.as_json()) if options.json else as_table(comparison))
    return DONE


if __name__ == "__main__":
    raise SystemExit(run_command(main))
