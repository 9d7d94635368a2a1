"""`--source dicom:` and the node's bad input, through the real commands."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from pydicom.uid import generate_uid

from tests.runtime.dicom.peers import cine, ct_slice, save

Write = Callable[..., Path]


def run(root: Path, module: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", module, *map(str, arguments)]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=120, check=False)


def test_a_folder_of_dicom_files_is_a_source(root: Path, write_engine: Write, tmp_path: Path) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    uid = generate_uid()
    for index in (0, 1):  # in the order of their numbers, not of their names
        save(ct_slice(index, SeriesInstanceUID=uid), folder / f"{9 - index}.dcm")
    (folder / "notes.txt").write_text("not a picture", encoding="utf-8")
    engine = write_engine(height=96, width=80, channels=1)
    done = run(root, "runtime.stream", "--engine", engine, "--source", f"dicom:{folder}", "--sink", out, "--json")
    assert json.loads(done.stdout)["frames"] == 2, done.stderr
    values = ct_slice(0).pixel_array.astype(float) - 1024
    wanted = np.clip((values + 1050) / 1499, 0, 1) * 255  # its window, −300 ± 750
    shown = cv2.imread(str(out / "9.png"), cv2.IMREAD_UNCHANGED)
    assert np.abs(shown - wanted).max() <= 0.5 + 1e-6


def test_frames_of_a_file_and_a_broken_one(root: Path, write_engine: Write, tmp_path: Path) -> None:
    engine, out = write_engine(height=40, width=52), tmp_path / "out"
    path = save(cine(), tmp_path / "cine.dcm")
    done = run(root, "runtime.stream", "--engine", engine, "--source", f"dicom:{path}", "--sink", out)
    assert done.returncode == 0, done.stderr
    assert sorted(found.name for found in out.iterdir()) == ["cine_0000.png", "cine_0001.png", "cine_0002.png"]
    assert np.array_equal(cv2.imread(str(out / "cine_0001.png"))[:, :, ::-1], cine().pixel_array[1])
    path.write_bytes(path.read_bytes()[:-100])
    done = run(root, "runtime.stream", "--engine", engine, "--source", f"dicom:{path}", "--sink", tmp_path / "no")
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {path} cannot be translated: its pixel data cannot be decoded")
    assert not (tmp_path / "no").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--pacs", "nowhere"], "AET@HOST:PORT"),
        (["--values", "soft"], "LOW:HIGH"),
        (["--listen", "0.0.0.0:0"], "--allow"),
        (["--control", "z=1"], "no control 'z'"),
        (["--engine", "absent.onnx"], "absent.onnx"),
        (["--label", "künstlich"], "ASCII"),
        (["--backend", "magic"], "unknown backend"),
    ],
)
def test_bad_input_is_one_sentence(
    root: Path, write_engine: Write, tmp_path: Path, options: list[str], words: str
) -> None:
    state = tmp_path / "state"
    wanted = ["--engine", str(write_engine(channels=1)), "--pacs", "P@127.0.0.1:1", "--state", str(state), *options]
    done = run(root, "runtime.dicom", *wanted)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.splitlines()) == 1
    assert words in done.stderr


def test_without_the_extra_it_is_named(root: Path, write_engine: Write, tmp_path: Path) -> None:
    code = "import sys; sys.modules['pydicom'] = None; import runpy; runpy.run_module('{}', run_name='__main__')"
    engine = str(write_engine(channels=1))
    dicom = ["--engine", engine, "--pacs", "P@127.0.0.1:1", "--state", str(tmp_path / "state")]
    stream = ["--engine", engine, "--source", f"dicom:{tmp_path}", "--sink", "null:"]
    for module, options in (("runtime.dicom.__main__", dicom), ("runtime.stream", stream)):
        command = [sys.executable, "-c", code.format(module), *options]
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 2, done.stderr
        assert "pip install 'inloco[dicom]'" in done.stderr
