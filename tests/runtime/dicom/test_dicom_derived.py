"""Derived and de-identified images, against dicom3tools and pydicom."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import EnhancedMRImageStorage

from runtime.dicom.deidentify import deidentify
from runtime.dicom.derive import Provenance, derive, encode
from runtime.dicom.identity import Names
from runtime.dicom.reader import read_instance
from runtime.errors import DicomError
from runtime.manifest import read_manifest
from tests.runtime.dicom import peers
from tests.runtime.dicom.peers import cine, ct_slice, new_image, save

Write = Callable[..., Path]
NAMES = Names(bytes(range(32)))


def provenance(engine: Path) -> Provenance:
    return Provenance(read_manifest(engine), "null", "0.1.0", "letterbox\nwindow", "SYNTHETIC")


@pytest.fixture
def made(write_engine: Write) -> Provenance:
    return provenance(write_engine(height=64, width=64, channels=1, system="cyclegan"))


def derived(source: Dataset | Path, made: Provenance, tmp_path: Path, clean: bool = False) -> Path:
    """The derived image of a source, as a file."""
    path = source if isinstance(source, Path) else save(source, tmp_path / "source.dcm")
    instance = read_instance(path)
    if clean:
        instance = replace(instance, dataset=deidentify(instance.dataset, NAMES))
    out = tmp_path / "derived.dcm"
    out.write_bytes(encode(derive(instance, instance.stored.copy(), made, "as it is", NAMES)))
    return out


def errors_of(path: Path) -> set[str]:
    """What dciodvfy calls errors, without the one tag that is newer than its release of Debian 12."""
    done = subprocess.run(["dciodvfy", "-new", str(path)], capture_output=True, text=True, check=False)
    lines = {line for line in done.stderr.splitlines() if line.startswith("Error")}
    return {line for line in lines if "(0008,001c)" not in line}  # Synthetic Data, of 2023


@pytest.mark.parametrize("clean", [False, True])
@pytest.mark.parametrize("source", [ct_slice, cine, "brainix/T1/00", "brainix/T2/02", "samples/693_J2KI"])
def test_the_derived_image_is_as_valid_as_its_source(
    source: Callable[[], Dataset] | str, clean: bool, made: Provenance, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if not shutil.which("dciodvfy"):
        pytest.skip("needs Debian's dicom3tools")
    if isinstance(source, str):
        path = request.getfixturevalue("shared_data") / f"dicom/{source}.dcm"
    else:
        dataset = source()
        dataset.BurnedInAnnotation = "NO"
        path = save(dataset, tmp_path / "source.dcm")
    before = errors_of(path)
    after = errors_of(derived(path, made, tmp_path, clean))
    assert after - before == set()
    assert "Error" in subprocess.run(["dciodvfy", __file__], capture_output=True, text=True, check=False).stderr


def test_the_derived_image_says_what_it_is(made: Provenance, tmp_path: Path) -> None:
    source = ct_slice(2)
    source.add_new(0x00191008, "LO", "private")
    source.add_new(0x60000010, "US", 5)
    found = dcmread(derived(source, made, tmp_path))
    engine = made.manifest.sha256["engine"]
    assert found.ImageType == ["DERIVED", "SECONDARY", "AXIAL"]
    assert found.SOPClassUID == source.SOPClassUID
    kept = ("StudyInstanceUID", "FrameOfReferenceUID", "PixelSpacing", "ImagePositionPatient", "SliceThickness")
    kept += ("ImageOrientationPatient", "RescaleSlope", "RescaleIntercept", "WindowCenter", "PatientID", "Rows")
    assert [keyword for keyword in kept if found[keyword].value != source[keyword].value] == []
    assert (found.SeriesNumber, found.SeriesDescription) == (10003, "SYNTHETIC cyclegan")
    assert engine in found.DerivationDescription
    assert found.DerivationCodeSequence[0].CodeValue == "I2I"
    reference = found.SourceImageSequence[0]
    assert (reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID) == (
        source.SOPClassUID, source.SOPInstanceUID)  # fmt: skip
    series = found.ReferencedSeriesSequence[0]
    assert series.SeriesInstanceUID == source.SeriesInstanceUID
    assert series.ReferencedInstanceSequence[0].ReferencedSOPInstanceUID == source.SOPInstanceUID
    assert engine in found.ContributingEquipmentSequence[-1].SoftwareVersions
    assert found.SyntheticData == "YES"
    assert [element.tag for element in found if element.tag.is_private or element.tag.group == 0x6000] == []


def test_uids_are_new_but_the_same_each_time_and_others_for_another_engine(
    made: Provenance, write_engine: Write, tmp_path: Path
) -> None:
    source = save(ct_slice(), tmp_path / "source.dcm")
    first, second = (dcmread(derived(source, made, tmp_path)) for _ in range(2))
    assert first.SOPInstanceUID == second.SOPInstanceUID
    other = provenance(write_engine("other.onnx", 64, 64, channels=1, content=b"another"))
    third = dcmread(derived(source, other, tmp_path))
    uids = {d[keyword].value for d in (first, third) for keyword in ("SOPInstanceUID", "SeriesInstanceUID")}
    assert len(uids) == 4
    assert all(re.fullmatch(r"2\.25\.[1-9]\d{0,38}", uid) for uid in uids)


def test_colour_and_frames_stay_what_they_are(made: Provenance, tmp_path: Path) -> None:
    source = cine()
    found = dcmread(derived(source, made, tmp_path))
    assert (found.NumberOfFrames, found.PhotometricInterpretation, found.FrameTime) == (3, "RGB", 40)
    assert np.array_equal(found.pixel_array, source.pixel_array)


def test_lossy_stays_lossy(made: Provenance, shared_data: Path, tmp_path: Path) -> None:
    found = dcmread(derived(shared_data / "dicom/samples/SC_rgb_dcmtk_+eb+cr.dcm", made, tmp_path))
    assert (found.LossyImageCompression, found.LossyImageCompressionMethod) == ("01", "ISO_10918_1")


def test_functional_groups_of_an_enhanced_image(made: Provenance, tmp_path: Path) -> None:
    source = new_image(np.arange(32, dtype=np.uint16).reshape(2, 4, 4, 1), EnhancedMRImageStorage)
    source.ImageType = ["ORIGINAL", "PRIMARY", "T1", "NONE"]
    frames = []
    for centre in (10, 100):
        voi, frame_type, group = Dataset(), Dataset(), Dataset()
        voi.WindowCenter, voi.WindowWidth = centre, 11
        frame_type.FrameType = source.ImageType
        group.FrameVOILUTSequence, group.MRImageFrameTypeSequence = [voi], [frame_type]
        frames.append(group)
    shared, rescale = Dataset(), Dataset()
    rescale.RescaleSlope, rescale.RescaleIntercept = 2, -5
    shared.PixelValueTransformationSequence = [rescale]
    source.SharedFunctionalGroupsSequence, source.PerFrameFunctionalGroupsSequence = [shared], frames
    path = save(source, tmp_path / "enhanced.dcm")
    assert [(look.slope, look.intercept, look.window) for look in read_instance(path).looks] == [
        (2, -5, (4.5, 14.5)), (2, -5, (94.5, 104.5))]  # fmt: skip
    found = dcmread(derived(path, made, tmp_path))
    for group in found.PerFrameFunctionalGroupsSequence:
        assert group.MRImageFrameTypeSequence[0].FrameType == ["DERIVED", "SECONDARY", "T1", "NONE"]
    derivation = found.SharedFunctionalGroupsSequence[0].DerivationImageSequence[0]
    assert derivation.SourceImageSequence[0].ReferencedSOPInstanceUID == source.SOPInstanceUID


# De-identifying.


def test_nothing_of_the_patient_is_left(made: Provenance, tmp_path: Path) -> None:
    source = ct_slice()
    nested = Dataset()
    nested.RequestedProcedureDescription, nested.ReferringPhysicianName = "Wunderlich again", peers.DOCTOR
    nested.StudyInstanceUID = source.StudyInstanceUID
    source.RequestAttributesSequence = [nested]
    source.ContentSequence = [nested]
    source.add_new(0x00191008, "LO", peers.NAME)
    path = derived(source, made, tmp_path, clean=True)
    content = path.read_bytes()
    told = [peers.NAME, "Wunderlich", peers.PATIENT, peers.BIRTH, peers.ACCESSION, peers.DOCTOR, peers.HOSPITAL]
    told += [peers.COMMENT, source.StudyInstanceUID, source.SeriesInstanceUID, source.SOPInstanceUID, "20240229"]
    told += [source.FrameOfReferenceUID]
    assert [word for word in told if word.encode() in content] == []
    found = dcmread(path)
    assert found.PatientIdentityRemoved == "YES"
    assert found.DeidentificationMethodCodeSequence[0].CodeValue == "113100"
    second = dcmread(derived(ct_slice(1, StudyInstanceUID=source.StudyInstanceUID), made, tmp_path, clean=True))
    assert (found.StudyInstanceUID, found.PatientID) == (second.StudyInstanceUID, second.PatientID)
    assert found.PatientID.startswith("ANON-")
    assert Names(bytes(32)).pseudonym(peers.PATIENT + "\0") != found.PatientID


def test_pixels_that_may_show_a_name_are_not_deidentified() -> None:
    for source, reason in ((ct_slice(BurnedInAnnotation="YES"), "must be cleaned"), (cine(), "may hold text")):
        with pytest.raises(DicomError, match=reason):
            deidentify(source, NAMES)
