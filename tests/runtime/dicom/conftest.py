"""The PACS and the node as fixtures; what the tests start they end."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytest.importorskip("pydicom")
pytest.importorskip("pynetdicom")

from tests.runtime.dicom.peers import ORTHANC, Orthanc, RunningNode


@pytest.fixture
def orthanc(tmp_path: Path) -> Iterator[Orthanc]:
    """A running PACS with nothing in it."""
    if ORTHANC is None:
        pytest.skip("needs Debian's orthanc")
    folder = tmp_path / "orthanc"
    folder.mkdir()
    pacs = Orthanc(folder)
    pacs.start()
    yield pacs
    pacs.stop()


@pytest.fixture
def start_node(root: Path, tmp_path: Path) -> Iterator[Callable[..., RunningNode]]:
    """`start_node(pacs port, engine, *options)`; its folder is tmp_path / "state"."""
    if not shutil.which("dcmsend"):
        pytest.skip("needs Debian's dcmtk")
    started: list[RunningNode] = []

    def start(pacs: int, engine: Path, *options: str) -> RunningNode:
        log = tmp_path / f"node{len(started)}.log"
        command = [sys.executable, "-m", "runtime.dicom", "--json", "--engine", str(engine), "--listen", "0", *options]
        command += ["--pacs", f"ORTHANC@127.0.0.1:{pacs}", "--state", str(tmp_path / "state")]
        with log.open("w", encoding="utf-8") as stderr:
            process = subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, stderr=stderr, text=True)
        node = RunningNode(process, log)
        started.append(node)
        assert process.stdout is not None
        ready = process.stdout.readline()
        assert ready, log.read_text(encoding="utf-8")
        node.port = json.loads(ready)["port"]
        return node

    yield start
    for node in started:
        if node.process.poll() is None:
            node.kill()
        if node.process.stdout is not None:
            node.process.stdout.close()
