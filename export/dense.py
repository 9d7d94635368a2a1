"""Dense layers as 1×1 convolutions of 1×1 maps: the same sums, in an operator that TensorRT-RTX compiles for more GPUs.

For Turing (SM 7.5) it refuses an "FP32 GEMM", which mapping networks and style encoders are made of, and takes FP32
convolutions. For other GPUs the plans come out smaller.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper

from export.graph_edit import set_constant

_AXES = "axes of a 1×1 map"


def dense_as_convolutions(graph: onnx.GraphProto) -> None:
    """Replace every plain Gemm of constant FP32 weights, in place; its name stays, and what it computes."""
    constants = {tensor.name: tensor for tensor in graph.initializer if tensor.data_type == TensorProto.FLOAT}
    nodes: list[NodeProto] = []
    for node in graph.node:
        nodes += _as_convolution(graph, node, constants[node.input[1]]) if _is_dense(node, constants) else [node]
    del graph.node[:]
    graph.node.extend(nodes)


def _is_dense(node: NodeProto, constants: Mapping[str, TensorProto]) -> bool:
    """Whether it is x·W or x·W + b with a vector b, of constants."""
    if node.op_type != "Gemm" or not all(name in constants for name in node.input[1:]):
        return False
    given = {item.name: helper.get_attribute_value(item) for item in node.attribute}
    scaled = given.get("alpha", 1.0) != 1.0 or given.get("beta", 1.0) != 1.0
    return not scaled and not given.get("transA") and all(len(constants[b].dims) == 1 for b in node.input[2:])


def _as_convolution(graph: onnx.GraphProto, node: NodeProto, weights: TensorProto) -> list[NodeProto]:
    """(N, C) → a 1×1 map (N, C, 1, 1) → its convolution → (N, K)."""
    weight = numpy_helper.to_array(weights)
    out_first = any(item.name == "transB" and item.i for item in node.attribute)
    kernel = (weight if out_first else weight.T)[:, :, None, None]
    result = node.output[0]
    kernel_name = set_constant(graph, f"{result}:kernel", kernel)
    axes = set_constant(graph, _AXES, np.array([2, 3], np.int64))
    return [
        helper.make_node("Unsqueeze", [node.input[0], axes], [f"{result}:map"], name=f"{result}:map"),
        helper.make_node("Conv", [f"{result}:map", kernel_name, *node.input[2:]], [f"{result}:sums"], name=node.name),
        helper.make_node("Squeeze", [f"{result}:sums", axes], [result], name=f"{result}:sums"),
    ]
