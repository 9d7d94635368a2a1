"""INT8 in the graph: explicit symmetric Q/DQ in front of convolutions and of residual additions.

What every backend accepts at once decides the form: activations int8 per tensor and weights int8 per output
channel, all zero points 0 (TensorRT refuses others), biases float (TensorRT refuses int32 behind a
DequantizeLinear), no Q/DQ on a constant operand of Add or Mul (OpenVINO and TensorRT-RTX refuse it),
InstanceNorm and the frame arithmetic float.

Source: NVIDIA TensorRT documentation, "Working with Quantized Types", on the placement of Q/DQ.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from calibration.methods import LEVELS
from calibration.wiring import Wiring, attribute, rebuilt
from runtime.frames import Array

# The index of the output channel in a weight; transposed convolutions store (Cin, Cout / groups, kH, kW).
WEIGHT_AXIS = {"Conv": 0, "ConvTranspose": 1}
# The largest weight code by its bits. x86 CPUs without VNNI sum the products of two neighbouring uint8 activations
# and int8 weights in 16 bits, which saturate: 2 · 255 · 64 fits, 2 · 255 · 127 does not. GPUs and VNNI sum in 32.
WEIGHT_LEVELS = {7: 64, 8: LEVELS}


@dataclass(frozen=True)
class Policy:
    """Which layers may become INT8."""

    ends: bool = False  # the first and the last convolutions too; in INT8 these may show banding
    transposed: bool = (
        False  # transposed convolutions too; their INT8 kernels are weak, or absent, on NVIDIA devices
    )
    weight_bits: int = 7  # 7 is exact on every CPU; 8 is finer by half, where sums have 32 bits


def candidates(model: ModelProto, policy: Policy) -> list[str]:
    """Names of the convolutions of a prepared graph that may become INT8, in execution order."""
    wiring = Wiring(model)
    layers = [
        node
        for node in model.graph.node
        if node.op_type in WEIGHT_AXIS and _has_constant_weight(wiring, node)
    ]
    spared = {node.name for node in layers if _is_spared(wiring, node, policy)}
    return [
        node.name
        for node in layers
        if node.name not in spared and (node.op_type == "Conv" or policy.transposed)
    ]


def activations(model: ModelProto, layers: Iterable[str]) -> list[str]:
    """Tensors that carry Q/DQ when `layers` are INT8: their inputs, and those of residual additions."""
    wiring = Wiring(model)
    return list(
        dict.fromkeys(name for names in _quantised_inputs(wiring, set(layers)).values() for name in names)
    )


def quantise(
    model: ModelProto, layers: Iterable[str], ranges: Mapping[str, float], weight_bits: int = 7
) -> ModelProto:
    """The prepared fp32 graph with `layers` in INT8; `ranges` gives the range of each of `activations`."""
    wiring = Wiring(model)
    wanted = set(layers)
    inputs = _quantised_inputs(wiring, wanted)
    nodes: list[NodeProto] = []
    added: list[TensorProto] = []
    done: dict[str, str] = {}
    for original in model.graph.node:
        node = NodeProto()
        node.CopyFrom(original)
        renamed = {}
        for name in inputs.get(node.name, ()):
            if name not in done:
                done[name] = _insert_pair(name, ranges[name], nodes, added)
            renamed[name] = done[name]
        if node.name in wanted:
            weight = node.input[1]
            rounded = quantised_weight(wiring.array(weight), _axis(node), weight_bits)
            renamed[weight] = _insert_weight(weight, rounded, _axis(node), (nodes, added, done))
        node.input[:] = [renamed.get(name, name) for name in node.input]
        nodes.append(node)
    return rebuilt(model, nodes, added)


def _has_constant_weight(wiring: Wiring, node: NodeProto) -> bool:
    return node.input[1] in wiring.constants and wiring.is_float(node.input[1])


def _axis(node: NodeProto) -> int:
    """Grouped transposed convolutions have no axis of their own for all output channels: one scale per
    weight."""
    if node.op_type == "ConvTranspose" and attribute(node, "group", 1) > 1:
        return -1
    return WEIGHT_AXIS[node.op_type]


def _is_spared(wiring: Wiring, node: NodeProto, policy: Policy) -> bool:
    """Whether a convolution is first or last, and those are spared; one that is both, as in a skip around the network,
    carries the picture itself and is always spared."""
    inner = [_reaches_layer(wiring, node, before) for before in (True, False)]
    return not any(inner) if policy.ends else not all(inner)


def _reaches_layer(wiring: Wiring, node: NodeProto, before: bool) -> bool:
    seen: set[str] = set()
    pending = [node]
    while pending:
        at = pending.pop()
        near = (
            [wiring.maker[name] for name in at.input if name in wiring.maker]
            if before
            else [reader for name in at.output for reader in wiring.readers[name]]
        )
        for other in near:
            if other.op_type in WEIGHT_AXIS:
                return True
            if other.name not in seen:
                seen.add(other.name)
                pending.append(other)
    return False


def _quantised_inputs(wiring: Wiring, layers: set[str]) -> dict[str, list[str]]:
    """Node → its inputs that get Q/DQ."""
    inputs = {name: [node.input[0]] for name, node in wiring.nodes.items() if name in layers}
    for name, node in wiring.nodes.items():
        if node.op_type == "Add" and _is_residual(wiring, node, layers):
            inputs[name] = list(node.input)
    return inputs


def _is_residual(wiring: Wiring, add: NodeProto, layers: set[str]) -> bool:
    """Whether an addition joins an INT8 convolution's result with a skip, ahead of further layers. The CPU
    backends run it inside the convolution only if both operands are INT8; the last addition, of the picture,
    stays exact."""
    if any(name in wiring.constants for name in add.input):
        return False
    joined = any(
        name in wiring.maker and wiring.maker[name].name in layers and len(wiring.readers[name]) == 1
        for name in add.input
    )
    alike = wiring.shape(add.input[0]) == wiring.shape(add.input[1])
    return joined and alike and _reaches_layer(wiring, add, before=False)


def _insert_pair(name: str, limit: float, nodes: list[NodeProto], added: list[TensorProto]) -> str:
    scale, zero = f"{name}_scale", f"{name}_zero"
    # A tensor that was always zero has no range; any scale represents it.
    added += [
        numpy_helper.from_array(np.array(limit / LEVELS or 1.0, np.float32), scale),
        numpy_helper.from_array(np.array(0, np.int8), zero),
    ]
    nodes += [
        helper.make_node("QuantizeLinear", [name, scale, zero], [f"{name}_q"], f"{name}_quantise"),
        helper.make_node(
            "DequantizeLinear", [f"{name}_q", scale, zero], [f"{name}_dq"], f"{name}_dequantise"
        ),
    ]
    return f"{name}_dq"


def _insert_weight(
    name: str,
    rounded: tuple[Array, Array],
    axis: int,
    into: tuple[list[NodeProto], list[TensorProto], dict[str, str]],
) -> str:
    nodes, added, done = into
    key = f"{name}@{axis}"
    if key not in done:
        done[key] = f"{name}_dq{axis}"
        codes, scales = rounded
        names = [f"{name}_q{axis}", f"{name}_scale{axis}", f"{name}_zero{axis}"]
        values = (codes, scales, np.zeros(scales.shape, np.int8))
        added += [numpy_helper.from_array(value, title) for value, title in zip(values, names, strict=True)]
        node = helper.make_node("DequantizeLinear", names, [done[key]], f"{name}_dequantise{axis}")
        if axis >= 0:
            node.attribute.append(helper.make_attribute("axis", axis))
        nodes.append(node)
    return done[key]


def quantised_weight(weight: Array, axis: int, bits: int = 7) -> tuple[Array, Array]:
    """int8 codes and float32 scales of a weight: one scale per index of `axis`, or a single one for axis
    -1."""
    levels = WEIGHT_LEVELS[bits]
    others = tuple(i for i in range(weight.ndim) if i != axis) if axis >= 0 else None
    largest = np.abs(weight).max(axis=others, keepdims=True)
    scales = np.where(largest > 0, largest / levels, 1.0).astype(
        np.float32
    )  # an unused channel: any scale does
    codes = np.clip(np.round(weight / scales), -levels, levels).astype(np.int8)
    return codes, scales.reshape(-1) if axis >= 0 else scales.reshape(())
