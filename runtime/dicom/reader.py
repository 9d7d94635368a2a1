"""DICOM files → headers and stored pixel values, or one sentence that says why not.

A sentence names what the standard calls the thing and never a value of a text attribute: it goes to logs.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.processing import apply_color_lut
from pydicom.pixels.utils import pixel_array
from pydicom.uid import UID, AllTransferSyntaxes, RTDoseStorage, SegmentationStorage

from runtime.dicom.values import Appearance
from runtime.errors import DicomError
from runtime.frames import Array

LARGEST_BYTES = 1 << 30  # of decoded pixels: a small file may claim more than any memory holds
_GRAY = ("MONOCHROME1", "MONOCHROME2")
_COLOUR = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_RCT", "YBR_ICT", "PALETTE COLOR")
_NO_PICTURES = {RTDoseStorage: "a radiotherapy dose", SegmentationStorage: "a segmentation"}
_NEEDED = ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID")


@dataclass(frozen=True)
class Instance:
    """One DICOM image as it was received."""

    dataset: Dataset  # with file_meta, without a change
    stored: Array  # (N, H, W, C) uint8, int8, uint16 or int16; C = 1, or 3 = RGB; read-only
    looks: tuple[Appearance, ...]  # of every frame
    syntax: UID  # that the pixels were encoded in
    encoded_bytes: int  # of the pixel data as received


def read_instance(path: Path) -> Instance:
    """Read, check and decode one file.

    Raises:
        DicomError: it is broken, or not an image of 8 to 16 bits; the message names no value and no file.
    """
    dataset = read_header(path)
    _check(dataset)
    with _Told("its pixel data cannot be decoded"):
        stored = _decode(dataset)
    with _Told("its rescale, window or padding cannot be read"):
        looks = tuple(_appearance(dataset, stored, frame) for frame in range(len(stored)))
    stored.flags.writeable = False
    return Instance(dataset, stored, looks, dataset.file_meta.TransferSyntaxUID, len(dataset.PixelData))


def read_header(path: Path, pixels: bool = True) -> Dataset:
    """The data set of a file, with or without its pixel data. Raises DicomError as `read_instance`."""
    with _Told("it is not a DICOM file that can be read"):
        dataset: Dataset = pydicom.dcmread(path, stop_before_pixels=not pixels, force=False)
    _parse(dataset)
    return dataset


def _parse(dataset: Dataset) -> None:
    """Convert every value now; pydicom would only when asked for it, when it is too late to refuse."""
    for tag in list(dataset.keys()):
        with _Told(f"its attribute {tag} has a value that its type does not allow"):
            element = dataset[tag]
        for item in element.value if element.VR == "SQ" else ():
            _parse(item)


class _Told:
    """Turns whatever a parser raises into one sentence and drops its warnings: its words may hold a patient's data."""

    def __init__(self, fact: str) -> None:
        self._fact = fact
        self._warnings = warnings.catch_warnings()

    def __enter__(self) -> None:
        self._warnings.__enter__()
        warnings.simplefilter("ignore")

    def __exit__(self, kind: type[BaseException] | None, error: Any, trace: Any) -> None:
        self._warnings.__exit__(kind, error, trace)
        if kind is None or not issubclass(kind, Exception) or issubclass(kind, (DicomError, MemoryError)):
            return
        if getattr(error, "errno", None) is None:  # else it is the disk's trouble, not the file's
            raise DicomError(f"{self._fact} ({kind.__name__})") from None


def _check(dataset: Dataset) -> None:
    """Raise DicomError for what is no image that an engine could translate."""
    with _Told("its attributes cannot be read"):
        if not getattr(dataset, "file_meta", None) or "TransferSyntaxUID" not in dataset.file_meta:
            raise DicomError("its file meta information names no transfer syntax")
        if found := _NO_PICTURES.get(dataset.get("SOPClassUID", "")):
            raise DicomError(f"it is {found}, not a picture")
        if "PixelData" not in dataset:
            raise DicomError("it has no pixel data")
        _check_pixels(dataset)


def check_references(dataset: Dataset) -> None:
    """Raise DicomError where a derived image could not refer to its source."""
    for keyword in _NEEDED:
        if not dataset.get(keyword):
            raise DicomError(f"it has no {keyword}")


