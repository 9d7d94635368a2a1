"""Writes INT8 engines of known shapes with random weights: their time is that of trained ones.

    python -m models.compress --probes probes --size 256x256

Every probe goes the way of a trained student: checkpoint, frame graph, Q/DQ. Only the ranges are not measured, and no
gate judges: numbers do not change how long dense arithmetic takes.
"""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Iterable
from dataclasses import asdict, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from tqdm import tqdm

from benchmarks.search.shapes import Shape
from benchmarks.search.table import INDEX
from calibration import fp16, int8
from calibration.candidate import Int8
from calibration.output import write_graph
from calibration.procedure import load_graph
from export import onnx as export
from models.checkpoint import save_checkpoint, shipped_weights
from models.registry import build_system
from runtime.errors import SinkError

SYSTEM = "omgd"  # of the students; its settings are the shape's
_RANGE = 8.0  # of every activation of a probe
_SEED = 0


def write_probes(shapes: Iterable[Shape], size: tuple[int, int], channels: int, folder: Path) -> None:
    """Engines of all shapes at `size` (H, W), and the index that `benchmarks.search.table` reads.

    Raises:
        SinkError: the folder cannot be written.
        GraphError: the size does not suit the family.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SinkError(f"cannot write probes into {folder}: {error.strerror}") from error
    files = {f"{shape.name}.onnx": shape for shape in shapes}
    for name, shape in tqdm(files.items(), desc="making probes", unit="probe", leave=False):
        if not (folder / name).is_file():
            write_probe(shape, size, channels, folder / name)
    index = {name: asdict(shape) for name, shape in files.items()}
    (folder / INDEX).write_text(json.dumps(index, indent=1) + "\n", encoding="utf-8")


def write_probe(shape: Shape, size: tuple[int, int], channels: int, out: Path) -> None:
    """One INT8 engine with random weights."""
    with TemporaryDirectory(dir=out.parent) as folder:
        checkpoint, graph = Path(folder) / "checkpoint.safetensors", Path(folder) / "graph.onnx"
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(_SEED)
            system = build_system(SYSTEM, shape.settings | {"channels": channels, "norm": "none", "branched": False})
        save_checkpoint(checkpoint, system, SYSTEM, 0.0, shipped_weights(system))
        with contextlib.redirect_stdout(io.StringIO()):
            export.main([str(checkpoint), "--size", f"{size[0]}x{size[1]}", "--out", str(graph), "--json"])
        model, manifest = load_graph(graph)
        layers = tuple(int8.candidates(model, int8.Policy()))
        ranges = dict.fromkeys(int8.activations(model, layers), _RANGE)
        made = Int8(model, layers, ranges, {}, tuple(fp16.layers(model)), int8.Policy.weight_bits)
        write_graph(made.build(), "", replace(manifest, precision="int8", decisions={"weights": "random"}), out)
