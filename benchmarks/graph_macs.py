"""Multiply-accumulates of an engine in both conventions, where its file is a graph and onnx is installed."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from runtime.manifest import Manifest

_GIGA = 1e9


def engine_gmacs(engine: Path, manifest: Manifest) -> tuple[float | None, float | None]:
    """(exact, published) in 10⁹ for one frame; None = not known.

    A compiled plan has only what its manifest says, exact; a device that lacks onnx knows no more of a graph either.
    """
    exact = manifest.macs / _GIGA if manifest.macs else None
    if engine.suffix != ".onnx":
        return exact, None
    try:
        onnx, macs = import_module("onnx"), import_module("export.macs")
    except ImportError:
        return exact, None
    try:
        counted = macs.count_macs(onnx.load(engine))
    except ValueError:  # a shape is not fixed
        return exact, None
    return counted.exact / _GIGA, counted.published / _GIGA
