"""The node between a real modality (dcmtk) and a real PACS (Orthanc)."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.runtime.dicom import peers
from tests.runtime.dicom.peers import Orthanc, RunningNode, save, series, wait_until

Start = Callable[..., RunningNode]
Write = Callable[..., Path]


@pytest.fixture
def engine(write_engine: Write) -> Path:
    """The identity at 64×64, gray, 16 bits."""
    return write_engine(height=64, width=64, channels=1, dtype="uint16", system="identity")


def test_a_study_goes_through_the_node_into_the_pacs(
    orthanc: Orthanc, start_node: Start, engine: Path, tmp_path: Path
) -> None:
    sent = series(tmp_path / "ct", 3)
    node = start_node(orthanc.port, engine, "--fit", "tile", "--no-label")
    done = node.send(*sent)
    assert done.returncode == 0, done.stderr
    wait_until(lambda: orthanc.count() == 3)
    assert node.finish() == {"received": 3, "translated": 3, "sent": 3, "incoming": 0, "outgoing": 0, "rejected": 0}
    sources = {s.SOPInstanceUID: s for s in map(peers.dcmread, sent)}
    stored = orthanc.instances()
    assert len({derived.SeriesInstanceUID for derived in stored}) == 1
    assert {derived.SourceImageSequence[0].ReferencedSOPInstanceUID for derived in stored} == set(sources)
    for derived in stored:
        source = sources[derived.SourceImageSequence[0].ReferencedSOPInstanceUID]
        assert derived.StudyInstanceUID == source.StudyInstanceUID
        assert derived.SeriesInstanceUID != source.SeriesInstanceUID
        window = (source.pixel_array >= -26) & (source.pixel_array <= 1473)  # −300 ± 750 HU
        assert np.array_equal(derived.pixel_array[window], source.pixel_array[window])
        padding = source.pixel_array == -976
        assert np.array_equal(derived.pixel_array[padding], source.pixel_array[padding])


def test_no_value_of_a_patient_is_logged(orthanc: Orthanc, start_node: Start, engine: Path, tmp_path: Path) -> None:
    good = series(tmp_path / "ct", 1)
    broken = peers.ct_slice()
    broken.PixelData = broken.PixelData[:100]
    wild, wilder = peers.ct_slice(KVP="120"), peers.ct_slice(NumberOfFrames="770077")
    wild_path, wilder_path = save(wild, tmp_path / "wild.dcm"), save(wilder, tmp_path / "wilder.dcm")
    wild_path.write_bytes(wild_path.read_bytes().replace(b"120 ", b"NAME"))  # pydicom warns, and quotes it
    wilder_path.write_bytes(wilder_path.read_bytes().replace(b"770077", b"MUELLR"))  # int() raises, and quotes it
    node = start_node(orthanc.port, engine)
    files = [*good, save(broken, tmp_path / "broken.dcm"), wild_path, wilder_path]
    node.send(*files, options=("--no-halt",))
    wait_until(lambda: orthanc.count() == 2 and len(list((tmp_path / "state/rejected").glob("*.dcm"))) == 2)
    node.finish()
    log = node.log.read_text(encoding="utf-8")
    notes = "".join(note.read_text(encoding="utf-8") for note in (tmp_path / "state/rejected").glob("*.json"))
    names = "".join(str(path.relative_to(tmp_path)) for path in (tmp_path / "state").rglob("*"))
    assert "received" in log
    assert "pixel data cannot be decoded" in log
    assert "attributes cannot be read" in notes
    values = [
        str(element.value)
        for dataset in (*map(peers.dcmread, good), broken, wild, wilder)
        for element in dataset
        if element.VR in ("PN", "LO", "SH", "LT", "DA", "UI") and element.keyword != "SOPClassUID"
    ]
    assert [value for value in values if len(value) > 4 and value in log + notes + names] == []
    for word in ("Wunderlich", "Ottokar", "PID-7731", "NAME", "MUELLR"):
        assert word not in log + notes + names


def test_kill_9_loses_and_doubles_nothing(orthanc: Orthanc, start_node: Start, engine: Path, tmp_path: Path) -> None:
    sent = series(tmp_path / "ct", 12)
    orthanc.stop()  # what is translated has to wait
    node = start_node(orthanc.port, engine)
    for half in (sent[:6], sent[6:]):
        assert node.send(*half).returncode == 0
        node.kill()
        node = start_node(orthanc.port, engine)
    (tmp_path / "state/incoming/half.dcm.1.tmp").write_bytes(b"DICM")
    node.kill()
    orthanc.start()
    node = start_node(orthanc.port, engine)
    wait_until(lambda: orthanc.count() > 3)
    node.kill()
    node = start_node(orthanc.port, engine)
    assert node.send(*sent[:2]).returncode == 0  # a modality that sends again
    state = tmp_path / "state"
    wait_until(lambda: not [*state.glob("incoming/*"), *state.glob("outgoing/*")])
    assert node.finish()["rejected"] == 0
    wanted = {peers.dcmread(path).SOPInstanceUID for path in sent}
    derived = orthanc.instances()
    assert len(derived) == len(sent)
    assert {instance.SourceImageSequence[0].ReferencedSOPInstanceUID for instance in derived} == wanted


def test_the_broken_samples_are_rejected_with_a_reason(
    orthanc: Orthanc, start_node: Start, engine: Path, shared_data: Path, tmp_path: Path
) -> None:
    samples = shared_data / "dicom/samples"
    broken = {
        "JPEG-lossy": "cannot be decoded",
        "SC_rgb_rle_32bit": "32 bits",
        "liver_1frame": "a segmentation",
        "rtdose": "a radiotherapy dose",
    }
    node = start_node(orthanc.port, engine)
    for name in broken:
        node.send(samples / f"{name}.dcm")
    rejected = tmp_path / "state/rejected"
    wait_until(lambda: len(list(rejected.glob("*.dcm"))) == len(broken))
    assert node.finish()["rejected"] == len(broken)
    reasons = {
        peers.dcmread(note.with_suffix(".dcm")).SOPInstanceUID: json.loads(note.read_text())["reason"]
        for note in rejected.glob("*.json")
    }
    for name, words in broken.items():
        assert words in reasons[peers.dcmread(samples / f"{name}.dcm").SOPInstanceUID]
    assert orthanc.count() == 0


def test_a_node_answers_an_echo(orthanc: Orthanc, start_node: Start, engine: Path) -> None:
    node = start_node(orthanc.port, engine, "--allow", "MODALITY")
    for title, code in (("MODALITY", 0), ("STRANGER", 1)):
        command = ["echoscu", "-aet", title, "-aec", "INLOCO", "127.0.0.1", str(node.port)]
        assert (subprocess.run(command, capture_output=True, check=False).returncode != 0) == code


def test_what_the_pacs_refuses_is_put_aside(
    orthanc: Orthanc, start_node: Start, engine: Path, tmp_path: Path
) -> None:
    orthanc.stop()
    orthanc.settings = {"AcceptedTransferSyntaxes": ["1.2.840.10008.1.2.4.70"]}  # lossless JPEG and nothing else
    orthanc.start()
    node = start_node(orthanc.port, engine)
    node.send(*series(tmp_path / "ct", 1))
    rejected = tmp_path / "state/rejected"
    wait_until(lambda: len(list(rejected.glob("*.dcm"))) == 1)
    note = json.loads(next(rejected.glob("*.json")).read_text())
    assert note["stage"] == "outgoing"
    assert "does not store CT Image Storage" in note["reason"]
    assert node.finish()["outgoing"] == 0
