"""Which frames calibrate, which sets are refused, and that controls vary."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from calibration.controls import Draws, draw
from calibration.frames import choose, correlation, list_text
from calibration.samples import Samples
from runtime.errors import SourceError
from runtime.images import list_images
from runtime.manifest import Control, ImagePort, Manifest, file_sha256

PORT = ImagePort("frame", 64, 64, 3)


def test_calibration_and_held_out_frames_are_disjoint_and_depend_on_the_seed_alone(photos: Path) -> None:
    first, again, other = (choose(photos, PORT, (20, 10), seed) for seed in (0, 0, 1))
    assert first == again
    assert set(first.calibration) != set(other.calibration)
    assert not set(first.calibration) & set(first.held_out)
    assert (len(first.calibration), len(first.held_out)) == (20, 10)
    assert sum(first.audit.exposure) == 30
    assert first.audit.correlation > 0.5


def test_a_small_folder_calibrates_with_sixteen_and_judges_with_the_rest(
    photos: Path, tmp_path: Path
) -> None:
    for path in list_images(photos)[:21]:
        shutil.copy(path, tmp_path)
    chosen = choose(tmp_path, PORT, (64, 32))
    assert (len(chosen.calibration), len(chosen.held_out)) == (16, 5)


def test_too_few_frames_are_refused(photos: Path, tmp_path: Path) -> None:
    for path in list_images(photos)[:12]:
        shutil.copy(path, tmp_path)
    with pytest.raises(SourceError, match=r"12 distinct frames .* calibration needs 16"):
        choose(tmp_path, PORT, (64, 32))


def test_near_duplicates_do_not_count(photos: Path, write_frames: Callable[..., Path]) -> None:
    from runtime.images import read_image

    rng = np.random.default_rng(0)
    frames = [read_image(path, 3) for path in list_images(photos)[:6]]
    noisy = [np.clip(frame + rng.normal(0, 4, frame.shape), 0, 255).astype(np.uint8) for frame in frames * 5]
    with pytest.raises(SourceError, match=r"6 distinct frames \(30 files, 24 near-duplicates"):
        choose(write_frames(noisy), PORT, (64, 32))


def test_random_data_is_refused(write_frames: Callable[..., Path]) -> None:
    rng = np.random.default_rng(0)
    noise = [rng.integers(0, 256, (64, 64, 3), np.uint8) for _ in range(30)]
    with pytest.raises(SourceError, match="random data"):
        choose(write_frames(noise), PORT, (64, 32))


def test_a_dark_and_noisy_camera_is_not_random_data(photos: Path) -> None:
    """The example's own degradation: a tenth of the light, shot noise, read noise of 6 levels."""
    from runtime.images import read_image

    rng = np.random.default_rng(0)
    seen = []
    for path in list_images(photos)[:10]:
        linear = (read_image(path, 3).mean(axis=2) / 255) ** 2.2 * 0.1
        dark = rng.poisson(linear * 800) / 800 + rng.normal(0, 6 / 255, linear.shape)
        seen.append(correlation(np.clip(dark * 255, 0, 255).astype(np.float32)))
    assert np.median(seen) > 0.25


def test_broken_and_blank_files_are_counted_and_left_out(photos: Path, tmp_path: Path) -> None:
    for path in list_images(photos)[:25]:
        shutil.copy(path, tmp_path)
    (tmp_path / "broken.png").write_bytes(b"not a picture")
    import cv2

    cv2.imwrite(str(tmp_path / "black.png"), np.zeros((64, 64, 3), np.uint8))
    audit = choose(tmp_path, PORT, (64, 32)).audit
    assert audit.broken == ("broken.png",)
    assert audit.blank == 1
    assert "broken.png" in audit.warnings()[0]


def test_the_list_names_and_hashes_every_calibration_frame(photos: Path) -> None:
    paths = tuple(list_images(photos)[:3])
    lines = list_text(paths).splitlines()
    assert lines == [f"{file_sha256(path)}  {path.name}" for path in paths]


CONTROLS = {
    "noise": Control("z", "noise", (1, 8), distribution="normal"),
    "style": Control("s", "style", (1, 8), distribution="normal"),
    "label": Control("c", "label", (1, 5), 0, 1, names=tuple("abcde")),
    "scalar": Control("t", "scalar", (1, 1), 0.25, 0.75),
    "mask": Control("m", "mask", (1, 3, 16, 16), -1, 1, default=(-1.0,) * 768),
    "boxes": Control("b", "boxes", (1, 4, 5)),
}


@pytest.mark.parametrize("kind", CONTROLS)
def test_controls_vary_within_their_range(kind: str) -> None:
    control = CONTROLS[kind]
    drawn = [draw(control, np.random.default_rng(seed), seed % 5 % (control.shape[1] + 1)) for seed in range(40)]
    assert len({value.tobytes() for value in drawn}) >= 4
    for value in drawn:
        assert value.shape == control.shape
        assert value.dtype == np.float32
        if control.low is not None and control.high is not None:
            assert control.low <= value.min() <= value.max() <= control.high


def test_labels_cover_every_class_and_noise_has_its_distribution() -> None:
    rng = np.random.default_rng(0)
    draws = Draws(Manifest("g.onnx", {}, frame=PORT, controls=tuple(CONTROLS.values())))
    values = [draws.values(index, rng) for index in range(5 * 4 * 5)]  # classes × numbers of masks × of boxes
    labels = np.concatenate([value["c"] for value in values])
    assert (labels.sum(axis=1) == 1).all()
    assert (labels.sum(axis=0) == 20).all()
    masks = [int((value["m"].max(axis=(2, 3)) > 0).sum()) for value in values]
    boxes = [int(value["b"][0, :, 4].sum()) for value in values]
    together = set(zip(labels.argmax(axis=1).tolist(), masks, boxes, strict=True))
    assert together == set(itertools.product(range(5), range(4), range(5))), "every class with 0…N masks and boxes"
    noise = np.concatenate([draw(CONTROLS["noise"], rng, 0) for _ in range(500)])
    assert abs(noise.mean()) < 0.1
    assert abs(noise.std() - 1) < 0.05


def test_drawn_boxes_are_in_pixels_of_the_frame() -> None:
    for seed in range(20):
        value = draw(CONTROLS["boxes"], np.random.default_rng(seed), 3, PORT)[0]
        held, empty = value[:3], value[3]
        assert (held[:, 4] == 1).all()
        assert not empty.any()
        assert (held[:, :2] >= 0).all()
        assert (held[:, :2] < held[:, 2:4]).all()
        assert (held[:, 2:4] <= [PORT.width, PORT.height]).all()


def test_samples_draw_new_controls_per_frame_and_the_same_ones_again(photos: Path) -> None:
    controls: Any = (*CONTROLS.values(), Control("reference", "image", (1, 3, 32, 32), -1, 1))
    manifest = Manifest("g.onnx", {}, frame=PORT, translated=(PORT,), controls=controls)
    samples = Samples(manifest, tuple(list_images(photos)[:4]))
    for control in controls:
        values = [samples[index][control.name] for index in range(4)]
        assert len({value.tobytes() for value in values}) > 1, control.name
        np.testing.assert_array_equal(values[2], samples[2][control.name])
    assert samples[0]["frame"].shape == (1, 64, 64, 3)
