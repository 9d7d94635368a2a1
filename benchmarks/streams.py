"""What a second stream costs beside the first, in one process with one engine: two against twice one.

    python -m benchmarks.streams
    python -m benchmarks.streams --engine cyclegan_int8.onnx --clip degraded.mp4 --frames 120 --rounds 7

One stream, then two of the same clip, without loss and to nowhere, in turns. The time runs from the first frame
delivered to the last; a round's cost is time(two) / (2 · time(one)), and the median of the rounds counts. Below 1 the
two fill gaps in each other's work.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tqdm import tqdm

from benchmarks.percentiles import spread
from benchmarks.rounds import read_options
from benchmarks.subjects import Choice
from runtime.engine import open_engine
from runtime.errors import DONE, SourceError, run_command
from runtime.shared_engine import SharedEngines
from runtime.stream_options import StreamOptions
from runtime.streams import NamedStream, run_named

_LIMIT = 1.15


@dataclass(frozen=True)
class Cost:
    """Seconds of every round, and what followed from them."""

    one_s: list[float]
    two_s: list[float]
    fps: list[list[float]]  # of each of the two, round by round

    @property
    def ratios(self) -> list[float]:
        """Round by round: of two streams to twice one."""
        return [two / (2 * one) for one, two in zip(self.one_s, self.two_s, strict=True)]

    def as_json(self) -> dict[str, Any]:
        """What `--json` prints: median, low and high of each."""
        return {
            "one_s": spread(self.one_s), "two_s": spread(self.two_s), "ratio": spread(self.ratios),
            "fps_of_each": spread([fps for pair in self.fps for fps in pair]),
        }  # fmt: skip


def run_once(choice: Choice, source: str, frames: int, count: int) -> tuple[float, list[float]]:
    """`count` streams at once; seconds from the first delivery to the last of all, and the frames a second of each.

    Raises:
        SourceError: the source has fewer frames.
    """
    options = StreamOptions(choice.path, source, "null:", choice.backend, realtime=False, frames=frames)
    engines = SharedEngines()
    streams = [NamedStream(f"stream {number}", options, engines) for number in range(count)]
    run_named(streams)
    engines.close()
    for stream in streams:
        if stream.error is not None:
            raise stream.error
        if stream.job.pipeline.stats.frames < frames:
            raise SourceError(f"{source} has {stream.job.pipeline.stats.frames} frames, not {frames}: lower --frames")
    stats = [stream.job.pipeline.stats for stream in streams]
    seconds = max(one.last_s for one in stats) - min(one.first_s for one in stats)
    return seconds, [one.fps for one in stats]


def compare(choice: Choice, source: str, frames: int, rounds: int) -> Cost:
    """One and two in turn, `rounds` times; which begins changes with the rounds."""
    seconds: dict[int, list[float]] = {1: [], 2: []}
    fps = []
    with tqdm(total=2 * rounds, desc="measuring", unit="run", leave=False) as progress:
        for turn in range(rounds):
            for count in (1, 2) if turn % 2 == 0 else (2, 1):
                took, each = run_once(choice, source, frames, count)
                seconds[count].append(took)
                if count == 2:
                    fps.append(each)
                progress.update()
    return Cost(seconds[1], seconds[2], fps)


def as_table(cost: Cost, frames: int) -> str:
    """Markdown."""
    figures = cost.as_json()
    rows = [
        ("one stream, s", "one_s", ".3f"), ("two streams, s", "two_s", ".3f"),
        ("frames a second of each of two", "fps_of_each", ".1f"),
        (f"**two / (2 · one)**, wanted < {_LIMIT}", "ratio", ".3f"),
    ]  # fmt: skip
    lines = [f"| {frames} frames a stream | median | range of rounds |", "|---|---|---|"]
    for words, name, form in rows:
        one = figures[name]
        lines.append(f"| {words} | {one['median']:{form}} | {one['low']:{form}} to {one['high']:{form}} |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    options = read_options("streams", "Compare two streams that share an engine with twice one stream.", arguments)
    choice, clip = options.engine, options.clip
    open_engine(choice.path, choice.backend).close()  # what is compiled once is cached for all rounds
    cost = compare(choice, str(clip or "synthetic:"), options.frames, options.rounds)
    print(json.dumps(cost.as_json()) if options.json else as_table(cost, options.frames))
    return DONE


if __name__ == "__main__":
    raise SystemExit(run_command(main))