def _check_pixels(dataset: Dataset) -> None:
    bits, stored = int(dataset.BitsAllocated), int(dataset.BitsStored)
    if bits not in (8, 16) or not 1 < stored <= bits:
        raise DicomError(f"its pixels have {bits} bits, {stored} of them stored; 8 to 16 are translated")
    if int(dataset.get("HighBit", stored - 1)) != stored - 1:
        raise DicomError("its high bit is not the last of the stored bits")
    photometric = str(dataset.PhotometricInterpretation)
    if photometric not in (*_GRAY, *_COLOUR):
        raise DicomError("its photometric interpretation is none of " + ", ".join((*_GRAY, *_COLOUR)))
    frames = int(dataset.get("NumberOfFrames") or 1)
    samples = 3 if photometric in _COLOUR else 1
    size = frames * int(dataset.Rows) * int(dataset.Columns) * samples * bits // 8
    if not 0 < size <= LARGEST_BYTES:
        raise DicomError(f"its decoded pixels take {size} bytes; 1 to {LARGEST_BYTES} are allowed")


def _decode(dataset: Dataset) -> Array:
    """Stored values (N, H, W, C) in native byte order; colour as RGB."""
    values = pixel_array(dataset)
    if dataset.PhotometricInterpretation == "PALETTE COLOR":
        values = apply_color_lut(values, dataset)
    frames, rows, columns = int(dataset.get("NumberOfFrames") or 1), int(dataset.Rows), int(dataset.Columns)
    shaped = values.reshape(frames, rows, columns, -1)
    return np.array(shaped, dtype=shaped.dtype.newbyteorder("="))


def _appearance(dataset: Dataset, stored: Array, frame: int) -> Appearance:
    """Rescale, window and padding of a frame."""
    if stored.shape[3] == 3:
        palette = dataset.PhotometricInterpretation == "PALETTE COLOR"
        return Appearance(bits=stored.dtype.itemsize * 8 if palette else int(dataset.BitsStored), colour=True)
    slope, intercept = 1.0, 0.0
    rescale = _macro(dataset, frame, "PixelValueTransformationSequence")
    if rescale.get("RescaleSlope") is not None and not dataset.get("ModalityLUTSequence"):
        slope, intercept = float(rescale.RescaleSlope), float(rescale.get("RescaleIntercept") or 0)
    return Appearance(
        slope=slope or 1.0,
        intercept=intercept,
        window=_window(_macro(dataset, frame, "FrameVOILUTSequence")),
        inverted=dataset.PhotometricInterpretation == "MONOCHROME1",
        bits=int(dataset.BitsStored),
        signed=int(dataset.PixelRepresentation) == 1,
        padding=_padding(dataset),
    )


def _macro(dataset: Dataset, frame: int, name: str) -> Dataset:
    """Where a macro's attributes stand: a frame's functional group, that of all frames, else the image itself."""
    own, shared = dataset.get("PerFrameFunctionalGroupsSequence"), dataset.get("SharedFunctionalGroupsSequence")
    for group in ([own[frame]] if own else []) + ([shared[0]] if shared else []):
        if group.get(name):
            found: Dataset = group[name].value[0]
            return found
    return dataset


def _window(dataset: Dataset) -> tuple[float, float] | None:
    """The first window as lowest and highest value shown (PS3.3 C.11.2.1.2 and C.11.2.1.3)."""
    centre, width = _first(dataset.get("WindowCenter")), _first(dataset.get("WindowWidth"))
    if centre is None or width is None or width <= 0:
        return None
    if dataset.get("VOILUTFunction", "LINEAR") == "LINEAR":
        centre, width = centre - 0.5, max(width - 1, 1.0)
    return centre - width / 2, centre + width / 2


def _first(value: Any) -> float | None:
    if isinstance(value, MultiValue | list):
        value = value[0] if value else None
    return None if value is None or value == "" else float(value)


def _padding(dataset: Dataset) -> tuple[int, int] | None:
    value = dataset.get("PixelPaddingValue")
    if value is None:
        return None
    limit = dataset.get("PixelPaddingRangeLimit")
    return int(value), int(value if limit is None else limit)


def transfer_syntaxes() -> list[UID]:
    """The transfer syntaxes that can be decoded here, the plainest first: what the node offers to a sender."""
    return [*filter(_can_decode, AllTransferSyntaxes)]


def _can_decode(syntax: UID) -> bool:
    try:
        return bool(get_decoder(syntax).is_available)
    except NotImplementedError:  # video, XML and the like
        return False
