"""Times engines in turn, so that what disturbs the machine disturbs them all.

A run is a number of rounds; in each, every engine has a block of time. A ratio is taken within a round, so neighbours
who slow a whole round down do not change it; the spread of the ratios over the rounds says how quiet it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from time import perf_counter, sleep
from typing import Protocol

import numpy as np

from benchmarks.percentiles import spread

Clock = Callable[[], float]
_FEWEST = 3  # frames of a block, however slow the engine


class Timed(Protocol):
    """What can be timed."""

    @property
    def name(self) -> str:
        """Unique in a run."""

    def time_ms(self) -> float:
        """Translate once; milliseconds."""


@dataclass
class BackToBack:
    """Latencies of one engine that is never idle, by round."""

    rounds: list[list[float]] = field(default_factory=list)  # ms
    started_s: list[float] = field(default_factory=list)  # of each frame, since the run began

    @property
    def latencies_ms(self) -> list[float]:
        """Of all rounds, in order."""
        return [ms for block in self.rounds for ms in block]

    @property
    def throughput(self) -> float:
        """Frames a second, one in flight."""
        return 1e3 / float(np.mean(self.latencies_ms))


@dataclass
class Cadence:
    """An engine fed by a camera; the newest frame wins, and what it misses is counted."""

    latencies_ms: list[float] = field(default_factory=list)  # from the arrival of a frame to its translation
    compute_ms: list[float] = field(default_factory=list)  # of that, the engine's own time
    offered: int = 0
    late: int = 0  # translated after the next frame had arrived
    skipped: int = 0  # replaced by a newer one before the engine was free

    @property
    def missed_share(self) -> float:
        """Share of the offered frames that were late or skipped."""
        return (self.late + self.skipped) / self.offered if self.offered else 0.0


@dataclass(frozen=True)
class Plan:
    """How long to measure."""

    seconds: float = 10.0  # of one engine, over all rounds
    rounds: int = 5
    fps: float = 30.0

    @property
    def block_s(self) -> float:
        """Of one engine in one round."""
        return self.seconds / self.rounds


def warm_up(subjects: Sequence[Timed], frames: int = 5) -> None:
    """The first frames allocate and compile: they are not counted."""
    for subject in subjects:
        for _ in range(frames):
            subject.time_ms()


def measure_back_to_back(
    subjects: Sequence[Timed], plan: Plan, progress: Callable[[], object] = lambda: None
) -> dict[str, BackToBack]:
    """Every engine at full speed, in turn; `progress` is called after every block."""
    results = {subject.name: BackToBack() for subject in subjects}
    start = perf_counter()
    for subject in _turns(subjects, plan.rounds):
        result = results[subject.name]
        block: list[float] = []
        end = perf_counter() + plan.block_s
        while len(block) < _FEWEST or perf_counter() < end:
            result.started_s.append(perf_counter() - start)
            block.append(subject.time_ms())
        result.rounds.append(block)
        progress()
    return results


def measure_cadence(
    subjects: Sequence[Timed], plan: Plan, progress: Callable[[], object] = lambda: None
) -> dict[str, Cadence]:
    """Every engine fed with `plan.fps` frames a second, in turn."""
    results = {subject.name: Cadence() for subject in subjects}
    for subject in _turns(subjects, plan.rounds):
        feed(subject, results[subject.name], plan.fps, max(1, round(plan.block_s * plan.fps)))
        progress()
    return results


def feed(
    subject: Timed, result: Cadence, fps: float, frames: int, clock: Clock = perf_counter,
    wait: Callable[[float], None] = sleep,
) -> None:  # fmt: skip
    """Offer `frames` frames at `fps`; add what became of them to `result`. `clock` and `wait` are seconds."""
    period = 1 / fps
    start = clock()
    number = 0
    while number < frames:
        arrival = start + number * period
        if (idle := arrival - clock()) > 0:
            wait(idle)
        result.compute_ms.append(subject.time_ms())
        done = clock()
        result.latencies_ms.append((done - arrival) * 1e3)
        result.late += done - arrival > period
        newest = max(number + 1, int((done - start) * fps))  # it has arrived, or is the next to come
        result.skipped += min(newest, frames) - number - 1
        number = newest
    result.offered += frames


def ratios(results: dict[str, BackToBack]) -> dict[str, dict[str, float]]:
    """How many times faster than the first each engine is: of medians within a round; median, low, high of rounds."""
    first = [float(np.median(block)) for block in next(iter(results.values())).rounds]
    return {
        name: spread([f / float(np.median(block)) for f, block in zip(first, result.rounds, strict=True)])
        for name, result in results.items()
    }


def _turns(subjects: Sequence[Timed], rounds: int) -> Iterator[Timed]:
    for _ in range(rounds):
        yield from subjects
