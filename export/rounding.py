"""Brings the ranges that a network learnt in training to the tensors of its frame graph.

Exporters name and order tensors as they like, so nothing is assumed: the network and the graph are run on the same
frame, and a tensor of the graph gets the range of the torch tensor that holds the same numbers, up to a factor.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from onnx import ModelProto

from calibration.evaluate import Graph
from calibration.int8 import Policy, activations, candidates
from calibration.ranges import exposed
from calibration.trained import Trained, write_trained
from calibration.wiring import prepared
from export.source import Source
from models.compress.placement import rounded_tensors
from runtime.errors import GraphError
from runtime.frames import Array

_SAME = 1e-2  # of a tensor's root mean square: more than folding and another order of summing change


def with_trained_ranges(graph: ModelProto, source: Source, item: Mapping[str, Array]) -> ModelProto:
    """A copy of the frame graph that carries the trained ranges; as it is where `source` has none.

    Raises:
        GraphError: the graph rounds other tensors than the training did.
    """
    if source.ranges is None:
        return graph
    placement = source.ranges.placement
    policy = Policy(placement.ends, placement.transposed, placement.weight_bits)
    model = prepared(graph)
    names = activations(model, candidates(model, policy))
    inputs = [torch.from_numpy(item[name]) for name in source.signature.input_names]
    # What training rounded, on the network itself; the frame is its first input where it takes one.
    given = [source.reference.to_network(inputs[0]), *inputs[1:]] if source.signature.frame else inputs
    trained = [tensor.numpy() for tensor in rounded_tensors(source.reference.network, given, placement)]
    if len(trained) != len(source.ranges.ranges) or len(trained) != len(names):
        raise _other(len(names), len(source.ranges.ranges))
    values = Graph(exposed(model, names), names)(item)
    ranges: dict[str, float] = {}
    left = dict(enumerate(trained))
    for name in names:
        factors = ((k, _factor(values[name], tensor)) for k, tensor in left.items())
        index, factor = next(((k, factor) for k, factor in factors if factor), (-1, 0.0))
        if index < 0:
            raise _other(len(names), len(trained))
        del left[index]
        ranges[name] = factor * source.ranges.ranges[index]
    return write_trained(graph, Trained(ranges, policy))


def _factor(value: Array, tensor: Array) -> float:
    """By what `tensor` must be multiplied to be `value`; 0 where nothing does.

    It is 1 but before the first convolution, whose weights may have taken in the scale of the frame, and the flip from
    BGR: the same numbers are rounded to the same codes.
    """
    if value.shape != tensor.shape:
        return 0.0
    for turned in (tensor, tensor[:, ::-1]) if tensor.ndim == 4 and tensor.shape[1] == 3 else (tensor,):
        factor = float(np.vdot(value, turned) / max(float(np.vdot(turned, turned)), 1e-30))
        size = float(np.sqrt(np.square(value, dtype=np.float64).mean()))
        if factor > 0 and float(np.abs(value - factor * turned).max()) <= _SAME * size:
            return factor
    return 0.0


def _other(graph: int, trained: int) -> GraphError:
    return GraphError(
        f"the graph would round {graph} tensors where training rounded {trained} others: export with the version that "
        "trained it, or train without qat_after"
    )
