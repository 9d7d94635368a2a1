"""Magnitudes of a graph's intermediate tensors on real frames with varied controls, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from onnx import ModelProto, TensorProto, helper
from tqdm import tqdm

from calibration.evaluate import Graph
from calibration.methods import Histogram
from calibration.samples import Samples
from calibration.wiring import Wiring
from runtime.errors import FrameError
from runtime.frames import Array

# Intermediate tensors are copied out of the session; more than this at once would crowd a small machine.
GROUP_BYTES = 512 << 20


def measure(
    model: ModelProto, tensors: Sequence[str], samples: Samples, quiet: bool = False
) -> dict[str, Histogram]:
    """Histograms of |x| of the named float tensors of a prepared fp32 graph over all samples.

    Raises:
        FrameError: a tensor is not finite on a frame; a range would mean nothing.
    """
    histograms = {name: Histogram() for name in tensors}
    given = {value.name for value in model.graph.input}
    for group in _groups(Wiring(model), [name for name in tensors if name not in given]):
        graph = Graph(exposed(model, group), group)
        for index in tqdm(range(len(samples)), desc="measuring ranges", unit="frame", disable=quiet):
            inputs = samples[index]
            _count(inputs | graph(inputs), histograms, samples.title(index))
    return histograms


def _count(values: Mapping[str, Array], histograms: Mapping[str, Histogram], title: str) -> None:
    for name in values.keys() & histograms.keys():
        try:
            histograms[name].add(values[name])
        except ValueError as error:
            raise FrameError(
                f"tensor {name!r} is not finite on {title}: the fp32 graph itself overflows there; check "
                "the checkpoint, or remove that frame"
            ) from error


def exposed(model: ModelProto, tensors: Iterable[str]) -> ModelProto:
    """The graph with `tensors` among its outputs."""
    copy = ModelProto()
    copy.CopyFrom(model)
    present = {value.name for value in copy.graph.output}
    copy.graph.output.extend(
        helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
        for name in tensors
        if name not in present
    )
    return copy


def _groups(wiring: Wiring, tensors: Sequence[str]) -> list[list[str]]:
    """Tensors split into runs of at most GROUP_BYTES."""
    groups: list[list[str]] = [[]]
    held = 0
    for name in tensors:
        size = 4 * int(np.prod(wiring.shape(name) or (1,)))
        if groups[-1] and held + size > GROUP_BYTES:
            groups.append([])
            held = 0
        groups[-1].append(name)
        held += size
    return groups
