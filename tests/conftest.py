"""Fixtures that every package's tests share."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runtime.manifest import ImagePort, Manifest, file_sha256, write_manifest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout."""
    return ROOT


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real images, clips and weights that are not part of the repository; skips where they are absent."""
    folder = Path(os.environ.get("INLOCO_SHARED", ROOT.parent / "shared")) / "data"
    if not folder.is_dir():
        pytest.skip(f"needs the data folder {folder}; name its parent in INLOCO_SHARED")
    return folder


@pytest.fixture
def write_engine(tmp_path: Path) -> Callable[..., Path]:
    """`write_engine(name, height, width, **manifest fields)`: an engine file of the null backend and its manifest.

    `content` are the bytes of the file, `channels` and `dtype` those of its frames.
    """

    def write(name: str = "identity.onnx", height: int = 48, width: int = 64, **fields: Any) -> Path:
        path = tmp_path / name
        path.write_bytes(fields.pop("content", b"identity"))
        port = {"height": height, "width": width, "channels": fields.pop("channels", 3)}
        port["dtype"] = fields.pop("dtype", "uint8")
        values: dict[str, Any] = {
            "frame": ImagePort("frame", **port),
            "translated": (ImagePort("translated", **port),),
            "backend": "null",
        }
        manifest = Manifest(file=name, sha256={"engine": file_sha256(path)}, **values | fields)
        write_manifest(manifest, path)
        return path

    return write


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs a GPU where there is none."""
    if not Path("/dev/nvidiactl").exists():
        for item in items:
            if "gpu" in item.keywords:
                item.add_marker(pytest.mark.skip(reason="needs an NVIDIA GPU"))
