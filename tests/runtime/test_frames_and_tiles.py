"""Fitting, tiling, pictures in and out, NO SIGNAL."""

from __future__ import annotations

import tracemalloc
from collections import deque
from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest

from runtime.errors import EngineError, SinkError, SourceError
from runtime.fit import FITS, fit_frame
from runtime.frames import Array
from runtime.images import list_images, read_image, write_image
from runtime.manifest import Control, ImagePort, Manifest
from runtime.no_signal import draw_no_signal
from runtime.tile_layout import seam_of, spans
from runtime.tiling import TiledEngine


@pytest.mark.parametrize("mode", FITS)
@pytest.mark.parametrize("shape", [(100, 37, 3), (20, 20, 1), (64, 48, 3), (1, 500, 1)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_every_fit_gives_the_size_and_keeps_a_flat_colour(mode: str, shape: tuple[int, int, int], dtype: type) -> None:
    fitted = fit_frame(np.full(shape, 77, dtype), 64, 48, mode)
    assert fitted.shape == (64, 48, shape[2])
    assert fitted.dtype == dtype
    assert fitted.flags.c_contiguous
    assert set(np.unique(fitted)) <= ({0, 77} if mode == "letterbox" else {77})


def test_letterbox_keeps_the_whole_and_crop_fills() -> None:
    wide = np.zeros((10, 40, 1), np.uint8)
    wide[:, :10] = 200
    assert fit_frame(wide, 20, 20, "letterbox")[10, 0] == 200
    assert fit_frame(wide, 20, 20, "letterbox")[0, 0] == 0
    assert fit_frame(wide, 20, 20, "crop").max() == 0, "the bright edge is cut off"
    assert fit_frame(wide, 20, 20, "stretch")[0, 0] == 200


class Doubling:
    """Enlarges twice and adds nothing; two in flight."""

    depth = 2
    backend = "doubling"

    def __init__(self, scale: int = 2, size: tuple[int, int] = (32, 24), **fields: object) -> None:
        port = ImagePort("frame", *size, 3)
        out = ImagePort("translated", size[0] * scale, size[1] * scale, 3)
        self.manifest = Manifest("d", {"engine": ""}, frame=port, translated=(out,), **fields)  # type: ignore[arg-type]
        self._scale = scale
        self._pending: deque[Array] = deque()

    def submit(self, inputs: Mapping[str, Array]) -> None:
        assert inputs["frame"].shape == (1, *self.manifest.frame.shape)  # type: ignore[union-attr]
        assert len(self._pending) < self.depth
        self._pending.append(inputs["frame"])

    def collect(self) -> dict[str, Array]:
        return {"translated": self._pending.popleft().repeat(self._scale, 1).repeat(self._scale, 2)}

    def close(self) -> None:
        self._pending.clear()


@pytest.mark.parametrize("scale", [1, 2])
@pytest.mark.parametrize("size", [(32, 24), (33, 25), (100, 200), (10, 10), (64, 20)])
@pytest.mark.parametrize("more", [{}, {"decisions": {"reach": "2", "stride": "4"}}])
def test_tiles_of_a_local_engine_join_without_a_seam(
    scale: int, size: tuple[int, int], more: dict[str, dict[str, str]]
) -> None:
    frame = np.random.default_rng(1).integers(0, 256, (*size, 3), np.uint8)
    tiled = TiledEngine(Doubling(scale, **more), list)  # type: ignore[arg-type]
    tiled.submit({"frame": frame[None]})
    whole = tiled.collect()["translated"][0]
    assert np.array_equal(whole, frame.repeat(scale, 0).repeat(scale, 1))


@pytest.mark.parametrize(("length", "tile"), [(256, 256), (257, 256), (1080, 256), (1920, 256), (200, 66), (90, 40)])
@pytest.mark.parametrize(("overlap", "margin", "stride"), [(0, 0, 1), (8, 0, 1), (20, 6, 4), (20, 0, 8)])
@pytest.mark.parametrize("scale", [1, 2])
def test_weights_cover_everything_add_up_to_one_and_leave_the_margins_out(
    length: int, tile: int, overlap: int, margin: int, stride: int, scale: int
) -> None:
    made = spans(length, tile, scale, overlap, margin, stride)
    total = np.zeros((length + tile) * scale)
    for span in made:
        assert span.start % stride == 0
        total[span.start * scale : (span.start + tile) * scale] += span.weights
    assert np.allclose(total[: length * scale], 1, atol=1e-6)
    assert made[-1].start + tile - length < stride or len(made) == 1
    for before, after in pairwise(made):
        assert before.start + tile - after.start >= overlap
        rim = margin * scale
        assert rim == 0 or (before.weights[-rim:].max() == 0 and after.weights[:rim].max() == 0)


def decided(**decisions: str) -> Manifest:
    return replace(Doubling().manifest, frame=ImagePort("frame", 128, 160, 3), decisions=decisions)


def test_what_the_manifest_says_decides_how_tiles_meet() -> None:
    exact = seam_of(decided(reach="20", stride="4"))
    assert (exact.margin, exact.overlaps, exact.stride, exact.warning) == (20, (48, 48), 4, "")
    for decisions, why in (
        ({"reach": "frame", "stride": "4"}, "depends on the whole frame, as with instance norm"),
        ({"reach": "40", "stride": "4"}, "sees 40 to every side, too far for tiles so small; export it at a larger"),
        ({}, "does not say how far its pixels see; export it again"),
    ):
        seam = seam_of(decided(**decisions))
        assert (seam.margin, seam.overlaps) == (0, (16, 20))
        assert seam.warning.startswith("d in tiles of 160×128 is not exact")
        assert why in seam.warning


def test_an_engine_whose_tiles_are_not_exact_is_named() -> None:
    said: list[str] = []
    TiledEngine(Doubling(decisions={"reach": "frame"}), said.append)
    TiledEngine(Doubling(decisions={"reach": "1"}), said.append)
    assert len(said) == 1
    assert said[0].startswith("d in tiles of 24×32 is not exact, and tiles may differ in tone")


@pytest.mark.parametrize("size", [(1080, 1920), (2160, 3840)])
def test_memory_beside_a_frame_is_one_band_of_tiles(size: tuple[int, int]) -> None:
    tiled = TiledEngine(Doubling(1, (256, 320), decisions={"reach": "2", "stride": "4"}))
    frame = np.zeros((*size, 3), np.uint8)
    tracemalloc.start()
    try:
        for _ in range(2):
            tiled.submit({"frame": frame[None]})
            picture = tiled.collect()["translated"][0]
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert picture.nbytes == frame.nbytes
    band = 256 * (size[1] + 320) * 3 * 4
    assert peak < frame.nbytes + band + 8_000_000, "a few tiles"


def test_what_belongs_to_the_whole_frame_cannot_be_tiled() -> None:
    with pytest.raises(EngineError, match="boxes"):
        TiledEngine(Doubling(controls=(Control("boxes", "boxes", (1, 4, 4)),)))


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("channels", [1, 3])
def test_pictures_come_back_as_they_were_written(tmp_path: Path, channels: int, dtype: str) -> None:
    frame = np.random.default_rng(0).integers(0, np.iinfo(dtype).max, (9, 7, channels)).astype(dtype)
    path = write_image(tmp_path / "a.png", frame)
    assert np.array_equal(read_image(path, channels, dtype), frame)
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]


def test_alpha_is_left_out(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.full((4, 4, 4), 9, np.uint8))
    assert read_image(tmp_path / "a.png", 3).shape == (4, 4, 3)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".bmp", ".webp"])
