"""INT8 for ONNX Runtime: the same symmetric calibration, written the way its fast kernels want it.

They take uint8 activations with zero point 128 instead of int8 (q_u8 = q_s8 + 128 is the same number; only
code -128, which a clipped outlier reaches, becomes 0 all the same), and a Q/DQ pair directly behind each
convolution and addition. Where a ReLU stands between, a second pair of the same scale goes in front of it:
rounding and ReLU commute, so the picture stays.
"""

from __future__ import annotations

from collections import defaultdict

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

OFFSET = 128


def relabel_u8(model: ModelProto) -> ModelProto:
    """A copy whose activations are quantised to uint8 about 128; weights and everything else as they were."""
    copy = ModelProto()
    copy.CopyFrom(model)
    _pair_before_relus(copy)
    quantised = {node.output[0] for node in copy.graph.node if node.op_type == "QuantizeLinear"}
    zeros = {node.input[2] for node in copy.graph.node if _is_activation(node, quantised)}
    for tensor in copy.graph.initializer:
        if tensor.name in zeros and tensor.data_type == TensorProto.INT8:
            value = numpy_helper.to_array(tensor).astype(np.int16) + OFFSET
            tensor.CopyFrom(numpy_helper.from_array(value.astype(np.uint8), tensor.name))
    del copy.graph.value_info[:]  # they still say int8
    return copy


def _is_activation(node: NodeProto, quantised: set[str]) -> bool:
    return node.op_type == "QuantizeLinear" or (
        node.op_type == "DequantizeLinear" and node.input[0] in quantised
    )


def _pair_before_relus(model: ModelProto) -> None:
    """Insert a Q/DQ pair in front of every ReLU of a convolution or addition that only one QuantizeLinear
    reads."""
    readers: dict[str, list[NodeProto]] = defaultdict(list)
    for node in model.graph.node:
        for name in node.input:
            readers[name].append(node)
    maker = {name: node.op_type for node in model.graph.node for name in node.output}
    nodes = []
    for node in model.graph.node:
        behind = readers[node.output[0]]
        if (
            node.op_type == "Relu"
            and maker.get(node.input[0]) in ("Conv", "Add")
            and len(readers[node.input[0]]) == 1
            and len(behind) == 1
            and behind[0].op_type == "QuantizeLinear"
        ):
            nodes += _pair(node.input[0], behind[0])
            node.input[0] = f"{node.input[0]}_rounded"
        nodes.append(node)
    ordered = [NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del model.graph.node[:]
    model.graph.node.extend(ordered)


def _pair(name: str, like: NodeProto) -> list[NodeProto]:
    scale, zero = like.input[1], like.input[2]
    return [
        helper.make_node("QuantizeLinear", [name, scale, zero], [f"{name}_code"], f"{name}_code"),
        helper.make_node(
            "DequantizeLinear", [f"{name}_code", scale, zero], [f"{name}_rounded"], f"{name}_rounded"
        ),
    ]
