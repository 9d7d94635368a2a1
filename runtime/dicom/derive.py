"""The derived image: the source's header with what changed, said in the standard's words (PS3.3 C.7.6.1, C.12.1).

It keeps the SOP class, the study, the frame of reference, geometry, spacing, rescale and window; it gets new series and
instance UIDs, references to its source, a derivation, and the engine as contributing equipment. What described only the
source's pixels or came from its maker (overlays, icon, signatures, private attributes) is left out.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from datetime import datetime
from io import BytesIO

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.tag import BaseTag
from pydicom.uid import UID, ExplicitVRLittleEndian

from runtime.dicom.identity import Names
from runtime.dicom.reader import Instance
from runtime.frames import Array
from runtime.manifest import Manifest

IMPLEMENTATION = UID("2.25.271358297612958230746139842016427015523")
SCHEME = "99INLOCO"
TRANSLATION = Code("I2I", SCHEME, "Image to image translation by a neural network")
_SERIES_OFFSET = 10_000  # derived series stand behind the acquired ones in a list
_LOSSY = {  # transfer syntax → how PS3.3 C.7.6.1.1.5.1 calls its compression
    "1.2.840.10008.1.2.4.50": "ISO_10918_1", "1.2.840.10008.1.2.4.51": "ISO_10918_1",
    "1.2.840.10008.1.2.4.81": "ISO_14495_1", "1.2.840.10008.1.2.4.91": "ISO_15444_1",
    "1.2.840.10008.1.2.4.203": "ISO_15444_15",
}  # fmt: skip
_OF_THE_SOURCES_PIXELS = (
    "PixelData", "ExtendedOffsetTable", "ExtendedOffsetTableLengths", "PixelDataProviderURL", "PlanarConfiguration",
    "SmallestImagePixelValue", "LargestImagePixelValue", "SmallestPixelValueInSeries", "LargestPixelValueInSeries",
    "IconImageSequence", "MACParametersSequence", "DigitalSignaturesSequence",
    "RedPaletteColorLookupTableDescriptor", "GreenPaletteColorLookupTableDescriptor",
    "BluePaletteColorLookupTableDescriptor", "RedPaletteColorLookupTableData", "GreenPaletteColorLookupTableData",
    "BluePaletteColorLookupTableData", "SegmentedRedPaletteColorLookupTableData",
    "SegmentedGreenPaletteColorLookupTableData", "SegmentedBluePaletteColorLookupTableData",
    "PaletteColorLookupTableUID", "SeriesDate", "SeriesTime",
)  # fmt: skip


@dataclass(frozen=True)
class Provenance:
    """What a derived image says of how it was made."""

    manifest: Manifest
    backend: str  # with its version
    version: str  # of this runtime
    recipe: str  # whatever else decides the result, as NodeOptions.recipe
    label: str  # burned in; "" = none

    def instance_uid(self, source: Dataset, names: Names) -> str:
        """The UID of the image derived from `source`: the same each time, so that sending it twice makes no second."""
        return names.uid("instance", source.SOPInstanceUID, self.manifest.sha256["engine"], self.recipe)

    def series_uid(self, source: Dataset, names: Names) -> str:
        """The UID of the series of all that this engine derives from the series of `source`."""
        return names.uid("series", source.SeriesInstanceUID, self.manifest.sha256["engine"], self.recipe)


def derive(source: Instance, stored: Array, made: Provenance, how: str, names: Names) -> Dataset:
    """The data set of the derived image, file meta included.

    `source`: as received, or de-identified; `stored`: new values of the shape and type of the source's; `how`: the way
    from the source's values to the engine and back, in words.
    """
    dataset = _header(source.dataset)
    now = datetime.now().astimezone()
    dataset.SOPInstanceUID = made.instance_uid(source.dataset, names)
    dataset.SeriesInstanceUID = made.series_uid(source.dataset, names)
    dataset.SeriesNumber = int(source.dataset.get("SeriesNumber") or 0) + _SERIES_OFFSET
    dataset.SeriesDescription = _series_description(source.dataset, made)
    dataset.InstanceCreationDate = dataset.ContentDate = now.strftime("%Y%m%d")
    dataset.InstanceCreationTime = dataset.ContentTime = now.strftime("%H%M%S")
    dataset.SyntheticData = "YES"
    _set_image_type(dataset)
    _set_pixels(dataset, stored)
    _set_compression(dataset, source)
    _set_derivation(dataset, source.dataset, made, how)
    _add_equipment(dataset, made, now)
    dataset.file_meta = _file_meta(dataset, made)
    return dataset


def encode(dataset: Dataset) -> bytes:
    """The bytes of a DICOM file (PS3.10), explicit little endian."""
    stream = BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def coded(code: Code) -> Dataset:
    """A concept as the item of a code sequence (PS3.3 table 8.8-1)."""
    item = Dataset()
    item.CodeValue = code.value
    item.CodingSchemeDesignator = code.scheme_designator
    item.CodeMeaning = code.meaning
    return item


def _header(source: Dataset) -> Dataset:
    """A copy of the source without pixels and what belongs to them."""
    kept = Dataset()
    kept.update({tag: source.get_item(tag) for tag in list(source.keys()) if not _is_of_pixels(tag)})
    dataset = deepcopy(kept)
    for keyword in _OF_THE_SOURCES_PIXELS:
        if keyword in dataset:
            delattr(dataset, keyword)
    dataset.remove_private_tags()
    return dataset


def _is_of_pixels(tag: BaseTag) -> bool:
    """Pixel data, and the overlays and curves drawn over it."""
    return tag.group == 0x7FE0 or tag.group & 0xFF00 in (0x5000, 0x6000)


def _set_image_type(dataset: Dataset) -> None:
    """DERIVED\\SECONDARY, and the source's further values; frames of an enhanced image say it too."""
    dataset.ImageType = _derived(dataset.get("ImageType"))
    groups = ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence")
    for group in (item for keyword in groups for item in dataset.get(keyword) or ()):
        for macro in (item for element in group if element.VR == "SQ" for item in element.value):
            if "FrameType" in macro:
                macro.FrameType = _derived(macro.FrameType)


