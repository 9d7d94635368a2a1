"""Does the engine give the pictures of its graph? Compared with ONNX Runtime on this machine, after every build.

Two builds of one graph are not alike: TensorRT picks its kernels by stopwatch. So the engine is judged, not the recipe.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import numpy as np

from calibration.controls import Draws
from runtime.companions import EngineCompanions
from runtime.engine import infer, open_engine
from runtime.errors import EngineError, GateError
from runtime.frames import Array
from runtime.notes import say_nothing

FRAMES = 4
BLOCK = 8  # pixels: patches of one colour are kinder to no network, but nearer to pictures than noise is
LARGEST_MEAN = 1.5  # levels of 255; libraries round INT8 differently by a level here and there, broken plans by dozens


def compare_with_graph(engine: Path, graph: Path) -> dict[str, Any]:
    """Mean and largest difference of the pictures, in levels of 255; or why the engine could not be run here.

    Raises:
        GateError: the engine runs and its pictures are others than the graph's.
    """
    with ExitStack() as opened:
        try:
            reference = opened.enter_context(closing(open_engine(graph, "onnxruntime")))
            candidate = opened.enter_context(closing(open_engine(engine)))
        except EngineError as error:
            return {"compared": False, "why": str(error)}
        companions = EngineCompanions(graph, reference.manifest, "onnxruntime", say_nothing)
        opened.callback(companions.close)
        images = [port.name for port in candidate.manifest.translated]
        differences = []
        for inputs in _items(Draws(reference.manifest, companions)):
            wanted, got = infer(reference, inputs), infer(candidate, inputs)
            differences += [_levels(got[name], wanted[name]) for name in images]
    if not differences:
        return {"compared": False, "why": "it gives no picture"}
    mean = max(float(difference.mean()) for difference in differences)
    largest = max(float(difference.max()) for difference in differences)
    if not mean <= LARGEST_MEAN:
        raise GateError(
            f"the engine's pictures differ from its graph's by {mean:.1f} levels on average (at most {LARGEST_MEAN} "
            f"allowed): nothing was written; build again, or report the graph and {candidate.backend}"
        )
    return {
        "compared": True,
        "with": reference.backend,
        "engine": candidate.backend,
        "frames": FRAMES,
        "worst_mean_levels": round(mean, 4),
        "largest_levels": round(largest, 2),
    }


def _items(draws: Draws) -> Iterator[dict[str, Array]]:
    """Seeded frames and controls as the engine takes them."""
    random, manifest = np.random.default_rng(0), draws.manifest
    for index in range(FRAMES):
        inputs = draws.values(index, random)
        if manifest.frame is not None:
            height, width, channels = manifest.frame.shape
            top = int(np.iinfo(manifest.frame.dtype).max)
            size = (-(-height // BLOCK), -(-width // BLOCK), channels)
            patches = random.integers(0, top, size, endpoint=True).astype(manifest.frame.dtype)
            frame = patches.repeat(BLOCK, 0).repeat(BLOCK, 1)[:height, :width]
            inputs[manifest.frame.name] = np.ascontiguousarray(frame)[None]
        yield inputs


def _levels(picture: Array, wanted: Array) -> Array:
    """Absolute differences in levels of 255."""
    scale = 255 / int(np.iinfo(wanted.dtype).max)
    difference: Array = np.abs(picture.astype(np.float32) - wanted.astype(np.float32)) * scale
    return difference
