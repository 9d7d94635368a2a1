"""An engine translates frames; every backend is one file behind this Protocol.

    with closing(open_engine(Path("cyclegan_int8.onnx"))) as engine:
        translated = engine.infer({"frame": frame[None]})["translated"][0]

Work is submitted and collected in order, up to `depth` items in flight, so that a GPU backend can overlap copies with
computation; `infer` is one of each.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Protocol

from runtime.errors import EngineError
from runtime.frames import Array
from runtime.manifest import PORTABLE, Manifest, verify_engine
from runtime.masks import takes_sets
from runtime.passes import PassesEngine

# Backend → module with `load(path, manifest) -> Engine`, and the extra that installs what it imports.
BACKENDS = {
    "openvino": ("runtime.backends.openvino", "openvino"),
    "onnxruntime": ("runtime.backends.onnxruntime", "onnxruntime"),
    "tensorrt": ("runtime.backends.tensorrt", "tensorrt"),
    "tensorrt-rtx": ("runtime.backends.tensorrt", "tensorrt-rtx"),
    "null": ("runtime.backends.null", ""),
}
# The choice for a portable graph, best first.
PORTABLE_BACKENDS = ("openvino", "onnxruntime")


class Engine(Protocol):
    """A loaded generator. Not thread-safe: the thread that opens it uses it and closes it."""

    manifest: Manifest
    backend: str  # with its version, e.g. "openvino 2026.4.0"

    @property
    def depth(self) -> int:
        """How many submissions may be in flight, ≥ 1."""

    def submit(self, inputs: Mapping[str, Array]) -> None:
        """Start translating. `inputs`: "frame" (1, H, W, C) and every control by name, which stay the caller's and
        unchanged until collected. Raises EngineError when `depth` items are already in flight."""

    def collect(self) -> dict[str, Array]:
        """Wait for the oldest submission; return its outputs by name ("translated" (1, H, W, C), …).
        They are views of engine-owned buffers, valid until `depth` further submissions."""

    def close(self) -> None:
        """Free everything; calling it twice is harmless."""


def infer(engine: Engine, inputs: Mapping[str, Array]) -> dict[str, Array]:
    """Submit and collect one item."""
    engine.submit(inputs)
    return engine.collect()


def open_engine(path: Path, backend: str | None = None) -> Engine:
    """Verify `path` against its manifest, then load it with the backend that the manifest (or the caller) names.

    Raises:
        ManifestError: the engine fails verification (no vendor library has been loaded then).
        EngineError: the backend is unknown, not installed, or refuses the engine.
    """
    manifest = verify_engine(path)
    wanted = backend or manifest.backend
    if wanted == PORTABLE:
        return _open_portable(path, manifest)
    return _load(wanted, path, manifest)


def _open_portable(path: Path, manifest: Manifest) -> Engine:
    refusals = []
    for name in PORTABLE_BACKENDS:
        try:
            return _load(name, path, manifest)
        except EngineError as error:
            if not isinstance(error.__cause__, ImportError):
                raise
            refusals.append(str(error))
    raise EngineError("; ".join(refusals))


def _load(name: str, path: Path, manifest: Manifest) -> Engine:
    if name not in BACKENDS:
        raise EngineError(f"unknown backend {name!r}; there are {', '.join(BACKENDS)}")
    module, extra = BACKENDS[name]
    try:
        load = import_module(module).load
    except ImportError as error:
        raise EngineError(
            f"backend {name!r} needs {error.name!r}, which is not installed: pip install 'inloco[{extra}]'"
        ) from error
    engine: Engine = load(path, manifest)
    return PassesEngine(engine, manifest) if takes_sets(manifest) else engine
