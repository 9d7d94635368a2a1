"""Image folders as training data: what is read, what is skipped in words, what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from models.data.batches import Pair
from models.data.datasets import DataConfig, OneDomain, Paired, Unpaired, open_dataset, shuffled_index, stack
from models.data.images import Crop, ImageFolder, View, list_images, read_pixels, to_tensor
from models.errors import DataError

GRADIENT = np.arange(40 * 48 * 3, dtype=np.uint16).reshape(40, 48, 3) * 11


def write(path: Path, pixels: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), pixels)
    return path


def folder(where: Path, count: int, shape: tuple[int, int] = (40, 48)) -> Path:
    for k in range(count):
        write(where / f"{k}.png", np.full((*shape, 3), 10 * k, np.uint8))
    return where


@pytest.mark.parametrize("suffix", ["png", "jpg", "jpeg", "tif", "tiff", "bmp", "PNG"])
def test_every_format_is_read_as_rgb(suffix: str, tmp_path: Path) -> None:
    pixels = np.zeros((16, 16, 3), np.uint8)
    pixels[:, :, 0] = 200  # blue, as OpenCV writes
    path = write(tmp_path / f"x.{suffix}", pixels)
    assert list_images(tmp_path) == [path]
    read = read_pixels(path, 3)
    assert read is not None
    assert read[8, 8, 2] > 190
    assert read[8, 8, 0] < 10


def test_sixteen_bits_keep_their_levels(tmp_path: Path) -> None:
    path = write(tmp_path / "deep.png", GRADIENT)
    read = read_pixels(path, 3)
    assert read is not None
    assert read.dtype == np.uint16
    assert np.array_equal(read[:, :, ::-1], GRADIENT)
    tensor = to_tensor(read)
    assert tensor.dtype == torch.float32
    torch.testing.assert_close(tensor[2, 0, 1], torch.tensor(GRADIENT[0, 1, 0] * 2 / 65535 - 1, dtype=torch.float32))


def test_black_is_minus_one_and_white_is_one() -> None:
    for dtype in (np.uint8, np.uint16):
        levels = np.array([[[0], [np.iinfo(dtype).max]]], dtype)
        assert to_tensor(levels).flatten().tolist() == pytest.approx([-1.0, 1.0])


def test_gray_and_colour_are_read_as_asked(tmp_path: Path) -> None:
    gray = write(tmp_path / "gray.png", np.full((16, 16), 77, np.uint8))
    colour = write(tmp_path / "colour.png", np.full((16, 16, 3), (0, 0, 255), np.uint8))
    for path in (gray, colour):
        for channels in (1, 3):
            pixels = read_pixels(path, channels)
            assert pixels is not None
            assert pixels.shape == (16, 16, channels)
    with pytest.raises(DataError, match="channels is 1"):
        OneDomain(DataConfig(data=str(tmp_path), channels=2), 0)


def test_a_broken_image_is_named_counted_and_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder(tmp_path, 3)
    (tmp_path / "cut.png").write_bytes((tmp_path / "1.png").read_bytes()[:40])
    (tmp_path / "text.jpg").write_text("not an image")
    (tmp_path / "empty.bmp").touch()
    (tmp_path / "notes.txt").write_text("ignored")
    images = ImageFolder(list_images(tmp_path), 3)
    assert len(images) == 3
    warning = capsys.readouterr().err
    assert "3 of 6 images cannot be read" in warning
    assert all(name in warning for name in ("cut.png", "text.jpg", "empty.bmp"))


def test_a_folder_of_broken_images_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x.png").write_bytes(b"\x89PNG")
    with pytest.raises(DataError, match="none of the 1 images"):
        ImageFolder(list_images(tmp_path), 3)


def test_empty_and_missing_sides_are_told(tmp_path: Path) -> None:
    folder(tmp_path / "trainA", 2)
    with pytest.raises(DataError, match=r"there is no image folder .*trainB"):
        Unpaired(DataConfig(data=str(tmp_path)), 0)
    (tmp_path / "trainB").mkdir()
    with pytest.raises(DataError, match=r"trainB holds no image \(\.png"):
        Unpaired(DataConfig(data=str(tmp_path)), 0)
    with pytest.raises(DataError, match="say where the images are"):
        Unpaired(DataConfig(), 0)
    with pytest.raises(DataError, match="say where the images are"):
        Unpaired(DataConfig(data_a=str(tmp_path / "trainA")), 0)


def test_any_two_folders_can_be_named(tmp_path: Path) -> None:
    a, b = folder(tmp_path / "night", 2), folder(tmp_path / "day", 3)
    data = Unpaired(DataConfig(data_a=str(a), data_b=str(b), size=32, load_size=0), 0)
    assert data.images == 2


def test_pairs_are_matched_by_name_and_the_others_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder(tmp_path / "trainA", 4)
    folder(tmp_path / "trainB", 3)
    write(tmp_path / "trainB" / "lonely.png", np.zeros((40, 48, 3), np.uint8))
    data = Paired(DataConfig(data=str(tmp_path), size=32, load_size=0), 0)
    assert data.images == 3
    assert "2 images have no pair and are left out: 3, lonely" in capsys.readouterr().err
    for k in range(6):
        pair = data.sample(k)
        assert torch.equal(pair.source, pair.target)


def test_pairs_share_crop_and_mirroring(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (60, 70, 3), dtype=np.uint8)
    write(tmp_path / "trainA" / "x.png", pixels)
    write(tmp_path / "trainB" / "x.png", 255 - pixels)
    data = Paired(DataConfig(data=str(tmp_path), size=32, load_size=40), 0)
    samples = [data.sample(k) for k in range(8)]
    assert all((s.source + s.target).abs().max() < 0.02 for s in samples)
    assert len({float(s.source.sum()) for s in samples}) > 4


def test_pairs_of_other_sizes_or_names_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "trainA" / "x.png", np.zeros((40, 48, 3), np.uint8))
    write(tmp_path / "trainB" / "x.png", np.zeros((48, 40, 3), np.uint8))
    with pytest.raises(DataError, match=r"x\.png is 48×40, its pair .* is 40×48: pairs must be registered"):
        Paired(DataConfig(data=str(tmp_path), size=32), 0).sample(0)
    (tmp_path / "trainB" / "x.png").rename(tmp_path / "trainB" / "y.png")
    with pytest.raises(DataError, match="has a pair of the same name"):
        Paired(DataConfig(data=str(tmp_path)), 0)


def test_a_broken_half_takes_its_pair_along(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder(tmp_path / "trainA", 3)
    folder(tmp_path / "trainB", 3)
    (tmp_path / "trainB" / "1.png").write_bytes(b"broken")
    data = Paired(DataConfig(data=str(tmp_path), size=32, load_size=0), 0)
    assert data.images == 2
    assert all(torch.equal(data.sample(k).source, data.sample(k).target) for k in range(4))


@pytest.mark.parametrize("kind", ["unpaired", "paired", "images", "domains"])
def test_a_sample_is_a_function_of_seed_and_number(kind: str, images: Path) -> None:
    cfg = DataConfig(data=str(images), size=32, load_size=40, zoom=0.5, domains=("dark", "light"))
    one, two, other = (open_dataset(kind, cfg, seed) for seed in (3, 3, 4))
    first, second = (stack([data.sample(k) for k in order]) for data, order in ((one, (0, 7)), (two, (7, 0))))
    for name, value in vars(first).items():
        assert torch.equal(value, vars(second)[name].flip(0)), name
    third = stack([other.sample(k) for k in (0, 7)])
    assert any(not torch.equal(value, vars(third)[name]) for name, value in vars(first).items())
    assert len(first) == 2


def test_every_pass_shows_every_image_once_in_a_new_order() -> None:
    passes = [[shuffled_index(0, k, 7) for k in range(7 * p, 7 * p + 7)] for p in range(3)]
    assert all(sorted(order) == list(range(7)) for order in passes)
    assert len({tuple(order) for order in passes}) == 3


@pytest.mark.parametrize("shape", [(20, 30), (100, 64), (64, 64), (300, 20)])
def test_a_crop_has_its_size_whatever_the_image(shape: tuple[int, int]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    random = np.random.default_rng(1)
    for view in (View(32, 0, True), View(32, 40, True), View(32, 0, True, zoom=1.0)):
        for _ in range(5):
            assert view.take(pixels, view.draw(random)).shape == (32, 32, 3)


def test_load_size_resizes_the_shorter_side_and_0_leaves_the_pixels() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 1), dtype=np.uint8)
    whole = View(40, 0, False).take(pixels, Crop(0.0, 0.0, False))
    assert np.array_equal(whole, pixels[:, :40])
    assert np.array_equal(View(40, 0, False).take(pixels, Crop(0.0, 1.0, True)), pixels[:, 20:][:, ::-1])
    halved = View(20, 20, False).take(pixels, Crop(0.0, 0.0, False))
    assert abs(float(halved.mean()) - float(pixels[:, :40].mean())) < 1


def test_zoom_shows_at_least_four_fifths_of_the_area() -> None:
    rows = np.repeat(np.arange(100, dtype=np.uint8)[:, None, None], 100, 1)
    view, random = View(100, 0, False, zoom=1.0), np.random.default_rng(0)
    spans = [int(crop.max()) - int(crop.min()) + 1 for crop in (view.take(rows, view.draw(random)) for _ in range(50))]
    assert min(spans) >= 100 * (0.8 / 1.1) ** 0.5 - 2
    assert min(spans) < 97


@pytest.mark.parametrize(("order", "source_is_dark"), [("AB", True), ("BA", False)])
def test_pairs_may_stand_side_by_side_in_one_image(order: str, source_is_dark: bool, tmp_path: Path) -> None:
    picture = np.random.default_rng(0).integers(0, 100, (32, 40, 3), dtype=np.uint8)
    (tmp_path / "train").mkdir()
    cv2.imwrite(str(tmp_path / "train" / "1.png"), np.concatenate([picture, picture + 100], axis=1))
    cfg = DataConfig(data=str(tmp_path), size=16, load_size=0, side_by_side=order)
    pair = open_dataset("paired", cfg, 0).sample(2)
    assert isinstance(pair, Pair)
    difference = (pair.target - pair.source) * 127.5  # of the same crop, mirrored or not alike
    expected = torch.full((3, 16, 16), 100.0 if source_is_dark else -100.0)
    torch.testing.assert_close(difference, expected, atol=1e-3, rtol=0)
    with pytest.raises(DataError, match="side_by_side is"):
        open_dataset("paired", replace(cfg, side_by_side="ab"), 0)
    cv2.imwrite(str(tmp_path / "train" / "1.png"), picture[:, :39])
    with pytest.raises(DataError, match="is 39×32: an odd width has no two halves"):
        open_dataset("paired", cfg, 0).sample(0)