def test_a_cut_picture_is_named(tmp_path: Path, suffix: str) -> None:
    path = write_image(tmp_path / f"a{suffix}", np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 3])
    with pytest.raises(SourceError, match=f"a{suffix}"):
        read_image(path, 3)


def test_images_are_listed_by_folder_or_glob(tmp_path: Path) -> None:
    for name in ("b.PNG", "a.jpg", "notes.txt"):
        (tmp_path / name).touch()
    assert [path.name for path in list_images(tmp_path)] == ["a.jpg", "b.PNG"]
    assert [path.name for path in list_images(f"{tmp_path}/*.jpg")] == ["a.jpg"]
    with pytest.raises(SourceError, match="no picture"):
        list_images(f"{tmp_path}/*.txt")


def test_a_format_that_cannot_hold_the_frame_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SinkError, match=r"a\.gif"):
        write_image(tmp_path / "a.gif", np.zeros((4, 4, 3), np.uint8))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("shape", [(1080, 1920, 3), (256, 256, 1), (120, 160, 3), (64, 64, 3), (8, 8, 1)])
def test_no_signal_is_bright_words_in_the_middle_of_dark(shape: tuple[int, int, int]) -> None:
    frame = draw_no_signal(shape, "uint8")
    bright = frame > 128
    assert 0 < bright.mean() < 0.3 or shape[0] == 8, "too small for words"
    assert not bright[0].any()
    assert not bright[:, 0].any()
