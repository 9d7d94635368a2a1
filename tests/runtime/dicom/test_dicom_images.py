"""Reading DICOM images, mapping their values and translating them; against pydicom and dcmtk."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.pixels.processing import apply_windowing

from runtime.dicom.label import burn_in
from runtime.dicom.options import NodeOptions, Peer, parse_peer
from runtime.dicom.reader import read_instance, transfer_syntaxes
from runtime.dicom.spool import INCOMING, REJECTED, Spool
from runtime.dicom.translate import Translator
from runtime.dicom.values import Appearance, line_of
from runtime.engine import open_engine
from runtime.errors import DicomError, FrameError
from runtime.fit import fit_frame, undo_fit
from tests.runtime.dicom.peers import cine, ct_slice, save

Write = Callable[..., Path]


def gray(values: NDArray[np.generic]) -> NDArray[np.generic]:
    return values[None, :, :, None]


# Values.


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT"])
def test_the_window_is_that_of_the_standard(function: str, tmp_path: Path) -> None:
    dataset = ct_slice(VOILUTFunction=function, WindowCenter=40, WindowWidth=401)
    instance = read_instance(save(dataset, tmp_path / "a.dcm"))
    line = line_of(instance.stored, instance.looks[0], "window")
    shown = line.to_frame(instance.stored[0, :, :, 0], "uint8")
    dataset.BitsStored, dataset.PixelRepresentation = 8, 0  # the range that pydicom maps to
    del dataset.RescaleSlope, dataset.RescaleIntercept
    wanted = apply_windowing(dcmread(tmp_path / "a.dcm").pixel_array.astype(float) - 1024, dataset)
    assert np.abs(shown - wanted).max() <= 0.5 + 1e-6


@pytest.mark.parametrize("inverted", [False, True])
@pytest.mark.parametrize("slope", [1.0, -2.0, 0.37])
def test_what_lies_in_the_window_comes_back_exactly(inverted: bool, slope: float) -> None:
    look = Appearance(slope=slope, intercept=-1024, window=(-900.0, 900.0), inverted=inverted, signed=True)
    stored = gray(np.arange(-32768, 32768, dtype=np.int16).reshape(256, 256))
    line = line_of(stored, look, "window")
    frame = line.to_frame(stored, "uint16")
    back = line.to_stored(frame, stored)
    values = stored.astype(float) * slope - 1024
    inside = np.abs(values) <= 900
    assert np.array_equal(back[inside], stored[inside])
    brightest = values[inside].argmin() if inverted else values[inside].argmax()
    assert frame[inside][brightest] > 65500


def test_all_stored_bits_pass_an_engine_of_16_bits_unchanged() -> None:
    stored = gray(np.arange(0, 65536, dtype=np.uint16).reshape(256, 256))
    line = line_of(stored, Appearance(window=(0.0, 10.0)), "stored")
    assert np.array_equal(line.to_stored(line.to_frame(stored, "uint16"), stored), stored)


def test_a_range_is_in_modality_values_and_without_a_window_it_is_the_extent_of_the_picture() -> None:
    stored = gray(np.array([[24, 1024, 4024, -976]], np.int16))
    look = Appearance(intercept=-1024, signed=True, padding=(-976, -976))
    assert line_of(stored, look, "-1000:3000").to_frame(stored, "uint8").ravel().tolist() == [0, 64, 255, 0]
    line = line_of(stored, look, "window")
    assert (line.dark, line.bright) == (24, 4024)  # padding is no picture
    for choice in ("3000:-1000", "wide", "1:2:3"):
        with pytest.raises(DicomError, match="LOW:HIGH"):
            line_of(stored, look, choice)


# Reading.


def test_the_same_image_in_every_transfer_syntax_is_the_same(shared_data: Path) -> None:
    samples = shared_data / "dicom/samples"
    wanted = read_instance(samples / "MR_small.dcm").stored
    others = ["RLE", "bigendian", "expb", "implicit", "jp2klossless", "jpeg_ls_lossless", "padded"]
    syntaxes = set()
    for other in others:
        instance = read_instance(samples / f"MR_small_{other}.dcm")
        syntaxes.add(instance.syntax)
        assert np.array_equal(instance.stored, wanted), other
        assert instance.stored.dtype.isnative
    assert len(syntaxes) == 6
    assert syntaxes < set(transfer_syntaxes())


DCMTK = {
    "JPGExtended": ("dcmdjpeg", 1), "SC_rgb_jpeg_gdcm": ("dcmdjpeg", 0), "SC_rgb_dcmtk_+eb+cr": ("dcmdjpeg", 1),
    "SC_rgb_rle_16bit_2frame": ("dcmdrle", 0), "JPEGLSNearLossless_16": ("dcmdjpls", 0), "image_dfl": ("dcmconv", 0),
    "SC_rgb_jls_lossy_line": ("dcmdjpls", 0),
}  # fmt: skip


@pytest.mark.parametrize("name", DCMTK)
def test_decoded_as_by_dcmtk(name: str, shared_data: Path, tmp_path: Path) -> None:
    program, tolerance = DCMTK[name]
    if not shutil.which(program):
        pytest.skip("needs Debian's dcmtk")
    path, plain = shared_data / f"dicom/samples/{name}.dcm", tmp_path / "plain.dcm"
    subprocess.run([program, *(["+te"] if program == "dcmconv" else []), str(path), str(plain)], check=True)
    stored = read_instance(path).stored
    assert np.abs(stored.astype(int) - read_instance(plain).stored).max() <= tolerance


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("MR_truncated", "cannot be decoded"),
        ("meta_missing_tsyntax", "names no transfer syntax"),
        ("nested_priv_SQ", "attributes cannot be read"),
        ("JPEG-lossy", "cannot be decoded"),
        ("JPEG2000-embedded-sequence-delimiter", "cannot be decoded"),
        ("SC_rgb_rle_32bit", "32 bits"),
        ("liver_1frame", "a segmentation"),
        ("rtdose_rle", "a radiotherapy dose"),
    ],
)
def test_what_is_no_picture_is_refused_with_a_reason(name: str, reason: str, shared_data: Path) -> None:
    with pytest.raises(DicomError, match=reason):
        read_instance(shared_data / f"dicom/samples/{name}.dcm")


def test_a_small_file_that_claims_a_large_picture_is_refused(tmp_path: Path) -> None:
    bomb = ct_slice(NumberOfFrames=100_000)
    with pytest.raises(DicomError, match=r"1536000000 bytes"):
        read_instance(save(bomb, tmp_path / "bomb.dcm"))
    (tmp_path / "text.dcm").write_text("Wunderlich")
    with pytest.raises(DicomError, match=r"^it is not a DICOM file that can be read \(InvalidDicomError\)$"):
        read_instance(tmp_path / "text.dcm")


# Translating.


def test_letterbox_and_stretch_are_undone() -> None:
    rows, columns = np.mgrid[:90, :50]
    smooth = (100 + rows + columns).astype(np.uint8)[:, :, None]
    for mode in ("letterbox", "stretch"):
        back = undo_fit(fit_frame(smooth, 128, 128, mode), (128, 128), (90, 50), mode)
        assert back.shape == smooth.shape
        assert np.abs(back.astype(int) - smooth)[2:-2, 2:-2].max() <= 2
        doubled = fit_frame(smooth, 128, 128, mode).repeat(2, axis=0).repeat(2, axis=1)
        assert np.abs(undo_fit(doubled, (128, 128), (90, 50), mode).astype(int) - smooth)[2:-2, 2:-2].max() <= 3
    with pytest.raises(FrameError, match="crop"):
        undo_fit(smooth, (90, 50), (90, 50), "crop")


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_any_engine_takes_gray_and_colour(channels: int, dtype: str, write_engine: Write, tmp_path: Path) -> None:
    engine = write_engine(height=32, width=32, channels=channels, dtype=dtype)
    gray_source = read_instance(save(ct_slice(), tmp_path / "gray.dcm"))
    colour = read_instance(save(cine(), tmp_path / "colour.dcm"))
    with closing(open_engine(engine)) as opened:
        translator = Translator(opened, {}, "tile", "window")
        result, how = translator.translate(gray_source, "")
        inside = (gray_source.stored >= -26) & (gray_source.stored <= 1473)
        step = 1500 / 255 if dtype == "uint8" else 1
        assert np.abs(result.astype(int) - gray_source.stored)[inside].max() <= step
        assert "its window, values -1050 to 449" in how
        result, how = translator.translate(colour, "")
    if channels == 3:
        assert np.array_equal(result, colour.stored)
    else:  # luma in every channel
        luma = colour.stored @ np.array([0.299, 0.587, 0.114])
        assert np.abs(result - luma[..., None]).max() <= 1


def test_the_label_is_bright_with_a_dark_rim_where_it_is_seen() -> None:
    for size in ((64, 64), (512, 400)):
        for inverted in (False, True):
            dark, bright = (900, 100) if inverted else (100, 900)
            frame = np.full((*size, 1), 500, np.int16)
            assert burn_in(frame, "SYNTHETIC", dark, bright)
            assert {100, 900} < set(np.unique(frame).tolist())
            assert (frame[: size[0] // 2] == 500).all()
            assert (frame == bright).sum() > 60
    small = np.zeros((3, 3, 1), np.uint8)
    assert not burn_in(small, "SYNTHETIC", 1, 255)
    assert not small.any()


# The queue and the options.


def test_a_file_that_kills_the_process_is_found_out(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    assert [spool.begin("a") for _ in range(3)] == [0, 1, 2]  # never ended: each time the process died
    assert spool.begin("b") == 0
    spool.end()
    assert spool.begin("b") == 0
    with pytest.raises(DicomError, match="another running node"):
        Spool(tmp_path)
    spool.close()


def test_a_rejected_file_has_its_reason_beside_it(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    path = spool.put(INCOMING, "abc", b"content")
    assert spool.waiting(INCOMING) == [path]
    spool.reject(path, "it is a test")
    assert spool.waiting(INCOMING) == []
    assert (tmp_path / REJECTED / "abc.dcm").read_bytes() == b"content"
    assert '"it is a test"' in (tmp_path / REJECTED / "abc.json").read_text()
    assert sorted(path.name for path in tmp_path.glob("*/*")) == ["abc.dcm", "abc.json"]
    assert tmp_path.stat().st_mode & 0o077 == 0
    spool.close()


def test_options() -> None:
    assert parse_peer("PACS@10.0.0.5:104", "X") == Peer("PACS", "10.0.0.5", 104)
    assert parse_peer("11112", "ME", "127.0.0.1") == Peer("ME", "127.0.0.1", 11112)
    for text in ("PACS", "PACS@:104", "h:70000", "104"):
        with pytest.raises(DicomError, match="AET@HOST:PORT"):
            parse_peer(text, "X")
    options = NodeOptions(Path("e"), Path("s"), Peer("P", "h", 1), Peer("ME", "0.0.0.0", 104))
    with pytest.raises(DicomError, match="--allow"):
        options.check()
