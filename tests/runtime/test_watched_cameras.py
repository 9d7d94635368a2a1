"""What is noticed about a camera: loss, return, a hung driver, frames that repeat or never arrived."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from runtime.banner import draw_banner
from runtime.errors import SourceError
from runtime.no_signal import draw_no_signal
from runtime.sources import Shot, Watch
from runtime.sources.freeze import FreezeWatch
from runtime.sources.pace import Pace
from runtime.sources.reconnect import FIRST_PAUSE_S, LONGEST_PAUSE_S, ReconnectingSource, pause_s
from runtime.watchdog import Watchdog

Step = Callable[[], Shot]


def shot(level: int, number: int | None = None) -> Shot:
    return Shot(np.full((4, 4, 1), level, np.uint8), time.monotonic(), 0.0, number=number)


def lost() -> Shot:
    raise SourceError("the cable is out")


class Camera:
    """Does what it was told, one step a read, then is lost; remembers its threads."""

    live = True

    def __init__(self, steps: Iterator[Step]) -> None:
        self.opened_by, self.closed_by, self._steps = threading.current_thread(), None, steps

    def read(self) -> Shot | None:
        return next(self._steps, lost)()

    def close(self) -> None:
        self.closed_by = threading.current_thread()  # type: ignore[assignment]


def watched(watch: Watch, *openings: list[Step] | None) -> tuple[ReconnectingSource, list[Camera]]:
    """A source of cameras that open one after the other; None is an opening that fails."""
    waiting, cameras = iter(openings), []

    def open_camera() -> Camera:
        steps = next(waiting)
        if steps is None:
            raise SourceError("nobody answers")
        cameras.append(Camera(iter(steps)))
        return cameras[-1]

    return ReconnectingSource(open_camera, "line 3", watch), cameras


def levels(source: ReconnectingSource, count: int) -> list[int]:
    shots = [source.read() for _ in range(count)]
    return [int(taken.frame.max()) for taken in shots if taken is not None]


def test_a_lost_camera_comes_back_and_is_counted(caplog: pytest.LogCaptureFixture) -> None:
    watch = Watch()
    first, second = [lambda: shot(1), lambda: shot(2)], [lambda: shot(3)]
    source, cameras = watched(watch, first, None, None, second)
    assert levels(source, 3) == [1, 2, 3]
    assert (watch.losses, watch.reconnects) == (1, 1)
    assert "the cable is out" in caplog.text
    assert "line 3 is back" in caplog.text
    source.close()
    assert all(camera.closed_by is camera.opened_by is not threading.main_thread() for camera in cameras)


def test_a_wrong_address_is_an_error_at_once() -> None:
    with pytest.raises(SourceError, match="nobody answers"):
        watched(Watch(), None)


def test_a_hung_read_is_left_behind_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    release = threading.Event()

    def hang() -> Shot:
        release.wait(20)
        return shot(99)

    watch = Watch(hang_s=0.3)
    source, cameras = watched(watch, [lambda: shot(1), hang], [lambda: shot(2), lambda: shot(3)])
    assert levels(source, 2) == [1, 2]
    assert (watch.losses, watch.reconnects, watch.watchdog.restarts) == (1, 1, 1)
    assert "line 3 hangs: it gave nothing for 0.3 s: restarted (1)" in caplog.text
    assert cameras[0].closed_by is None
    release.set()
    assert levels(source, 1) == [3], "what the hung read brings at last is never shown"
    while cameras[0].closed_by is None:
        time.sleep(0.01)
    assert cameras[0].closed_by is cameras[0].opened_by


def test_a_camera_that_hangs_again_and_again_ends_the_stream() -> None:
    release = threading.Event()

    def hang() -> Shot:
        release.wait(20)
        return lost()

    source, cameras = watched(Watch(hang_s=0.05, watchdog=Watchdog(limit=2)), *([hang] for _ in range(9)))
    with pytest.raises(SourceError, match="after 2 restarts in 600 s; start this process again"):
        source.read()
    release.set()
    assert len(cameras) == 3


def test_a_triggered_camera_may_be_silent() -> None:
    class Triggered(Camera):
        is_triggered = True

    def slow() -> Shot:
        time.sleep(0.6)
        return shot(7)

    watch = Watch(hang_s=0.1)
    source = ReconnectingSource(lambda: Triggered(iter([slow])), "line 3", watch)
    assert levels(source, 1) == [7]
    assert (watch.losses, watch.watchdog.restarts) == (0, 0)


def test_restarts_are_forgotten_after_their_window() -> None:
    now = [0.0]
    dog = Watchdog(limit=2, window_s=60, clock=lambda: now[0])
    for now[0] in (0.0, 30.0, 61.0, 91.0):
        dog.restart("it hangs", SourceError)
    with pytest.raises(SourceError, match="it hangs, after 2 restarts in 60 s"):
        dog.restart("it hangs", SourceError)
    assert (dog.restarts, dog.reason) == (4, "it hangs")


def test_the_pause_doubles_with_jitter_to_a_second() -> None:
    pauses = np.array([[pause_s(attempt) for attempt in range(12)] for _ in range(200)])
    longest = np.minimum(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** np.arange(12))
    assert (pauses <= longest).all()
    assert (pauses >= longest / 2).all()
    assert (pauses.std(axis=0) > 0.1 * longest).all()
    assert LONGEST_PAUSE_S <= 1


def test_numbers_that_are_left_out_are_missed_frames() -> None:
    watch = Watch()
    numbers = [5, 6, 9, 10]
    again = [lambda: shot(1, 1), lambda: shot(2, 3)]
    source, _ = watched(watch, [lambda number=number: shot(number, number) for number in numbers], again)
    levels(source, 6)
    assert watch.missed == 3, "7 and 8, and 2; a camera that comes back counts from anew"


def frozen_at(watch: FreezeWatch, rate: float, frames: list[int]) -> list[bool]:
    pictures = {level: np.full((40, 8, 3), level, np.uint8) for level in set(frames)}
    return [watch.look(pictures[level].copy(), index / rate) for index, level in enumerate(frames)]


def test_frames_that_repeat_for_two_seconds_are_frozen_until_they_change() -> None:
    watch = FreezeWatch(2.0)
    seen = frozen_at(watch, 10, [*range(30), *([30] * 40), *range(31, 41)])
    assert watch.repeated == 39
    first, last = seen.index(True), len(seen) - 1 - seen[::-1].index(True)
    assert 31 + 15 <= first <= 31 + 20, "three quarters of two seconds, at the least"
    assert 69 <= last <= 72, "three changes end it"
    assert all(seen[first : last + 1])


def test_a_key_frame_now_and_then_does_not_hide_a_frozen_camera() -> None:
    seen = frozen_at(FreezeWatch(2.0), 25, [index // 25 for index in range(200)])
    assert not any(seen[:37])
    assert all(seen[60:])


@pytest.mark.parametrize("frames", [list(range(100)), [index // 2 for index in range(100)]])
def test_a_camera_that_moves_is_not_frozen(frames: list[int]) -> None:
    assert not any(frozen_at(FreezeWatch(2.0), 25, frames)), "not even where a relay doubles the frame rate"


def test_freezing_can_be_left_unsaid_but_is_counted() -> None:
    watch = FreezeWatch(0)
    assert not any(frozen_at(watch, 25, [1] * 100))
    assert watch.repeated == 99


def test_one_changed_pixel_is_no_repeat() -> None:
    watch, frame = FreezeWatch(), np.zeros((40, 40, 3), np.uint8)
    watch.look(frame, 0.0)
    other = frame.copy()
    other[17, 3, 1] = 1
    watch.look(other, 0.1)
    assert watch.repeated == 0


@pytest.mark.parametrize(("shape", "dtype"), [((120, 160, 3), "uint8"), ((48, 64, 1), "uint16")])
def test_words_stand_out_and_a_banner_leaves_the_rest(shape: tuple[int, int, int], dtype: str) -> None:
    full = np.iinfo(dtype).max
    words = draw_no_signal(shape, dtype)
    assert (words.shape, words.dtype) == (shape, np.dtype(dtype))
    assert words.max() > 0.9 * full > 0.2 * full > words.min() > 0.1 * full
    assert np.array_equal(words[0], words[-1]), "ground only at the rim"
    picture = np.random.default_rng(0).integers(0, full, shape, dtype, endpoint=True)
    marked = draw_banner(picture, "FROZEN")
    changed = (marked != picture).any(axis=(1, 2)).nonzero()[0]
    assert changed.max() < 0.3 * shape[0]
    assert np.array_equal(marked[changed.max() + 1 :], picture[changed.max() + 1 :])
    assert marked[: changed.max()].max() > 0.8 * full


def patience(gaps: list[float], is_triggered: bool = False) -> float:
    pace, now = Pace(is_triggered), 0.0
    pace.take(now, 0)
    for gap in gaps:
        now += gap
        pace.take(now, 0)
    return pace.patience_s


@pytest.mark.parametrize(
    ("gaps", "seconds"),
    [
        ([0.05] * 9, 0.5),  # 20 frames a second: within the second that is promised
        ([1 / 3] * 9, 2.5 / 3),
        ([1.0] * 9, 2.5),
        ([0.0, 1.0], 2.5),  # the first two came in one burst
        ([0.05] * 2, 2.5),  # nobody knows yet
        ([60.0] * 9, 5.0),  # a frame a minute says little about now
        ([0.05] * 6 + [3.0] + [0.05], 0.5),  # one hiccup is no pace
        ([0.05] * 9 + [1.0, 1.0], 2.5),  # two are: it got dark
        ([1.0] * 4 + [0.05] * 8, 0.5),
    ],
)
def test_silence_is_judged_by_the_cameras_own_pace(gaps: list[float], seconds: float) -> None:
    assert patience(gaps) == pytest.approx(seconds)
    assert patience(gaps, is_triggered=True) == 0.5, "between two triggers the last picture is not now"


def test_an_absence_is_no_pace() -> None:
    pace = Pace()
    pace.take(0.0, 0)
    assert pace.patience_s == 2.5, "after one frame nobody knows"
    pace.take(0.1, 0)
    pace.take(0.2, 0)
    for captured, losses in ((0.3, 0), (9.0, 1), (9.1, 1), (30.0, 2), (30.1, 2)):
        pace.take(captured, losses)
        assert pace.patience_s == 0.5
