"""Writes a graph, the list of its calibration frames and its manifest: all three, or none under their final
names."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import onnx
from onnx import ModelProto

from runtime.errors import SinkError
from runtime.manifest import Manifest, file_sha256, manifest_path, write_manifest


def list_path(out: Path) -> Path:
    """`x.onnx` → `x.onnx.frames.txt`."""
    return out.with_name(out.name + ".frames.txt")


def check_writable(graph: Path, out: Path, manifest: Manifest) -> None:
    """Find out before the work whether its result can be written.

    Raises:
        SinkError: it cannot, or would overwrite its own input or lose its companions.
    """
    if out.suffix != ".onnx":
        raise SinkError(f"{out} must end in .onnx: the result is a graph")
    if out.resolve() == graph.resolve():
        raise SinkError(f"{out} is the fp32 graph itself; give another name")
    if not out.parent.is_dir() or not os.access(out.parent, os.W_OK):
        raise SinkError(f"{out.parent} is not a folder that can be written; make it first")
    if manifest.companions and out.resolve().parent != graph.resolve().parent:
        raise SinkError(
            f"{graph.name} needs {', '.join(manifest.companions.values())} beside it; "
            f"write {out.name} into {graph.parent} too"
        )


def write_graph(model: ModelProto, frames: str, manifest: Manifest, out: Path) -> Path:
    """Write everything; `frames` is the text of the list, "" for none. The manifest, which makes it an
    engine, is last.

    Raises:
        SinkError: the disk is full, or the folder has gone.
    """
    partial = {out: out.with_name(out.name + ".tmp"), list_path(out): out.with_name(out.name + ".frames.tmp")}
    hashes = {}
    try:
        onnx.save(model, partial[out])
        hashes["engine"] = file_sha256(partial[out])
        if frames:
            partial[list_path(out)].write_text(frames, encoding="utf-8")
            hashes["calibration"] = file_sha256(partial[list_path(out)])
        manifest_path(out).unlink(missing_ok=True)  # an old one would describe another graph
        if frames:
            os.replace(partial[list_path(out)], list_path(out))
        os.replace(partial[out], out)
        return write_manifest(replace(manifest, file=out.name, sha256=manifest.sha256 | hashes), out)
    except OSError as error:
        for path in (*partial.values(), manifest_path(out).with_name(manifest_path(out).name + ".tmp")):
            path.unlink(missing_ok=True)
        raise SinkError(f"cannot write {out}: {error.strerror or error}") from error
