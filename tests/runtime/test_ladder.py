"""The ladder's policy on a clock of its own: a machine is simulated, the moves are counted."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest

from runtime.ladder import Ladder, Move, Tuning

DEADLINE_S, FPS = 0.033, 30
Ages = Callable[[int, float], float]  # (level, second) → age of the frame that is taken then


def play(ages: Ages, seconds: float, ladder: Ladder | None = None) -> tuple[Ladder, list[Move]]:
    """A camera of 30 frames a second, whose frames come out as old as `ages` says."""
    ladder = ladder or Ladder(DEADLINE_S, ["fp16", "int8", "original"], spread=lambda: 1.0)
    moves = []
    for frame in range(round(seconds * FPS)):
        captured = 1000 + frame / FPS
        move = ladder.observe(captured, captured + ages(ladder.level, frame / FPS))
        if move is not None:
            moves.append(move)
    return ladder, moves


def test_frames_in_time_move_nothing() -> None:
    ladder, moves = play(lambda level, second: 0.032, 60)
    assert (moves, ladder.level, ladder.late) == ([], 0, 0)


def test_one_late_frame_a_second_is_no_reason() -> None:
    ladder, moves = play(lambda level, second: 0.2 if round(second * FPS) % FPS == 0 else 0.01, 30)
    assert moves == []
    assert ladder.late == 30


def test_three_late_frames_bring_it_down_at_once() -> None:
    ladder, moves = play(lambda level, second: 0.050 if level == 0 and second > 1 else 0.010, 1.5)
    assert [(move.origin, move.target, move.is_down) for move in moves] == [(0, 1, True)]
    assert moves[0].second == pytest.approx(1001 + 3 / FPS + 0.05, abs=1.1 / FPS)
    assert "3 of 10 frames were older than 33 ms" in moves[0].reason
    assert (ladder.level, ladder.name, ladder.downs, ladder.ups) == (1, "int8", 1, 0)


def test_frames_taken_before_a_move_do_not_count_against_its_target() -> None:
    ladder = Ladder(DEADLINE_S, ["a", "b", "c"])
    for _ in range(3):
        ladder.observe(0.0, 0.1)
    assert ladder.level == 1
    for frame in range(10):
        ladder.observe(0.05, 0.2 + frame / 100)  # queued for long: late, but of the time of "a"
    assert ladder.level == 1
    for _ in range(3):
        ladder.observe(0.3, 0.4)
    assert ladder.level == 2


def test_it_comes_back_up_when_the_load_has_gone() -> None:
    ladder, moves = play(lambda level, second: (0.060, 0.040, 0.005)[level] if second < 5 else 0.010, 60)
    assert ladder.level == 0
    assert [move.target for move in moves[:2]] == [1, 2], "down the whole way in the load"
    assert moves[1].second < 1001
    assert moves[-1].second < 1030, "and up again soon after it"


def test_there_is_no_way_up_without_room() -> None:
    """At 0.8 of the deadline, a dearer engine cannot be in time: nothing is tried."""
    _, moves = play(lambda level, second: (0.050, 0.8 * DEADLINE_S, 0.0)[level], 600)
    assert [move.target for move in moves] == [1]


def test_a_machine_that_is_too_slow_is_tried_ever_more_rarely() -> None:
    """The pauses between attempts double from 2 s to 120 s: an hour has about 3600 / 120 + 6 of them, not 1800."""
    _, moves = play(lambda level, second: (0.050, 0.010, 0.0)[level], 3600)
    attempts = [move.second for move in moves if not move.is_down]
    pauses = [later - earlier for earlier, later in pairwise(attempts)]
    assert pauses[:5] == pytest.approx([4, 8, 16, 32, 64], abs=0.5)
    assert pauses[5:] == pytest.approx([120] * len(pauses[5:]), abs=0.5)
    assert len(attempts) in range(30, 40)
    late = 3 * (len(attempts) + 1)
    ladder, _ = play(lambda level, second: (0.050, 0.010, 0.0)[level], 3600)
    assert ladder.late <= 2 * late, "an attempt costs a handful of late frames"


def test_an_engine_that_held_long_is_tried_again_soon() -> None:
    """Load for 5 s every 60 s: soon after its end the better engine is back each time, the pause does not grow."""
    _, moves = play(lambda level, second: 0.050 if level == 0 and second % 60 < 5 else 0.010, 600)
    downs = [move.second for move in moves if move.is_down]
    assert len(moves) <= 10 * 6
    last_up = [max(m.second for m in moves if not m.is_down and m.second < 1000 + 60 * k) for k in range(2, 11)]
    assert all(up - (1000 + 60 * (k - 1)) < 5 + 8.5 for k, up in enumerate(last_up, 2))
    assert downs


def test_a_load_that_comes_and_goes_every_second_does_not_make_it_swing() -> None:
    _, moves = play(lambda level, second: 0.050 if level == 0 and second % 2 < 1 else 0.010, 600)
    assert len(moves) < 2 * (600 / 120 + 8)


def test_each_level_has_its_own_pause() -> None:
    """Level 1 holds, level 0 never does: only level 0 is put off."""
    ladder = Ladder(DEADLINE_S, ["a", "b", "c"], spread=lambda: 1.0)
    play(lambda level, second: (0.050, 0.010, 0.001)[level], 300, ladder)
    assert ladder.level == 1
    moved = [(move.origin, move.target) for move in ladder.moves]
    assert set(moved) == {(0, 1), (1, 0)}
    later = play(lambda level, second: 0.050 if level < 2 else 0.001, 1.0, ladder)[1]
    assert later == [], "those frames carry times before the last move"


def test_at_the_end_of_the_ladder_late_frames_are_counted_only() -> None:
    ladder, moves = play(lambda level, second: 0.1, 10)
    assert [move.target for move in moves] == [1, 2]
    assert ladder.level == 2
    assert ladder.late == 300


def test_ladders_of_one_machine_do_not_try_at_the_same_moment() -> None:
    seconds = set()
    for _ in range(5):
        ladder = Ladder(DEADLINE_S, ["a", "b"])
        _, moves = play(lambda level, second: (0.050, 0.010)[level], 20, ladder)
        seconds.add(tuple(round(move.second, 2) for move in moves[1::2]))
    assert len(seconds) > 1


def test_what_it_tells_in_json_adds_up() -> None:
    ladder, moves = play(lambda level, second: (0.050, 0.010, 0.0)[level], 30)
    told = ladder.describe()
    assert (told["deadline_ms"], told["level"], told["name"]) == (33.0, ladder.level, ladder.name)
    assert told["downs"] + told["ups"] == len(told["moves"]) == len(moves)
    assert told["downs"] - told["ups"] == ladder.level


def test_another_tuning() -> None:
    ladder = Ladder(DEADLINE_S, ["a", "b"], Tuning(window=5, misses=1))
    assert ladder.observe(0.0, 0.04) is not None
