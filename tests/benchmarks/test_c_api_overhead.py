"""The benchmark of the C library measures what it says; its figures are not judged here."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.c_api import CEngine, measure, write_identity
from runtime.capi.build import build
from runtime.errors import EngineError
from runtime.manifest import read_manifest


def test_every_way_of_calling_is_measured(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INLOCO_ROOT", str(root))
    try:
        library = build(tmp_path)
    except EngineError as error:
        pytest.skip(str(error))
    results = measure(write_identity(tmp_path, 32), library, calls=20)
    assert list(results) == ["in the caller's thread", "with a deadline", "own thread"]
    for row in results.values():
        assert 0 < row["engine"] < row["through C"]
        assert row["overhead"] <= row["overhead p90"]


def test_an_absent_library_is_named_with_the_way_to_build_it(tmp_path: Path) -> None:
    engine = write_identity(tmp_path)
    with pytest.raises(EngineError, match="make capi"):
        CEngine(tmp_path / "absent.so", engine, read_manifest(engine), own_thread=False)
