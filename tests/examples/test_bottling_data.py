"""The bottling example's camera, its split of the clips, and the baselines."""

from __future__ import annotations

from fractions import Fraction
from itertools import islice
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from examples.bottling import prepare
from examples.bottling.baseline import Baseline, tune
from examples.bottling.degrade import Sensor, degrade, to_linear, to_srgb
from examples.bottling.evaluate import BACKGROUND, read_pairs
from runtime.errors import SourceError


def flat(level: int) -> prepare.Picture:
    return np.full((120, 160, 3), level, np.uint8)


def test_srgb_round_trip_is_exact() -> None:
    levels = np.arange(256, dtype=np.uint8)
    assert np.array_equal(to_srgb(to_linear(levels)), levels)
    assert to_linear(np.array([0, 188, 255])) == pytest.approx([0.0, 0.503, 1.0], abs=1e-3)


def test_without_noise_the_camera_is_gain_and_cast() -> None:
    sensor = Sensor(full_well=1e9, read_noise=0.0)
    expected = to_srgb(np.array([0.08, 0.1, 0.115]))  # B, G, R of white
    assert np.abs(degrade(flat(255), 1, sensor).astype(int) - expected).max() <= 1


def test_noise_has_the_variance_of_its_electrons() -> None:
    # A gain of 0.4 keeps the sum far from the clip at 0; sRGB is undone before the variance is taken.
    seen = to_linear(degrade(flat(255), 2, Sensor(gain=0.4, cast=(1.0, 1.0, 1.0), blur=0.0)))
    shot, read = 0.4 / 800, (6 / 800) ** 2
    assert seen.mean() == pytest.approx(0.4, rel=2e-3)
    assert seen.var() == pytest.approx(shot + read, rel=0.03)


def test_noise_is_the_seeds_and_independent_between_frames() -> None:
    one, again, other = (degrade(flat(128), seed).astype(float) for seed in (3, 3, 4))
    assert np.array_equal(one, again)
    green, other_green = one[:, :, 1].ravel(), other[:, :, 1].ravel()  # channels differ in their means
    assert abs(np.corrcoef(green, other_green)[0, 1]) < 0.03


@pytest.mark.parametrize("clip", prepare.TRAINED)
def test_sides_are_unpaired_and_the_last_third_is_held_out(clip: str) -> None:
    frames = prepare.CLIPS[clip][1]
    taken = prepare.folders(clip)
    side_a, side_b = set(taken["trainA"]), set(taken["trainB"])
    assert len(side_a) == len(side_b) == prepare.PER_SIDE
    assert not side_a & side_b
    assert max(side_a | side_b) < frames * 2 // 3 <= min(taken["valA"])
    assert max(taken["valA"]) < frames
    assert taken["valA"] == taken["valB"]
    assert all(number >= frames * 2 // 3 for number in taken["stillA"])


def test_no_frame_of_the_car_clip_is_trained_on() -> None:
    assert set(prepare.folders("car")) == {"carA", "carB"}


def test_every_frame_of_every_clip_has_its_own_seed() -> None:
    clips = prepare.CLIPS.items()
    seeds = [prepare.noise_seed(clip, number) for clip, (_, frames) in clips for number in range(frames)]
    assert len(set(seeds)) == len(seeds)


def test_folders_and_clip_are_made_from_the_video(
    shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    video = shared_data / "video"
    monkeypatch.setattr(prepare, "folders", lambda clip: {"valA": [0, 2], "valB": [0, 2]})
    read_clip = prepare.read_clip
    monkeypatch.setattr(prepare, "read_clip", lambda path: islice(read_clip(path), 3))
    prepare.write_frames(video, "person", tmp_path)
    dark, clean = read_pairs(tmp_path, "valA", "valB", "person")
    assert [frame.shape for frame in (*dark, *clean)] == [(360, 640, 3)] * 4
    assert np.array_equal(dark[1], degrade(clean[1], prepare.noise_seed("person", 2)))
    prepare.write_clip(iter(dark * 3), tmp_path / "clip.mp4", Fraction(179, 6), crf=26)
    with av.open(str(tmp_path / "clip.mp4")) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.pix_fmt, stream.average_rate) == ("h264", "yuv420p", Fraction(179, 6))
        assert len(list(container.decode(video=0))) == 6
    assert not list(tmp_path.glob(".*"))


def test_the_clip_keeps_the_brightness_of_dark_frames(tmp_path: Path) -> None:
    dark = np.full((360, 640, 3), (39, 49, 55), np.uint8)
    prepare.write_clip([dark] * 2, tmp_path / "clip.mp4", Fraction(30), crf=10)
    shown = np.stack(list(prepare.read_clip(tmp_path / "clip.mp4"))).reshape(-1, 3).mean(axis=0)
    assert shown == pytest.approx((39, 49, 55), abs=1.1), "4:2:0 in video range knows about every second level"


def test_the_background_of_the_flicker_lies_in_the_frame() -> None:
    rows, columns = BACKGROUND
    assert 0 <= rows.start < rows.stop <= prepare.HEIGHT
    assert 0 <= columns.start < columns.stop <= prepare.WIDTH


def test_a_missing_clip_or_partner_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"cannot read the clip .*absent.mp4"):
        list(prepare.read_clip(tmp_path / "absent.mp4"))
    for folder in ("valA", "valB"):
        (tmp_path / folder).mkdir()
    cv2.imwrite(str(tmp_path / "valA" / "x.png"), flat(3))
    with pytest.raises(SourceError, match=r"has no x\.png"):
        read_pairs(tmp_path, "valA", "valB")


def test_tuning_finds_the_gain_that_was_taken_away() -> None:
    rng = np.random.default_rng(5)
    small = [rng.integers(20, 230, (6, 6, 3), dtype=np.uint8) for _ in range(2)]
    clean = [np.repeat(np.repeat(frame, 16, axis=0), 16, axis=1) for frame in small]
    dark = [np.rint(frame * np.array([0.25, 0.5, 0.4])).astype(np.uint8) for frame in clean]
    tuned = tune(dark, clean, lambda a, b: float(np.abs(a.astype(float) - b).mean()), per_channel=True)
    assert tuned.exponent == pytest.approx(1.0, abs=0.03)
    assert tuned.gain == pytest.approx((4.0, 2.0, 2.5), rel=0.05)
    assert tuned.strength == 5.0, "there is no noise: the weakest filter is nearest"


def test_the_curve_alone_is_what_the_docstring_says() -> None:
    frame = flat(64)
    expected = np.rint(255 * np.array([1.0, 1.2, 0.5]) * (64 / 255) ** 0.5)
    assert np.array_equal(Baseline(0.5, (1.0, 1.2, 0.5), 5.0).brighten(frame)[0, 0], expected)
