"""Where the time of a frame goes, in trtexec's words; memory does not grow with the stream.

Every stage is a histogram with buckets of one per cent, so a percentile is right to 0.5 %; mean, min and max are exact.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass

from runtime.ladder import Ladder

STAGES = ("capture", "queue", "compute", "sink", "age")
_BUCKET_RATIO = 1.01
_PER_BUCKET = 1 / math.log(_BUCKET_RATIO)
_SHORTEST_MS = 1e-3  # one microsecond; what is shorter counts as that
_TIMELINE_POINTS = 2048
log = logging.getLogger("inloco.ladder")


class Distribution:
    """Durations in milliseconds, of which only their histogram is kept."""

    def __init__(self) -> None:
        self.count = 0
        self.total = 0.0
        self.low = math.inf
        self.high = 0.0
        self._buckets: dict[int, int] = {}

    def add(self, ms: float) -> None:
        """Count one duration."""
        self.count += 1
        self.total += ms
        self.low = min(self.low, ms)
        self.high = max(self.high, ms)
        bucket = int(math.log(max(ms, _SHORTEST_MS) / _SHORTEST_MS) * _PER_BUCKET)
        self._buckets[bucket] = self._buckets.get(bucket, 0) + 1

    def cumulative(self) -> list[tuple[float, float]]:
        """The distribution function: (ms, share of durations up to it), rising to 1."""
        points, below = [], 0
        for bucket in sorted(self._buckets.copy()):
            below += self._buckets[bucket]
            middle = _SHORTEST_MS * _BUCKET_RATIO ** (bucket + 0.5)
            points.append((min(max(middle, self.low), self.high), below / self.count))
        return points

    def percentile(self, share: float) -> float:
        """The duration that `share` (0..1) of all do not exceed; 0 where there is none."""
        return next((ms for ms, reached in self.cumulative() if reached >= share), self.high)

    def summary(self) -> dict[str, float]:
        """mean, min, p50, p90, p95, p99, p99.9 and max, in milliseconds."""
        if not self.count:
            return dict.fromkeys(("mean", "min", "p50", "p90", "p95", "p99", "p99.9", "max"), 0.0)
        shares = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99, "p99.9": 0.999}
        figures = {"mean": self.total / self.count, "min": self.low}
        figures |= {name: self.percentile(share) for name, share in shares.items()}
        return {name: round(ms, 4) for name, ms in (figures | {"max": self.high}).items()}


@dataclass(frozen=True)
class Passage:
    """When one frame passed each point of the pipeline, in seconds of time.monotonic()."""

    captured: float  # the bytes were there
    ready: float  # decoded, fitted and handed over
    submitted: float  # its turn on the engine began
    translated: float  # collected from the engine
    delivered: float  # the sink has it


class StreamStats:
    """Filled by the thread of the sink; others may read at any time."""

    def __init__(self) -> None:
        self.stages = {name: Distribution() for name in STAGES}
        self.timeline: list[tuple[float, float, float]] = []  # (seconds, compute ms, age ms)
        self.frames = 0
        self.first_s = 0.0
        self.last_s = 0.0
        self.ladder_level: int | None = None  # where there is a ladder
        self.ladder_name = ""
        self.ladder_moves = {"down": 0, "up": 0}
        self.late = 0  # frames delivered beyond the ladder's deadline
        self._stride = 1

    def record(self, passage: Passage) -> None:
        """Count one delivered frame."""
        spans = (
            passage.ready - passage.captured,
            passage.submitted - passage.ready,
            passage.translated - passage.submitted,
            passage.delivered - passage.translated,
            passage.delivered - passage.captured,
        )
        for name, span in zip(STAGES, spans, strict=True):
            self.stages[name].add(span * 1e3)
        if not self.frames:
            self.first_s = passage.delivered
        if self.frames % self._stride == 0:
            self._mark(passage.delivered - self.first_s, spans[2] * 1e3, spans[4] * 1e3)
        self.last_s = passage.delivered
        self.frames += 1

    def climb(self, ladder: Ladder, passage: Passage) -> None:
        """Let a ladder judge one delivered frame, log its move, and note where it stands."""
        self.late += passage.delivered - passage.captured > ladder.deadline_s
        move = ladder.observe(passage.captured, passage.delivered)
        if move is not None:
            way = "down" if move.is_down else "up"
            self.ladder_moves[way] += 1
            log.warning("ladder: %s to step %d, %s: %s", way, move.target, ladder.name, move.reason)
        self.ladder_level, self.ladder_name = ladder.level, ladder.name

    def _mark(self, second: float, compute_ms: float, age_ms: float) -> None:
        """Keep a point of the time line; when there are too many, every other one goes."""
        self.timeline.append((second, compute_ms, age_ms))
        if len(self.timeline) >= _TIMELINE_POINTS:
            del self.timeline[1::2]
            self._stride *= 2

    @property
    def fps(self) -> float:
        """Frames a second between the first and the last delivery; 0 before there are two."""
        span = self.last_s - self.first_s
        return (self.frames - 1) / span if span > 0 else 0.0

    def latency_ms(self) -> dict[str, dict[str, float]]:
        """The summary of every stage."""
        return {name: stage.summary() for name, stage in self.stages.items()}
