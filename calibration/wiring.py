"""A graph as we rewrite it: who makes and who reads each tensor, and which values are constants."""

from __future__ import annotations

from collections import defaultdict

import onnx
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from runtime.frames import Array

# Per-channel scales came with operator set 13; the frame graphs of `export.onnx` have 18 or newer.
OLDEST_OPSET = 13


def prepared(model: ModelProto) -> ModelProto:
    """A copy in which every node has its own name, constants are initialisers and every tensor has a known
    type.

    The later passes depend on these three; the graph computes what it did.
    """
    copy = ModelProto()
    copy.CopyFrom(model)
    del copy.graph.value_info[:]
    kept, taken = [], set()
    for node in copy.graph.node:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            tensor = copy.graph.initializer.add()
            tensor.CopyFrom(node.attribute[0].t)
            tensor.name = node.output[0]
            continue
        name = node.name or node.output[0]
        node.name = name if name not in taken else f"{name}/{node.output[0]}"
        taken.add(node.name)
        kept.append(node)
    del copy.graph.node[:]
    copy.graph.node.extend(kept)
    return onnx.shape_inference.infer_shapes(copy, data_prop=True)


def opset(model: ModelProto) -> int:
    """Version of the standard operator set."""
    return max(int(entry.version) for entry in model.opset_import if entry.domain in ("", "ai.onnx"))


class Wiring:
    """Makers, readers, constants and types of a prepared graph's tensors, by name."""

    def __init__(self, model: ModelProto) -> None:
        graph = model.graph
        self.nodes: dict[str, NodeProto] = {node.name: node for node in graph.node}
        self.maker: dict[str, NodeProto] = {out: node for node in graph.node for out in node.output if out}
        self.readers: dict[str, list[NodeProto]] = defaultdict(list)
        for node in graph.node:
            for name in dict.fromkeys(node.input):
                self.readers[name].append(node)
        self.constants: dict[str, TensorProto] = {tensor.name: tensor for tensor in graph.initializer}
        self.outputs = {value.name for value in graph.output}
        self._values = {
            value.name: value.type.tensor_type for value in (*graph.input, *graph.value_info, *graph.output)
        }

    def is_float(self, name: str) -> bool:
        """Whether a tensor is float32."""
        if name in self.constants:
            return bool(self.constants[name].data_type == TensorProto.FLOAT)
        return name in self._values and self._values[name].elem_type == TensorProto.FLOAT

    def shape(self, name: str) -> tuple[int, ...]:
        """Dimensions of a tensor, 0 where unknown; () when nothing is known."""
        if name in self.constants:
            return tuple(self.constants[name].dims)
        if name not in self._values:
            return ()
        return tuple(dim.dim_value for dim in self._values[name].shape.dim)

    def array(self, name: str) -> Array:
        """The value of a constant."""
        return numpy_helper.to_array(self.constants[name])


def attribute(node: NodeProto, name: str, default: int) -> int:
    """An integer attribute of a node, or its default."""
    return next((int(item.i) for item in node.attribute if item.name == name), default)


def rebuilt(model: ModelProto, nodes: list[NodeProto], added: list[TensorProto]) -> ModelProto:
    """A copy of `model` with these nodes (in execution order) and further initialisers; unread constants
    dropped."""
    read = {name for node in nodes for name in node.input} | {value.name for value in model.graph.output}
    constants = [tensor for tensor in (*model.graph.initializer, *added) if tensor.name in read]
    graph = helper.make_graph(nodes, model.graph.name, model.graph.input, model.graph.output, constants)
    copy = helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)
    copy.metadata_props.extend(model.metadata_props)
    copy.functions.extend(model.functions)
    return onnx.shape_inference.infer_shapes(copy)
