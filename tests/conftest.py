"""Fixtures that every package's tests share."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runtime.manifest import ImagePort, Manifest, file_sha256, write_manifest

ROOT = Path(__file__).resolve().parents[1]

# A system is made small by the names that its settings share with the others'; a new name is one line here.
SMALL: dict[str, Any] = {
    "size": 32, "load_size": 0, "width": 4, "max_width": 8, "critic_width": 4, "mapping_width": 8, "head_dim": 8,
    "latent": 4, "style_dim": 4, "patches": 16, "pool_size": 2, "blocks": 1, "n_critic": 2, "bursts": False,
    "domains": ["dark", "light"],
}  # fmt: skip
ONLY: dict[str, dict[str, Any]] = {
    "pix2pix": {"generator": "unet128", "size": 128, "width": 2},
    "cyclegan": {"generator": "resnet6"},
    "srgan": {"content": "mse", "critic_hidden": 8, "pretrain": 0.5},
    "dann": {"shrink": 8},
    "gan": {"width": 8},
    "lsgan": {"embedding": 4},
    "bicyclegan": {"levels": 5, "encoder_width": 4, "critic_field": 16},
    "drit": {"size": 64, "content_critic_layers": 1, "critic_scales": 2},
    "drit_pp": {"content_critic_layers": 1, "critic_layers": 3, "size": 64},
    "tunit": {"clusters": 2, "guide_width": 4, "queue": 8},
    "msgan": {"levels": 5, "critic_field": 16},
    "instagan": {"instances": 2, "slots": 1},
    "munit": {"critic_scales": 2},
    "domain_bridge": {"critic_scales": 2, "segmenter_width": 2},
    "stargan": {"attributes": [], "critic_layers": 3},
    "nice_gan": {"critic_width": 2, "size": 96},  # the least for its 286-px critic
    "ugatit": {"critic_width": 2, "size": 96},
    "init": {"critic_scales": 2, "object_scales": 1, "object_size": 16, "instances": 2},
    "dunit": {"size": 64, "content_critic_layers": 1, "critic_scales": 2, "instances": 2, "detector_width": 2},
    "instaformer": {"size": 64, "dim": 16, "heads": 2, "instances": 2, "instance_patches": 8, "instance_head_dim": 4},
    "transgaga": {"critic_scales": 2, "landmarks": 4, "components": 3, "hidden": 8},
    "cogan": {"size": 28, "critic_channels": [4, 4, 8]},
    "diat": {"size": 64, "mask_width": 4, "critic_hidden": 8, "identity": "none"},
    "tuigan": {"min_size": 18, "factor": 0.5, "turns": 1},
    "sincut": {"width": 1, "critic_width": 1, "blocks": 4, "patches": 1},
}


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


@pytest.fixture(scope="session")
def small() -> Callable[[str], dict[str, Any]]:
    """System name → its settings at a tiny size."""

    def settings(name: str) -> dict[str, Any]:
        from models.registry import system_class  # torch comes along: only for those who ask

        config = system_class(name).config
        known = {field.name for field in dataclasses.fields(config)}
        return {key: value for key, value in SMALL.items() if key in known} | ONLY.get(name, {})

    return settings


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs a GPU where there is none."""
    if not Path("/dev/nvidiactl").exists():
        for item in items:
            if "gpu" in item.keywords:
                item.add_marker(pytest.mark.skip(reason="needs an NVIDIA GPU"))
