"""What is recorded, what survives a cut, what is kept around events, and what is removed."""

from __future__ import annotations

import json
import os
import resource
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import av
import numpy as np
import pytest

from runtime.banner import draw_banner
from runtime.compare import side_by_side
from runtime.errors import SinkError
from runtime.frames import Frame
from runtime.no_signal import draw_no_signal
from runtime.recording import recorder as module
from runtime.recording.archive import Archive
from runtime.recording.fragments import Fragment, FragmentEncoder, Shown, boxes
from runtime.recording.options import Keep, RecordOptions, parse_keep, parse_time
from runtime.recording.recorder import Recorder
from runtime.recording.segment import Segment, began_at, recover, unfinished, utc
from runtime.sinks import Mark

HEIGHT, WIDTH, FPS = 48, 64, 20
FACTS = {"engine": "identity.onnx", "engine_sha256": "ab" * 32}


def picture(index: int) -> Frame:
    """A gray ramp that moves, with the number in its level."""
    row, column = np.mgrid[0:HEIGHT, 0:WIDTH]
    return np.repeat(((row + column + 3 * index) % 200 + 20).astype(np.uint8)[:, :, None], 3, axis=2)


def negative(frame: Frame) -> Frame:
    return np.asarray(255 - frame)


def offer(recorder: Recorder, frames: range, start: float, **mark: object) -> None:
    """Frames of FPS, by the numbers as well as by the time line; none is dropped."""
    for index in frames:
        media_s = start + index / FPS
        original = picture(index)
        recorder.offer(original, negative(original), Mark(index, media_s, captured=media_s, **mark))  # type: ignore[arg-type]
        wait_until(lambda: recorder._box is not None and len(recorder._box._items) < 8)


def words(recorder: Recorder, media_s: float, name: str = "no_signal") -> None:
    recorder.offer(None, draw_no_signal((HEIGHT, WIDTH, 3), "uint8"), Mark(-1, media_s, name, media_s))


def wait_until(condition: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.005)


def play(path: Path) -> list[tuple[float, Frame]]:
    """(seconds, BGR) of every frame that decodes; a truncated end is no error."""
    shown = []
    with av.open(str(path)) as container:
        try:
            for frame in container.decode(video=0):
                shown.append((float(frame.time or 0.0), frame.to_ndarray(format="bgr24")))
        except av.error.FFmpegError:
            pass
    return shown


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.with_suffix(".jsonl").read_text().splitlines()]


