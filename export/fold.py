"""Folds per-channel arithmetic into the layer before it: batch norm, and scales and offsets by constants.

Exporters leave batch norm after a transposed convolution, and the frame graph ends in a scale and an offset. As nodes
of their own they cost time and stand outside quantisation: INT8 compilers take no quantised constants in Add or Mul.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import ModelProto, NodeProto

from calibration.wiring import Wiring, attribute, prepared, rebuilt
from export.graph_edit import bypass, set_constant
from runtime.frames import Array

_ARITHMETIC = {"Mul", "Div", "Add", "Sub"}
_CONVOLUTIONS = {"Conv", "ConvTranspose"}
Affine = tuple[Array, Array]  # y = x · scale + offset, each (C,) or (1,), float64


def fold_affine(model: ModelProto) -> ModelProto:
    """A copy with the same function (to rounding) and fewer nodes."""
    model = prepared(model)
    while _fold_one(model):
        pass
    return rebuilt(model, list(model.graph.node), [])


def _fold_one(model: ModelProto) -> bool:
    wiring = Wiring(model)
    for node in model.graph.node:
        affine = _affine(node, wiring)
        if affine is None:
            continue
        convolution = _convolution_before(node.input[0], wiring, uniform=affine[0].size == affine[1].size == 1)
        norm = _instance_norm_before(node.input[0], wiring)
        if convolution is not None:
            _absorb(model.graph, convolution, affine, wiring)
        elif norm is not None:
            _set_norm(model.graph, norm, affine, wiring)
        if convolution is not None or norm is not None:
            bypass(model.graph, node)
            return True
    return False


def _affine(node: NodeProto, wiring: Wiring) -> Affine | None:
    """What a node does to each channel, when it is affine and constant."""
    if not all(name in wiring.constants for name in node.input[1:]):
        return None
    one, zero = np.ones(1), np.zeros(1)
    if node.op_type == "BatchNormalization" and not attribute(node, "training_mode", 0):
        gain, shift, mean, variance = (wiring.array(name).astype(np.float64) for name in node.input[1:])
        epsilon = next((item.f for item in node.attribute if item.name == "epsilon"), 1e-5)
        scale = gain / np.sqrt(variance + epsilon)
        return scale, shift - mean * scale
    if node.op_type not in _ARITHMETIC or not wiring.is_float(node.input[0]):
        return None
    value = _per_channel(wiring.array(node.input[1]), len(wiring.shape(node.input[0])))
    if value is None:
        return None
    if node.op_type in ("Add", "Sub"):
        return one, value if node.op_type == "Add" else -value
    return value if node.op_type == "Mul" else 1 / value, zero


def _per_channel(value: Array, rank: int) -> Array | None:
    """(C,) or (1,) of a constant that broadcasts over (N, C, H, W); None when it varies over pixels too."""
    shape = (1,) * (rank - value.ndim) + value.shape
    varies = [axis for axis, size in enumerate(shape) if size != 1]
    return value.astype(np.float64).reshape(-1) if len(shape) == rank == 4 and varies in ([], [1]) else None


def _convolution_before(name: str, wiring: Wiring, uniform: bool) -> NodeProto | None:
    """The convolution that alone makes `name`, which nothing else reads; a uniform affine passes a pixel shuffle."""
    node = wiring.maker.get(name)
    if node is None or name in wiring.outputs or len(wiring.readers[name]) != 1:
        return None
    if node.op_type == "DepthToSpace" and uniform:
        return _convolution_before(node.input[0], wiring, uniform)
    if node.op_type not in _CONVOLUTIONS:
        return None
    own = all(key in wiring.constants and len(wiring.readers[key]) == 1 for key in node.input[1:])
    return node if own else None


def _instance_norm_before(name: str, wiring: Wiring) -> NodeProto | None:
    """The instance norm with constant scale and shift that alone makes `name`, which nothing else reads: an AdaIN whose
    style is constant."""
    node = wiring.maker.get(name)
    if node is None or node.op_type != "InstanceNormalization" or name in wiring.outputs:
        return None
    alone = len(wiring.readers[name]) == 1
    return node if alone and all(key in wiring.constants for key in node.input[1:]) else None


def _set_norm(graph: onnx.GraphProto, norm: NodeProto, affine: Affine, wiring: Wiring) -> None:
    scale, shift = (wiring.array(name) for name in norm.input[1:])
    values = (scale * affine[0], shift * affine[0] + affine[1])
    for index, (role, value) in enumerate(zip(("scale", "shift"), values, strict=True), 1):  # others may share the old
        norm.input[index] = set_constant(graph, f"{norm.name}.{role}", value.astype(scale.dtype))


def _absorb(graph: onnx.GraphProto, convolution: NodeProto, affine: Affine, wiring: Wiring) -> None:
    weight = wiring.array(convolution.input[1])
    groups = attribute(convolution, "group", 1)
    transposed = convolution.op_type == "ConvTranspose"
    channels = weight.shape[1] * groups if transposed else weight.shape[0]
    scale, offset = (np.broadcast_to(part, channels) for part in affine)
    biased = len(convolution.input) > 2
    bias = wiring.array(convolution.input[2]).astype(np.float64) if biased else np.zeros(channels)
    if transposed:  # (C_in, C_out / groups, kh, kw): output channels run within each group of inputs
        grouped = weight.reshape(groups, -1, *weight.shape[1:])
        scaled = (grouped * scale.reshape(groups, 1, -1, 1, 1)).reshape(weight.shape)
    else:
        scaled = weight * scale.reshape(-1, 1, 1, 1)
    set_constant(graph, convolution.input[1], scaled.astype(weight.dtype))
    name = convolution.input[2] if biased else f"{convolution.name}.bias"
    set_constant(graph, name, (bias * scale + offset).astype(weight.dtype))
    if not biased:
        convolution.input.append(name)
