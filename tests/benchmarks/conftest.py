"""Fixtures of the benchmarks' tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from runtime.manifest import ImagePort, Manifest, file_sha256, write_manifest


@pytest.fixture(scope="session")
def write_null_engine() -> Callable[..., Path]:
    """Writes an engine of the identity backend into a folder: (folder, name, macs) → its path."""

    def write(folder: Path, name: str = "identity.bin", macs: int = 2_500_000_000) -> Path:
        path = folder / name
        path.write_bytes(b"bytes of a vendor")
        port = ImagePort("frame", height=16, width=24, channels=3)
        manifest = Manifest(file=name, sha256={"engine": file_sha256(path)}, frame=port, translated=(port,),
                            backend="null", precision="int8", macs=macs)  # fmt: skip
        write_manifest(manifest, path)
        return path

    return write


@pytest.fixture
def null_engine(write_null_engine: Callable[..., Path], tmp_path: Path) -> Path:
    """An engine of the identity backend."""
    return write_null_engine(tmp_path)