def videos(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.mp4"))


@contextmanager
def recording(folder: Path, **options: object) -> Iterator[Recorder]:
    recorder = Recorder(RecordOptions(folder, **options), FACTS, lambda: "style=seed:3")  # type: ignore[arg-type]
    try:
        yield recorder
    finally:
        recorder.close(30)


def fragments(count: int) -> list[Fragment]:
    """Of one second and 20 frames each."""
    encoder = FragmentEncoder((HEIGHT, WIDTH))
    made = []
    for index in range(count * FPS):
        made += encoder.encode(picture(index), Shown(index, index / FPS, 1e9 + index / FPS))
    return [*made, *encoder.finish()]


def test_segments_play_side_by_side_with_every_frame_and_what_is_known_of_it(tmp_path: Path) -> None:
    started = time.monotonic()
    with recording(tmp_path, segment_s=2.0) as recorder:
        offer(recorder, range(100), started)
    segments = videos(tmp_path)
    assert len(segments) == 3, "two seconds, two seconds and the rest"
    index = 0
    for segment in segments:
        shown, (head, *about, end) = play(segment), lines(segment)
        assert head.items() >= FACTS.items()
        assert (head["segment"], head["controls"]) == (segment.name, "style=seed:3")
        assert len(shown) == len(about) == end["frames"]
        assert [line["sequence"] for line in about] == list(range(index, index + len(shown)))
        assert np.allclose([line["t"] for line in about], [at for at, _ in shown], atol=1e-3)
        assert shown[0][0] == 0, "every segment begins at its own beginning"
        for (_, frame), line in zip(shown, about, strict=True):
            original = picture(int(str(line["sequence"])))
            wanted = side_by_side(original, negative(original)).astype(int)
            assert frame.shape == (HEIGHT, 2 * WIDTH, 3)
            assert np.abs(frame - wanted).mean() < 4
        index += len(shown)
    assert index == 100
    counted = recorder.counters()
    assert (counted["frames"], counted["segments"], counted["dropped"], counted["lost"]) == (100, 3, 0, 0)
    assert counted["bytes"] >= sum(path.stat().st_size for path in segments)
    first = began_at(segments[0].stem)
    assert first is not None
    assert abs(first - (time.time() - (time.monotonic() - started))) < 0.1, "the name is the capture time"
    assert {path.suffix for path in tmp_path.iterdir()} == {".mp4", ".jsonl", ""}, "nothing but segments and the lock"


def test_a_file_cut_anywhere_while_it_is_written_plays_every_fragment_before_the_cut(tmp_path: Path) -> None:
    made = fragments(5)
    assert [len(fragment.frames) for fragment in made] == [FPS] * 5
    whole = made[0].init + b"".join(fragment.content for fragment in made)
    ends = np.cumsum([len(made[0].init)] + [len(fragment.content) for fragment in made])
    random = np.random.default_rng(0)
    for cut in [*random.integers(ends[1], ends[-1], 15), *(ends[2] + np.arange(1, 240, 20))]:
        path = tmp_path / "cut.mp4"
        finished = int((ends[1:] <= cut).sum())
        rest = unfinished(made[finished].content)
        path.write_bytes(whole[: ends[finished]] + rest[: cut - ends[finished]])
        shown = play(path)
        assert len(shown) == finished * FPS
        for index in range(finished * FPS):
            assert np.abs(shown[index][1].astype(int) - picture(index)).mean() < 4


def test_the_first_frame_of_a_later_fragment_is_moved_to_zero() -> None:
    made = fragments(3)
    base = made[1].frames[0][0]
    assert base == 90_000
    moved = made[1].content_from(base)
    assert len(moved) == len(made[1].content)
    assert sum(one != other for one, other in zip(moved, made[1].content, strict=True)) <= 8, "one time, nothing else"
    assert [kind for kind, _, _ in boxes(moved)] == [b"moof", b"mdat"]


def test_what_a_power_cut_left_is_cut_to_what_plays_and_named(tmp_path: Path) -> None:
    made = fragments(3)
    segment = Segment(tmp_path, made[0], FACTS)
    segment.write(made[1])
    (part,) = tmp_path.glob("*.part.mp4")
    good = part.stat().st_size
    with part.open("ab") as file:
        file.write(unfinished(made[2].content)[:-100])  # the power goes
    with part.with_suffix(".jsonl").open("ab") as file:
        file.write(b'{"t":2.0,"seq')
    empty = tmp_path / "2026-01-01T00-00-00.000Z.part.mp4"
    empty.write_bytes(made[0].init)
    assert recover(tmp_path) == [part.name.replace(".part", "")]
    (video,) = videos(tmp_path)
    assert video.stat().st_size == good
    assert len(play(video)) == 2 * FPS
    head, *about, end = lines(video)
    assert (len(about), end) == (2 * FPS, {"recovered": True})
    assert head["began"] == utc(1e9) == "2001-09-09T01:46:40.000Z"


def test_states_are_in_the_picture_and_in_the_lines(tmp_path: Path) -> None:
    start = time.monotonic()
    with recording(tmp_path) as recorder:
        words(recorder, start)  # before any frame: there is no size to show it in
        offer(recorder, range(4), start)
        offer(recorder, range(4, 8), start, frozen=True)
        words(recorder, start + 0.5)
        offer(recorder, range(12, 16), start)
    (video,) = videos(tmp_path)
    shown, (_, *about, _) = play(video), lines(video)
    assert [line.get("state") for line in about] == [None] * 4 + ["FROZEN"] * 4 + ["NO SIGNAL"] + [None] * 4
    assert [line.get("events", [])[-1:] for line in about] == [
        ["NO SIGNAL is over"], [], [], [], ["FROZEN"], [], [], [], ["NO SIGNAL"], ["NO SIGNAL is over"], [], [], [],
    ]  # fmt: skip
    assert recorder.counters()["events"] == 5
    both = side_by_side(picture(5), negative(picture(5)))
    assert np.abs(shown[5][1].astype(int) - draw_banner(both, "FROZEN")).mean() < 6
    assert np.abs(shown[8][1].astype(int) - draw_no_signal((HEIGHT, 2 * WIDTH, 3), "uint8")).mean() < 4


def test_only_what_is_around_events_is_kept(tmp_path: Path) -> None:
    start = time.monotonic()
    with recording(tmp_path, around_s=2.0) as recorder:
        offer(recorder, range(200), start)  # ten seconds
        wait_until(lambda: not recorder._box._items)  # type: ignore[union-attr]
        assert videos(tmp_path) == []
        recorder.flag("a scratch")
        offer(recorder, range(200, 400), start)
        recorder.offer(picture(0), picture(1), Mark(400, start + 20, captured=start + 20), 1)  # a step of the ladder
        offer(recorder, range(401, 500), start)
    first, second = videos(tmp_path)
    for video, moment, event in ((first, 200, "flag: a scratch"), (second, 400, "ladder 0 → 1")):
        about = lines(video)[1:-1]
        numbers = [int(str(line["sequence"])) for line in about]
        assert numbers == list(range(numbers[0], numbers[-1] + 1))
        assert moment - 3 * FPS <= numbers[0] <= moment - 2 * FPS, "two seconds before, and to a whole fragment"
        assert moment + 2 * FPS - 1 <= numbers[-1] <= moment + 3 * FPS
        assert [line["sequence"] for line in about if event in line.get("events", [])] == [moment]  # type: ignore[operator]
        assert len(play(video)) == len(about)
    assert recorder.counters()["frames"] == len(play(first)) + len(play(second))


def test_events_that_follow_each_other_make_one_segment(tmp_path: Path) -> None:
    start = time.monotonic()
    with recording(tmp_path, around_s=2.0) as recorder:
        for second in range(12):
            if second in (3, 5, 6):
                recorder.flag(f"at {second}")
            offer(recorder, range(second * FPS, (second + 1) * FPS), start)
            wait_until(lambda: not recorder._box._items)  # type: ignore[union-attr]
    (video,) = videos(tmp_path)
    numbers = [int(str(line["sequence"])) for line in lines(video)[1:-1]]
    assert numbers[0] <= FPS
    assert 8 * FPS <= numbers[-1] <= 9 * FPS + FPS


def segment_files(folder: Path, ages_s: list[float], size: int, now: float) -> list[Path]:
    made = []
    for age in ages_s:
        stem = utc(now - age).replace(":", "-")
        for suffix, count in ((".mp4", size - 100), (".jsonl", 100)):
            (folder / f"{stem}{suffix}").write_bytes(b"0" * count)
        made.append(folder / f"{stem}.mp4")
    return made


@pytest.mark.parametrize(
    ("keep", "writing", "left"),
    [
        (Keep(), 10**9, [0, 1, 2, 3, 4]),
        (Keep(size=3000), 0, [2, 3, 4]),
        (Keep(size=3000), 1000, [3, 4]),
        (Keep(size=500), 0, []),
        (Keep(age_s=250.0), 0, [3, 4]),
        (Keep(size=4000, age_s=350.0), 0, [2, 3, 4]),
    ],
)
def test_the_oldest_go_first_by_size_and_by_age(tmp_path: Path, keep: Keep, writing: int, left: list[int]) -> None:
    now = 1.8e9
    made = segment_files(tmp_path, [500, 400, 300, 200, 100], 1000, now)
    stranger, part = tmp_path / "holiday.mp4", tmp_path / "notes.jsonl"
    stranger.write_bytes(b"0" * 10_000)
    part.write_bytes(b"0")
    archive = Archive(tmp_path, keep, clock=lambda: now)
    archive.prune(writing)
    assert videos(tmp_path) == sorted([made[index] for index in left] + [stranger])
    assert archive.removed == 5 - len(left)
    assert stranger.exists()
    assert part.exists()


def test_a_recording_stays_within_its_size(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (120, 160, 3), np.uint8)
    start, most = time.monotonic(), 1_000_000
    with recording(tmp_path, keep=Keep(size=most)) as recorder:
        for index in range(240):
            moved = np.roll(noise, 7 * index, axis=1)
            recorder.offer(moved, negative(moved), Mark(index, start + index / 8, captured=start + index / 8))
            wait_until(lambda: recorder._box is not None and len(recorder._box._items) < 8)
        wait_until(lambda: not recorder._box._items)  # type: ignore[union-attr]
        assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= most * 1.1
    counted = recorder.counters()
    assert counted["bytes"] > 1.5 * most
    assert counted["removed"] > 0
    assert lines(videos(tmp_path)[-1])[-2]["sequence"] == 239, "the newest is there"


def test_a_full_disk_stops_the_recording_and_it_comes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "AGAIN_S", 0.2)
    start, limits = time.monotonic(), resource.getrlimit(resource.RLIMIT_FSIZE)
    with recording(tmp_path) as recorder:
        offer(recorder, range(60), start)
        wait_until(lambda: recorder.frames >= 40)
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (videos(tmp_path)[0].stat().st_size + 100, limits[1]))
            offer(recorder, range(60, 140), start)
            wait_until(lambda: recorder.failures > 0)
            assert "File too large" in recorder.error
            (first,) = [video for video in videos(tmp_path) if ".part" not in video.name]
            kept = len(play(first))
            assert kept == len(lines(first)[1:]) or lines(first)[-1]["frames"] == kept
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        time.sleep(0.25)
        offer(recorder, range(140, 200), start)
    counted = recorder.counters()
    assert counted["failures"] >= 1
    assert recorder.error == ""
    assert counted["frames"] + counted["lost"] == 200 - counted["dropped"]
    assert caplog.text.count("stopped") == 1
    assert "again" in caplog.text
    shown = [len(play(video)) for video in videos(tmp_path)]
    assert sum(shown) == counted["frames"]
    assert lines(videos(tmp_path)[-1])[-2]["sequence"] == 199