def _derived(image_type: list[str] | str | None) -> list[str]:
    values = [image_type] if isinstance(image_type, str) else list(image_type or ())
    return ["DERIVED", "SECONDARY", *(value.strip() for value in values[2:])]


def _set_pixels(dataset: Dataset, stored: Array) -> None:
    frames, rows, columns, samples = stored.shape
    if samples == 3:
        depth = stored.dtype.itemsize * 8
        dataset.SamplesPerPixel, dataset.PhotometricInterpretation, dataset.PlanarConfiguration = 3, "RGB", 0
        dataset.BitsStored = min(depth, int(dataset.BitsStored)) if dataset.BitsAllocated == depth else depth
        dataset.BitsAllocated, dataset.PixelRepresentation = depth, 0
        dataset.HighBit = dataset.BitsStored - 1
    dataset.Rows, dataset.Columns = rows, columns
    if "NumberOfFrames" in dataset:
        dataset.NumberOfFrames = frames
    content = stored.astype(stored.dtype.newbyteorder("<"), copy=False).tobytes()
    dataset.PixelData = content + b"\0" * (len(content) % 2)
    dataset["PixelData"].VR = "OB" if stored.dtype.itemsize == 1 else "OW"


def _set_compression(dataset: Dataset, source: Instance) -> None:
    """What was lossy once stays so, also uncompressed (PS3.3 C.7.6.1.1.5)."""
    method = _LOSSY.get(str(source.syntax))
    if method is None or dataset.get("LossyImageCompression") == "01":
        return
    dataset.LossyImageCompression = "01"
    dataset.LossyImageCompressionMethod = method
    dataset.LossyImageCompressionRatio = round(source.stored.nbytes / max(1, source.encoded_bytes), 2)


def _set_derivation(dataset: Dataset, source: Dataset, made: Provenance, how: str) -> None:
    reference = Dataset()
    reference.ReferencedSOPClassUID = source.SOPClassUID
    reference.ReferencedSOPInstanceUID = source.SOPInstanceUID
    series = Dataset()
    series.SeriesInstanceUID = source.SeriesInstanceUID
    series.ReferencedInstanceSequence = [deepcopy(reference)]
    dataset.ReferencedSeriesSequence = [series]
    reference.SpatialLocationsPreserved = "YES"
    reference.PurposeOfReferenceCodeSequence = [coded(codes.cid7202.SourceImageForImageProcessingOperation)]
    words = f"Translated by {_engine(made.manifest)}, {made.manifest.precision}, {_hash(made.manifest)}; {how}"
    derivation = Dataset()
    derivation.DerivationDescription = _ascii(words, 1024)
    derivation.DerivationCodeSequence = [coded(TRANSLATION)]
    derivation.SourceImageSequence = [reference]
    dataset.update(derivation)
    for shared in dataset.get("SharedFunctionalGroupsSequence") or ():  # where enhanced images have it
        shared.DerivationImageSequence = [deepcopy(derivation)]
    scheme = Dataset()
    scheme.CodingSchemeDesignator, scheme.CodingSchemeName = SCHEME, "in loco"
    dataset.CodingSchemeIdentificationSequence = [*(dataset.get("CodingSchemeIdentificationSequence") or ()), scheme]


def _add_equipment(dataset: Dataset, made: Provenance, now: datetime) -> None:
    """This runtime and its engine, behind those who contributed before (PS3.3 C.12.1.1.5)."""
    item = Dataset()
    item.PurposeOfReferenceCodeSequence = [coded(codes.cid7005.ProcessingEquipment)]
    item.Manufacturer = "in loco"
    item.ManufacturerModelName = _ascii(_engine(made.manifest), 64)
    item.SoftwareVersions = [f"inloco {made.version}", _ascii(made.backend, 64), made.manifest.sha256["engine"]]
    item.ContributionDateTime = now.strftime("%Y%m%d%H%M%S%z")
    item.ContributionDescription = f"Image to image translation; engine {_hash(made.manifest)}"
    dataset.ContributingEquipmentSequence = [*(dataset.get("ContributingEquipmentSequence") or ()), item]


def _series_description(source: Dataset, made: Provenance) -> str:
    words = f"SYNTHETIC {_ascii(made.manifest.system, 24)}"
    return f"{words}: {source.SeriesDescription}"[:64] if source.get("SeriesDescription") else words


def _engine(manifest: Manifest) -> str:
    return f"{manifest.system} ({manifest.file})"


def _hash(manifest: Manifest) -> str:
    return f"SHA-256 {manifest.sha256['engine']}"


def _ascii(text: str, length: int) -> str:
    """Text for any character set of the source; a backslash would split it into two values."""
    return text.encode("ascii", "replace").decode().replace("\\", "/")[:length]


def _file_meta(dataset: Dataset, made: Provenance) -> FileMetaDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = IMPLEMENTATION
    meta.ImplementationVersionName = f"INLOCO_{made.version}"[:16]
    return meta
