"""A PACS (Orthanc), a modality (dcmtk), the node between them, and images to send: all real, on free ports."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, UltrasoundMultiFrameImageStorage, generate_uid

ORTHANC = shutil.which("Orthanc") or shutil.which("Orthanc", path="/usr/sbin")  # not every user has that in PATH
NAME, PATIENT, BIRTH, ACCESSION = "Wunderlich^Ottokar", "PID-7731-X", "19510412", "ACC-99123"
DOCTOR, HOSPITAL, COMMENT = "Hippokrates^Kos", "Sankt Pankratius Klinikum", "Herr Wunderlich, Zimmer 12"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(condition: Callable[[], bool], seconds: float = 40) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


@dataclass
class Orthanc:
    """A PACS that can be stopped and started again; its folder stays."""

    folder: Path
    port: int = field(default_factory=free_port)
    http: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None
    settings: dict[str, Any] = field(default_factory=dict)  # beside those that the tests need

    def start(self) -> None:
        settings: dict[str, Any] = {
            "Name": "test", "StorageDirectory": str(self.folder), "IndexDirectory": str(self.folder), "Plugins": [],
            "HttpPort": self.http, "DicomPort": self.port, "DicomAet": "ORTHANC", "AuthenticationEnabled": False,
            "RemoteAccessAllowed": False, "DicomAlwaysAllowStore": True, "OverwriteInstances": False,
        }  # fmt: skip
        settings |= self.settings
        config = self.folder / "orthanc.json"
        config.write_text(json.dumps(settings), encoding="utf-8")
        assert ORTHANC is not None
        with (self.folder / "orthanc.log").open("ab") as log:
            self.process = subprocess.Popen([ORTHANC, str(config)], stdout=log, stderr=log)
        wait_until(self._answers)

    def _answers(self) -> bool:
        try:
            self.get("/system")
        except (urllib.error.URLError, ConnectionError):
            return False
        return True

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.http}{path}", timeout=30) as answer:
            content = answer.read()
        return content if path.endswith("/file") else json.loads(content)

    def instances(self) -> list[Dataset]:
        """Everything that it has stored."""
        return [dcmread(BytesIO(self.get(f"/instances/{name}/file"))) for name in self.get("/instances")]

    def count(self) -> int:
        return len(self.get("/instances"))

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(30)
            self.process = None


@dataclass
class RunningNode:
    """`python -m runtime.dicom` in a process of its own."""

    process: subprocess.Popen[str]
    log: Path
    port: int = 0

    def send(self, *files: Path, options: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
        """Send files as a modality would, in the transfer syntax that they have."""
        command = ["dcmsend", "-aec", "INLOCO", *options, "127.0.0.1", str(self.port), *map(str, files)]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def finish(self) -> dict[str, int]:
        """End it as systemd would; what it printed at its end."""
        self.process.send_signal(signal.SIGTERM)
        output, _ = self.process.communicate(timeout=60)
        assert self.process.returncode == 0, self.log.read_text(encoding="utf-8")
        counts: dict[str, int] = json.loads(output.strip().splitlines()[-1])
        return counts


def new_image(stored: NDArray[Any], sop_class: str, **attributes: Any) -> Dataset:
    """A data set with a patient, a study and `stored` (N, H, W, C) as its pixels."""
    dataset = Dataset()
    dataset.PatientName, dataset.PatientID, dataset.PatientBirthDate, dataset.PatientSex = NAME, PATIENT, BIRTH, "M"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = generate_uid(), generate_uid()
    dataset.SOPClassUID, dataset.SOPInstanceUID = sop_class, generate_uid()
    dataset.StudyDate, dataset.StudyTime, dataset.StudyID = "20240229", "101500", "S1"
    dataset.AccessionNumber = ACCESSION
    dataset.ReferringPhysicianName, dataset.InstitutionName = DOCTOR, HOSPITAL
    dataset.ImageComments, dataset.Manufacturer = COMMENT, "Maker"
    dataset.SeriesNumber, dataset.InstanceNumber, dataset.PositionReferenceIndicator = 3, 1, ""
    frames, dataset.Rows, dataset.Columns, dataset.SamplesPerPixel = stored.shape
    if frames > 1:
        dataset.NumberOfFrames = frames
    dataset.PhotometricInterpretation = "MONOCHROME2" if stored.shape[3] == 1 else "RGB"
    if stored.shape[3] == 3:
        dataset.PlanarConfiguration = 0
    bits = stored.dtype.itemsize * 8
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = bits, bits, bits - 1
    dataset.PixelRepresentation = int(stored.dtype.kind == "i")
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    dataset.PixelData = stored.tobytes() + b"\0" * (stored.nbytes % 2)
    dataset["PixelData"].VR = "OB" if bits == 8 else "OW"
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    return dataset


def ct_slice(index: int = 0, **attributes: Any) -> Dataset:
    """A CT slice of a ball in air, 96×80, signed 16 bits, −1000 to 400 HU, padding −2000 outside a circle."""
    rows, columns = np.mgrid[:96, :80]
    distance = np.hypot(rows - 48, columns - 40)
    values = np.where(distance < 10 + index, 400, np.where(distance < 40, -1000 + (rows * 7) % 300, -2000))
    stored = (values + 1024).astype(np.int16)
    geometry = {
        "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"], "Modality": "CT", "KVP": "120", "AcquisitionNumber": 1,
        "FrameOfReferenceUID": "2.25.4711", "ImagePositionPatient": [-40, -48, 2.5 * index], "SliceThickness": 2.5,
        "ImageOrientationPatient": [1, 0, 0, 0, 1, 0], "PixelSpacing": [0.75, 0.5], "InstanceNumber": index + 1,
        "RescaleSlope": 1, "RescaleIntercept": -1024, "RescaleType": "HU", "PatientPosition": "HFS",
        "WindowCenter": -300, "WindowWidth": 1500, "PixelPaddingValue": -976,
    }  # fmt: skip
    return new_image(stored[None, :, :, None], CTImageStorage, **(geometry | attributes))


def cine() -> Dataset:
    """A colour cine of three frames, 40×52, 8 bits."""
    rng = np.random.default_rng(3)
    stored = rng.integers(0, 256, (3, 5, 52 // 4, 3), np.uint8).repeat(8, axis=1).repeat(4, axis=2)
    timing = {"FrameTime": "40", "FrameIncrementPointer": 0x00181063, "Modality": "US"}
    kind = ["ORIGINAL", "PRIMARY", "", "0001"]
    return new_image(stored, UltrasoundMultiFrameImageStorage, ImageType=kind, LossyImageCompression="00", **timing)


def save(dataset: Dataset, path: Path) -> Path:
    dataset.save_as(path, enforce_file_format=True)
    return path


def series(folder: Path, count: int = 3) -> list[Path]:
    """The slices of one series as files."""
    folder.mkdir(exist_ok=True)
    study, group = generate_uid(), generate_uid()
    uids = {"StudyInstanceUID": study, "SeriesInstanceUID": group}
    return [save(ct_slice(index, **uids), folder / f"{index:03d}.dcm") for index in range(count)]
