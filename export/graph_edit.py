"""The few edits of an ONNX graph that composing, folding and naming share."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper, numpy_helper

from runtime.frames import Array


def set_constant(graph: onnx.GraphProto, name: str, value: Array) -> str:
    """Add a constant, or replace the one of that name; returns its name."""
    tensor = numpy_helper.from_array(np.array(value, order="C"), name)
    for old in graph.initializer:
        if old.name == name:
            old.CopyFrom(tensor)
            return name
    graph.initializer.append(tensor)
    return name


def bypass(graph: onnx.GraphProto, node: onnx.NodeProto) -> None:
    """Take a node out: whoever read its output reads its first input, under the output's name.

    Keeping the output's name keeps the graph's own outputs. The input must be computed, and read by `node` alone.
    """
    source, result = node.input[0], node.output[0]
    graph.node.remove(node)
    for other in graph.node:
        other.output[:] = [result if name == source else name for name in other.output]


def fixed_tensor(name: str, dtype: str, shape: tuple[int, ...]) -> onnx.ValueInfoProto:
    """An input or output with a fixed shape."""
    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), shape)


def rename_nodes(graph: onnx.GraphProto, wanted: dict[str, str]) -> None:
    """Give nodes, and the tensors they compute, the `wanted` names (by old node name), made unique by a number."""
    ports = {port.name for port in (*graph.input, *graph.output)}
    taken = ports | {tensor.name for tensor in graph.initializer}
    tensors: dict[str, str] = {}
    for node in graph.node:
        node.name = _unique(wanted[node.name], taken)
        for index, old in enumerate(node.output):
            if old and old not in ports:
                tensors[old] = node.name if index == 0 else f"{node.name}:{index}"
    for node in graph.node:
        node.input[:] = [tensors.get(name, name) for name in node.input]
        node.output[:] = [tensors.get(name, name) for name in node.output]
    del graph.value_info[:]


def _unique(name: str, taken: set[str]) -> str:
    candidate, number = name, 2
    while candidate in taken:
        candidate, number = f"{name}_{number}", number + 1
    taken.add(candidate)
    return candidate
