"""Dense layers as 1×1 convolutions of 1×1 maps: the same sums, in an operator that TensorRT-RTX compiles for more GPUs.

For Turing (SM 7.5) it refuses an "FP32 GEMM", which mapping networks and style encoders are made of, and takes FP32
convolutions. For other GPUs the plans come out smaller.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper, numpy_helper

from export.graph_edit import set_constant

_MAP = "axes of a 1×1 map"


def dense_as_convolutions(graph: onnx.GraphProto) -> None:
    """Replace every Gemm of constant FP32 weights and biases, in place; its name stays, and what it computes."""
    weights = {tensor.name: tensor for tensor in graph.initializer if tensor.data_type == onnx.TensorProto.FLOAT}
    nodes = []
    for node in graph.node:
        given = {item.name: helper.get_attribute_value(item) for item in node.attribute}
        plain = not given.get("transA") and given.get("alpha", 1.0) == given.get("beta", 1.0) == 1.0
        vector = all(name in weights and len(weights[name].dims) == 1 for name in node.input[2:])
        if node.op_type != "Gemm" or not (plain and vector) or node.input[1] not in weights:
            nodes.append(node)
            continue
        weight = numpy_helper.to_array(weights[node.input[1]])
        rows = weight if given.get("transB") else weight.T
        kernel = set_constant(graph, f"{node.output[0]}:kernel", rows[:, :, None, None])
        axes = set_constant(graph, _MAP, np.array([2, 3], np.int64))
        source, result = (f"{node.output[0]}:{end}" for end in ("source", "result"))
        nodes += [
            helper.make_node("Unsqueeze", [node.input[0], axes], [source], name=source),
            helper.make_node("Conv", [source, kernel, *node.input[2:]], [result], name=node.name),
            helper.make_node("Squeeze", [result, axes], [node.output[0]], name=result),
        ]
    del graph.node[:]
    graph.node.extend(nodes)
