"""The engine format: a file of vendor bytes, and beside it `<file>.json`, the manifest that says what the bytes are.

The manifest is read and the bytes are hashed before any vendor library sees them, because a compiled plan is
executable code. `runtime` defines the format; `export` and `calibration` write it.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import MISSING, asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from runtime.errors import ManifestError

SCHEMA = 1
# "onnx" is a portable graph: it opens with whichever CPU backend is installed.
PORTABLE = "onnx"
# `decisions["reach"]` of an engine each of whose pixels depends on all of its frame; else a number of pixels.
WHOLE_FRAME = "frame"


@dataclass(frozen=True)
class ImagePort:
    """An image input or output of an engine: (1, height, width, channels), `colour` order as a camera gives it."""

    name: str
    height: int
    width: int
    channels: int
    dtype: str = "uint8"  # or "uint16"
    colour: str = "bgr"  # or "gray"

    @property
    def shape(self) -> tuple[int, int, int]:
        """(H, W, C) of one frame."""
        return self.height, self.width, self.channels


@dataclass(frozen=True)
class Control:
    """A further input of the generator, such as a style vector or a domain label; always float32."""

    name: str
    kind: str  # "noise", "style", "label", "mask", "boxes", "image", "content" or "scalar"
    shape: tuple[int, ...]  # with the batch axis, e.g. (1, 8)
    low: float | None = None  # allowed range of every element; None = unbounded
    high: float | None = None
    default: tuple[float, ...] | None = None  # flattened; None = zeros
    names: tuple[str, ...] = ()  # of the classes of a label, in order
    distribution: str = ""  # of noise and styles: "normal", "uniform" (low..high), "" = not sampled
    companion: str = ""  # engine (of `companions`) that computes this control from a reference image
    sampler: str = ""  # engine (of `companions`) that computes it from noise, where it has no plain distribution


@dataclass(frozen=True)
class Output:
    """A tensor output that is not an image: class logits, a style code, translated masks."""

    name: str
    kind: str  # "classes", "segmentation", "style", "mask", "content"
    shape: tuple[int, ...]
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Manifest:
    """What an engine file is, what it takes and gives, where it came from and how it was judged."""

    file: str  # name of the engine file beside this manifest, without a folder
    sha256: dict[str, str]  # "engine" always; "graph", "checkpoint", "calibration", "companion ROLE"
    system: str = "unknown"
    task: str = ""
    frame: ImagePort | None = None  # None for generators of noise
    translated: tuple[ImagePort, ...] = ()  # one for image → image, two for CoGAN
    outputs: tuple[Output, ...] = ()
    controls: tuple[Control, ...] = ()
    precision: str = "fp32"  # "fp32", "fp16", "int8"
    backend: str = PORTABLE  # "onnx", "openvino", "onnxruntime", "tensorrt", "tensorrt-rtx", "null"
    backend_version: str = ""
    targets: tuple[str, ...] = ("cpu",)  # "cpu", "sm75", "sm80+", …
    companions: dict[str, str] = field(default_factory=dict)  # role → engine file beside this one
    parity: dict[str, Any] = field(default_factory=dict)  # graph against the trained module
    gate: dict[str, Any] = field(default_factory=dict)  # precision against fp32, and the verdict
    decisions: dict[str, str] = field(default_factory=dict)  # e.g. {"dropout": "off", "norm": "instance"}
    macs: int = 0  # exact: transposed convolutions per input position
    command: str = ""
    created: str = ""  # UTC, ISO 8601
    licence: str = ""
    attribution: str = ""
    schema: int = SCHEMA


def manifest_path(engine: Path) -> Path:
    """`x.plan` → `x.plan.json`."""
    return engine.with_name(engine.name + ".json")


def file_sha256(path: Path) -> str:
    """Hex SHA-256 of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest() if hasattr(hashlib, "file_digest") else _digest(stream)


