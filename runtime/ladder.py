"""Which engine of a deadline ladder has its turn, decided from the age of every delivered frame alone.

    ladder = Ladder(0.033, ["fp16.onnx", "int8.onnx", "original"])
    if move := ladder.observe(captured, delivered):
        ...  # ladder.level is another one

**Down** when of the last ten frames three were late. **Up** when at most two of ten were older than 0.7 of the
deadline, and the level above has been left alone long enough: that pause doubles with every attempt that failed, as the
back-off of a network does, so a machine that is simply too slow is not tried over and over. An attempt has failed when
it held less than four times the pause before it. Two thresholds and the pause are the hysteresis.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

_KEPT_MOVES = 100  # of which the details are kept; all are counted


@dataclass(frozen=True)
class Tuning:
    """When a ladder moves."""

    window: int = 10  # frames that are judged
    misses: int = 3  # of them, that bring it down
    room: float = 0.7  # of the deadline, that must suffice before a better engine is tried
    first_pause_s: float = 2.0  # before a level is tried again
    longest_pause_s: float = 120.0
    proven: float = 4.0  # times the pause: who holds so long has not failed


@dataclass(frozen=True)
class Move:
    """One step of the ladder."""

    second: float  # of time.monotonic()
    origin: int
    target: int
    reason: str

    @property
    def is_down(self) -> bool:
        """Towards the cheaper engine."""
        return self.target > self.origin


def _spread() -> float:
    """Ladders of one machine must not try their better engines at the same moment."""
    return random.uniform(1.0, 1.25)


class Ladder:
    """Level 0 is the best. `observe` belongs to one thread; the rest may be read by any.

    It has no clock: time is what `observe` is told, in seconds of time.monotonic().
    """

    def __init__(
        self, deadline_s: float, names: Sequence[str], tuning: Tuning | None = None,
        spread: Callable[[], float] = _spread,
    ) -> None:
        self.deadline_s, self.names = deadline_s, tuple(names)
        self.level = self.late = self.downs = self.ups = 0
        self.moves: deque[Move] = deque(maxlen=_KEPT_MOVES)
        self.frames = [0] * len(names)  # that each level made; counted by whoever makes them
        self._tuning, self._spread = tuning or Tuning(), spread
        self._ages: deque[float] = deque(maxlen=self._tuning.window)  # of frames captured since the last move
        self._pauses = [self._tuning.first_pause_s] * len(names)  # before each level is tried again
        self._began = 0.0  # at the first frame delivered
        self._moved: float | None = None
        self._try_after = 0.0
        self._is_attempt = False

    @property
    def name(self) -> str:
        """Of the level that holds."""
        return self.names[self.level]

    def observe(self, captured: float, delivered: float) -> Move | None:
        """Judge one delivered frame; the move that follows from it, if any."""
        age = delivered - captured
        self.late += age > self.deadline_s
        if self._moved is None:
            self._began = self._moved = delivered
        if self.moves and captured < self._moved:
            return None  # it was on its way before the move, and says nothing of what followed
        self._ages.append(age)
        if len(self._ages) < self._tuning.misses:
            return None
        typical = sorted(self._ages)[-self._tuning.misses]  # what all but `misses` − 1 of the frames keep to
        if typical > self.deadline_s:
            return self._down(typical, delivered)
        has_room = len(self._ages) == self._tuning.window and typical <= self._tuning.room * self.deadline_s
        return self._up(typical, delivered) if has_room else None

    def _down(self, age: float, now: float) -> Move | None:
        if self.level == len(self.names) - 1:
            return None
        self._settle(now)
        count, total = sum(age > self.deadline_s for age in self._ages), len(self._ages)
        reason = f"{count} of {total} frames were older than {_ms(self.deadline_s)}: {_ms(age)}"
        return self._move(self.level + 1, reason, now)

    def _up(self, age: float, now: float) -> Move | None:
        if self.level == 0 or now < self._try_after:
            return None
        return self._move(self.level - 1, f"frames are {_ms(age)} old: trying what is better again", now)

    def _settle(self, now: float) -> None:
        """The level is left because it is too slow: how long shall it be left alone?"""
        assert self._moved is not None
        pause = self._pauses[self.level]
        if now - self._moved >= self._tuning.proven * pause:
            pause = self._tuning.first_pause_s
        elif self._is_attempt:
            pause = min(2 * pause, self._tuning.longest_pause_s)
        self._pauses[self.level] = pause

    def _move(self, target: int, reason: str, now: float) -> Move:
        move = Move(now, self.level, target, reason)
        self.moves.append(move)
        self.downs += move.is_down
        self.ups += not move.is_down
        self.level, self._moved, self._is_attempt = target, now, not move.is_down
        self._ages.clear()
        self._try_after = now + self._pauses[max(0, target - 1)] * self._spread()
        return move

    def describe(self) -> dict[str, Any]:
        """In JSON: where it stands, what it counted, and its latest moves, in seconds after the first frame."""
        return {
            "deadline_ms": round(self.deadline_s * 1e3, 3), "level": self.level, "name": self.name, "late": self.late,
            "downs": self.downs, "ups": self.ups,
            "moves": [
                {"second": round(move.second - self._began, 3), "from": move.origin, "to": move.target}
                | {"reason": move.reason}
                for move in self.moves
            ],
        }  # fmt: skip


def _ms(seconds: float) -> str:
    ms = seconds * 1e3
    return f"{ms:.0f} ms" if ms >= 100 else f"{ms:.3g} ms"