def test_frames_it_cannot_keep_up_with_are_dropped_and_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_WAITING_BYTES", 0)
    start = time.monotonic()
    with recording(tmp_path) as recorder:
        for index in range(300):
            recorder.offer(picture(index), picture(index), Mark(index, start + index / FPS, captured=start))
    assert recorder.dropped > 0
    assert recorder.frames + recorder.dropped == 300


def test_sixteen_bit_gray_and_odd_sizes_and_a_change_of_size(tmp_path: Path) -> None:
    start = time.monotonic()
    with recording(tmp_path) as recorder:
        for index in range(20):
            size = (31, 33) if index < 10 else (40, 60)
            frame = np.full((*size, 1), 65535 * index // 20, np.uint16)
            recorder.offer(frame, frame, Mark(index, start + index / FPS, captured=start))
            wait_until(lambda: recorder._box is not None and len(recorder._box._items) < 8)
    shown = [play(video) for video in videos(tmp_path)]
    assert sorted((len(part), part[0][1].shape) for part in shown) == [(10, (32, 66, 3)), (10, (40, 120, 3))]
    levels = sorted(float(frame.mean()) for part in shown for _, frame in part)
    assert np.allclose(levels, [255 * index // 20 for index in range(20)], atol=4)


def test_two_streams_may_not_record_into_one_folder(tmp_path: Path) -> None:
    options = RecordOptions(tmp_path / "deep" / "down")
    first = Recorder(options, FACTS)
    with pytest.raises(SinkError, match=r"another stream records into .*down; give each its own folder"):
        Recorder(options, FACTS)
    first.close()
    Recorder(options, FACTS).close()
    (tmp_path / "file").touch()
    with pytest.raises(SinkError, match=r"cannot record into .*file.*; name another folder"):
        Recorder(RecordOptions(tmp_path / "file"), FACTS)


def test_limits_and_times_are_read_with_their_units() -> None:
    assert parse_keep(["20GB", "14d"]) == Keep(20 * 10**9, 14 * 86400.0)
    assert parse_keep(["1.5 TiB"]) == Keep(3 * 2**39, None)
    assert parse_keep(["90min"]) == Keep(None, 5400.0)
    assert parse_keep([]) == Keep()
    assert [parse_time(text, "--x") for text in ("10s", "2min", "1h")] == [10, 120, 3600]


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        (["20"], "'20' is no size .*20GB.* and no age .*14d"),
        (["20 apples"], "'20 apples' is no size"),
        (["-3GB"], "is no size"),
        (["20GB", "1TB"], "another size beside it"),
        (["3d", "4d"], "another age beside it"),
        (["3KB"], "3000 bytes hold no segment"),
        (["0d"], "an age of 0 keeps nothing"),
    ],
)
def test_what_is_no_limit_is_refused(texts: list[str], words: str) -> None:
    with pytest.raises(SinkError, match=words):
        parse_keep(texts)


@pytest.mark.parametrize("text", ["10", "0s", "soon", "3GB"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(SinkError, match=r"--record-segment .* is no time above 0 \(10s"):
        parse_time(text, "--record-segment")


def test_nothing_is_left_open(tmp_path: Path) -> None:
    def handles() -> int:
        return len(os.listdir("/proc/self/fd"))

    before = handles()
    with recording(tmp_path, segment_s=1.0) as recorder:
        offer(recorder, range(100), time.monotonic())
    wait_until(lambda: handles() <= before)
    assert recorder.segments == 5
