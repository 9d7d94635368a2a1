"""Multiply-accumulates of a graph, exactly, and as the literature counts them.

Exact: a transposed convolution works once per *input* position. Published: papers count it per *output* position, so
stride 2 costs four times as much (CycleGAN's ResNet-9 at 256²: 49.55 G exact, 56.80 G published).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod

from onnx import ModelProto, NodeProto

from calibration.wiring import Wiring, attribute, prepared


@dataclass(frozen=True)
class Macs:
    """Multiply-accumulates of one frame, in both conventions."""

    exact: int
    published: int

    def __add__(self, other: Macs) -> Macs:
        return Macs(self.exact + other.exact, self.published + other.published)


def count_macs(model: ModelProto) -> Macs:
    """Count the convolutions and matrix products of a graph with fixed shapes, also quantised ones (Q/DQ).

    Raises:
        ValueError: a shape is unknown.
    """
    wiring = Wiring(prepared(model))
    total = Macs(0, 0)
    for node in wiring.nodes.values():
        if node.op_type in _COUNTED:
            total += _COUNTED[node.op_type](node, wiring)
    return total


def _convolution(node: NodeProto, wiring: Wiring) -> Macs:
    """Per output element: C_in / groups × kernel."""
    macs = _size(node.output[0], wiring) * prod(_shape(node.input[1], wiring)[1:])
    return Macs(macs, macs)


def _transposed(node: NodeProto, wiring: Wiring) -> Macs:
    """Per input element: C_out / groups × kernel."""
    per_position = prod(_shape(node.input[1], wiring)[1:]) * _shape(node.input[1], wiring)[0]
    positions = [prod(_shape(name, wiring)[2:]) * _shape(name, wiring)[0] for name in (node.input[0], node.output[0])]
    return Macs(positions[0] * per_position, positions[1] * per_position)


def _matmul(node: NodeProto, wiring: Wiring) -> Macs:
    """Per output element: the length of the dot product."""
    macs = _size(node.output[0], wiring) * _shape(node.input[0], wiring)[-1]
    return Macs(macs, macs)


def _gemm(node: NodeProto, wiring: Wiring) -> Macs:
    inner = _shape(node.input[0], wiring)[0 if attribute(node, "transA", 0) else 1]
    macs = _size(node.output[0], wiring) * inner
    return Macs(macs, macs)


_COUNTED: dict[str, Callable[[NodeProto, Wiring], Macs]] = {
    "Conv": _convolution,
    "ConvTranspose": _transposed,
    "MatMul": _matmul,
    "Gemm": _gemm,
}


def _size(name: str, wiring: Wiring) -> int:
    return prod(_shape(name, wiring))


def _shape(name: str, wiring: Wiring) -> tuple[int, ...]:
    shape = wiring.shape(name)
    if not shape or 0 in shape:
        raise ValueError(f"the shape of {name} is not fixed")
    return shape
