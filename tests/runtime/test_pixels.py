"""Pixel formats of industrial cameras against bit strings and a bilinear interpolation written out."""

from __future__ import annotations

import ctypes.util
import re

import numpy as np
import pytest

from runtime.errors import SourceError
from runtime.frames import Array
from runtime.sources.pixels import FORMATS, to_frame

CODES = {layout.name: code for code, layout in FORMATS.items()}
RNG = np.random.default_rng(0)


def samples(bits: int, height: int = 6, width: int = 8) -> Array:
    picture = RNG.integers(0, 2**bits, (height, width), dtype=np.uint16)
    picture[0, :2] = 0, 2**bits - 1
    return picture


def bit_string(values: Array) -> bytes:
    """Twelve bits a sample, the least significant first (PFNC, "p")."""
    bits = [value >> place & 1 for value in values.ravel().tolist() for place in range(12)]
    return np.packbits(np.array(bits, np.uint8), bitorder="little").tobytes()


def packed(values: Array) -> bytes:
    """GigE Vision's: the upper bytes of two samples around the lower halves of both."""
    pairs = values.reshape(-1, 2).tolist()
    return bytes(byte for a, b in pairs for byte in (a >> 4, (b & 15) << 4 | a & 15, b >> 4))


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_mono_keeps_every_level(bits: int) -> None:
    picture = samples(bits)
    data = picture.astype(np.uint8 if bits == 8 else "<u2").tobytes()
    wide = to_frame(data, CODES[f"Mono{bits}"], picture.shape, 1, "uint16")
    assert np.array_equal(wide[:, :, 0] >> (16 - bits), picture)
    assert wide[0, :2, 0].tolist() == [0, 65535], "black and white stay so"
    narrow = to_frame(data, CODES[f"Mono{bits}"], picture.shape, 3, "uint8")
    assert np.array_equal(narrow, np.repeat(picture[:, :, None] >> (bits - 8), 3, axis=2))


@pytest.mark.parametrize(("name", "pack"), [("Mono12p", bit_string), ("Mono12Packed", packed)])
def test_packed_samples_are_those_of_their_bit_string(name: str, pack: object) -> None:
    picture = samples(12)
    wide = to_frame(pack(picture), CODES[name], picture.shape, 1, "uint16")  # type: ignore[operator]
    assert np.array_equal(wide[:, :, 0] >> 4, picture)


def interpolated(mosaic: Array, first: str) -> Array:
    """BGR: each colour as the rounded mean of its nearest samples, mirrored at the rim."""
    wide = np.pad(mosaic.astype(np.int64), 1, mode="reflect")
    out = np.empty((*mosaic.shape, 3), np.int64)
    for row, column in np.ndindex(mosaic.shape):
        for colour, letter in enumerate("BGR"):
            near = {}
            for y, x in np.ndindex(3, 3):
                if first[(row + y - 1) % 2 * 2 + (column + x - 1) % 2] == letter:
                    near.setdefault(abs(y - 1) + abs(x - 1), []).append(wide[row + y, column + x])
            closest = near[min(near)]
            out[row, column, colour] = (2 * sum(closest) + len(closest)) // (2 * len(closest))
    return out


@pytest.mark.parametrize("name", ["GR", "RG", "GB", "BG"])
@pytest.mark.parametrize("bits", [8, 12])
def test_a_mosaic_is_interpolated_at_its_own_depth(name: str, bits: int) -> None:
    mosaic = samples(bits)
    first = {"GR": "GRBG", "RG": "RGGB", "GB": "GBRG", "BG": "BGGR"}[name]
    data = mosaic.astype(np.uint8 if bits == 8 else "<u2").tobytes()
    colours = to_frame(data, CODES[f"Bayer{name}{bits}"], mosaic.shape, 3, "uint16")
    assert np.array_equal(colours >> (16 - bits), interpolated(mosaic, first))


def test_a_packed_mosaic_equals_the_plain_one() -> None:
    mosaic = samples(12)
    plain = to_frame(mosaic.astype("<u2").tobytes(), CODES["BayerRG12"], mosaic.shape, 3, "uint8")
    for name, data in {"BayerRG12p": bit_string(mosaic), "BayerRG12Packed": packed(mosaic)}.items():
        assert np.array_equal(to_frame(data, CODES[name], mosaic.shape, 3, "uint8"), plain)


def test_rgb_becomes_bgr_and_padding_is_left_out() -> None:
    picture = RNG.integers(0, 256, (4, 6, 3), dtype=np.uint8)
    padded = np.pad(picture.reshape(4, -1), ((0, 0), (0, 2)), constant_values=77).tobytes()
    assert np.array_equal(to_frame(padded, CODES["BGR8"], (4, 6), 3, "uint8", padding=2), picture)
    assert np.array_equal(to_frame(padded, CODES["RGB8"], (4, 6), 3, "uint8", padding=2), picture[:, :, ::-1])


@pytest.mark.parametrize(
    ("code", "size", "length", "words"),
    [
        (0x0210001F, (4, 4), 32, "0x0210001f is not read; ask the camera for one of Mono8"),
        (CODES["Mono12"], (4, 4), 31, "31 bytes, 32 are needed for Mono12"),
        (CODES["Mono12p"], (4, 3), 99, "odd width"),
    ],
)
def test_what_cannot_be_read_is_said(code: int, size: tuple[int, int], length: int, words: str) -> None:
    with pytest.raises(SourceError, match=words):
        to_frame(bytes(length), code, size, 1, "uint8")


def test_the_codes_are_those_that_aravis_knows() -> None:
    file = ctypes.util.find_library("aravis-0.8")
    if file is None:
        pytest.skip("needs libaravis-0.8-0")
    library = ctypes.CDLL(file)
    to_caps = library.arv_pixel_format_to_gst_caps_string
    to_caps.restype = ctypes.c_char_p
    known = {"BayerGR8": "grbg", "BayerRG8": "rggb", "BayerGB8": "gbrg", "BayerBG8": "bggr"}
    known |= {"Mono8": "GRAY8", "Mono16": "GRAY16_LE", "RGB8": "RGB"}
    found = {name: re.search(r"format=(\(string\))?(\w+)", to_caps(CODES[name]).decode()) for name in known}
    assert {name: match and match[2] for name, match in found.items()} == known