def _digest(stream: Any) -> str:
    digest = hashlib.sha256()  # Python 3.10 has no file_digest
    for block in iter(lambda: stream.read(1 << 20), b""):
        digest.update(block)
    return digest.hexdigest()


def write_manifest(manifest: Manifest, engine: Path) -> Path:
    """Write the manifest beside `engine`, whole or not at all; return its path."""
    path = manifest_path(engine)
    partial = path.with_name(path.name + ".tmp")
    partial.write_text(json.dumps(asdict(manifest), indent=2) + "\n", encoding="utf-8")
    os.replace(partial, path)
    return path


def read_manifest(engine: Path) -> Manifest:
    """Read and check the manifest of `engine`.

    Raises:
        ManifestError: the engine or the manifest is missing, unreadable, of a newer schema, or names another file.
    """
    if not engine.is_file():
        raise ManifestError(f"there is no engine {engine}; build one with `python -m export.engine`")
    path = manifest_path(engine)
    if not path.is_file():
        raise ManifestError(f"{engine} has no manifest {path.name} beside it; copy both files, or export again")
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ManifestError(f"{path} is not readable JSON ({error}); copy it again, or export again") from error
    manifest = _from_json(values, path)
    if manifest.file != engine.name:
        raise ManifestError(f"{path} describes {manifest.file!r}, not {engine.name!r}; keep the names that export gave")
    return manifest


def verify_engine(engine: Path) -> Manifest:
    """Read the manifest and prove that the engine's bytes, and its companions', are those it names.

    Raises:
        ManifestError: as `read_manifest`, or a hash differs.
    """
    manifest = read_manifest(engine)
    if file_sha256(engine) != manifest.sha256.get("engine"):
        raise ManifestError(f"{engine} is not the file its manifest was made for (SHA-256 differs): copy it again")
    for role, companion in manifest.companions.items():
        found = verify_engine(engine.with_name(companion)).sha256["engine"]
        if found != manifest.sha256.get(companion_hash(role), found):
            raise ManifestError(
                f"{companion} is not the {role} that {engine.name} was made with (SHA-256 differs): copy it again"
            )
    return manifest


def companion_hash(role: str) -> str:
    """The key of `sha256` that a companion's engine bytes stand under."""
    return f"companion {role}"


def _from_json(values: Any, path: Path) -> Manifest:
    if not isinstance(values, dict):
        raise ManifestError(f"{path} is not a manifest: the top level must be an object")
    schema = values.get("schema")
    if not isinstance(schema, int):
        raise ManifestError(f"{path} is not a manifest: it has no schema number")
    if schema > SCHEMA:
        raise ManifestError(f"{path} has schema {schema}, this runtime reads up to {SCHEMA}: update inloco")
    try:
        manifest: Manifest = _build(Manifest, values | {
            "frame": _build(ImagePort, values["frame"]) if values.get("frame") else None,
            "translated": tuple(_build(ImagePort, item) for item in values.get("translated", ())),
            "outputs": tuple(_build(Output, item) for item in values.get("outputs", ())),
            "controls": tuple(_build(Control, item) for item in values.get("controls", ())),
        })
        return manifest
    except (KeyError, TypeError, ValueError) as error:
        raise ManifestError(f"{path} is damaged ({error}): copy it again, or export again") from error


def _build(cls: Any, values: Any) -> Any:
    """A frozen dataclass from JSON values; lists become tuples, unknown or missing keys raise TypeError."""
    known = {f.name for f in fields(cls)}
    required = {f.name for f in fields(cls) if f.default is MISSING and f.default_factory is MISSING}
    if unknown := set(values) - known:
        raise TypeError(f"unknown {cls.__name__} field {sorted(unknown)[0]!r}")
    if missing := required - set(values):
        raise TypeError(f"{cls.__name__} has no {sorted(missing)[0]!r}")
    return cls(**{key: tuple(value) if isinstance(value, list) else value for key, value in values.items()})
