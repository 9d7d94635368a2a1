"""FP16 in the graph: casts around the layers that gain from it; everything delicate stays FP32.

FP16 holds ±65504 with 11 bits. So these stay FP32: normalisations, reductions, powers, exponentials (a
variance of inputs of ±256 already overflows), what was measured near the limit, what leads to nothing but a
comparison (a threshold turns the last bit into a whole level), and the frame's own arithmetic before the first
and behind the last layer, whose 8 or 16 bits deserve all of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from calibration.methods import Histogram
from calibration.wiring import Wiring, rebuilt

LARGEST = 65504.0
# A tensor measured beyond this share of the largest FP16 number stays FP32: other frames may go further.
HEADROOM = 0.25

LAYERS = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})
# Operators that are safe in FP16 where they stand between layers.
BETWEEN = frozenset(
    {
        "Add",
        "Sub",
        "Mul",
        "Min",
        "Max",
        "Neg",
        "Abs",
        "Relu",
        "LeakyRelu",
        "PRelu",
        "Elu",
        "Selu",
        "Sigmoid",
        "HardSigmoid",
        "HardSwish",
        "Tanh",
        "Clip",
        "Pad",
        "Concat",
        "Slice",
        "Split",
        "Transpose",
        "Reshape",
        "Flatten",
        "Squeeze",
        "Unsqueeze",
        "Expand",
        "Tile",
        "Gather",
        "Identity",
        "DepthToSpace",
        "SpaceToDepth",
        "Resize",
        "MaxPool",
        "Where",
    }
)
COMPARISONS = frozenset({"Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Equal"})
# A module of this name holds what must never be lowered, such as coordinates; nodes are named after their modules.
EXACT = "fp32"
# Inputs that the operator wants in FP32 whatever its data are.
ALWAYS_FP32 = {"Resize": frozenset({1, 2})}


def layers(model: ModelProto) -> list[str]:
    """Names of the layers of a prepared graph, in execution order."""
    return [node.name for node in model.graph.node if node.op_type in LAYERS]


def safe_nodes(model: ModelProto, magnitudes: Mapping[str, Histogram]) -> list[str]:
    """Nodes of a prepared graph that may be FP16: layers, and what stands between them, with measured
    headroom."""
    wiring = Wiring(model)
    behind, ahead = _reach(model, wiring)
    compared = _compared(model, wiring)
    return [
        node.name
        for node in model.graph.node
        if (
            node.op_type in LAYERS or (node.op_type in BETWEEN and node.name in behind and node.name in ahead)
        )
        and EXACT not in node.name.split(".")
        and node.name not in compared
        and _has_headroom(wiring, node, magnitudes)
    ]


def measured_tensors(model: ModelProto) -> list[str]:
    """Tensors whose magnitude decides: the float inputs and outputs of layers and of what stands between
    them."""
    wiring = Wiring(model)
    names = [
        name
        for node in model.graph.node
        if node.op_type in LAYERS | BETWEEN
        for name in (*node.input, *node.output)
    ]
    return [name for name in dict.fromkeys(names) if name in wiring.maker and wiring.is_float(name)]


def cast_nodes(model: ModelProto, wanted: Iterable[str]) -> ModelProto:
    """The prepared graph with these nodes computing in FP16; casts stand only where the precision changes."""
    wiring, chosen = Wiring(model), set(wanted)
    nodes: list[NodeProto] = []
    added: list[TensorProto] = []
    half: dict[str, str] = {}  # float32 name → its FP16 twin
    single = {*wiring.maker, *wiring.constants, *(value.name for value in model.graph.input)}  # exist in FP32
    for original in model.graph.node:
        node = NodeProto()
        node.CopyFrom(original)
        if node.name in chosen:
            always = ALWAYS_FP32.get(node.op_type, frozenset())
            for index, name in enumerate(node.input):
                if wiring.is_float(name) and index not in always:
                    if name not in half:
                        half[name] = _narrow(name, wiring, nodes, added)
                    node.input[index] = half[name]
            for index, name in enumerate(node.output):
                if wiring.is_float(name):
                    half[name] = node.output[index] = f"{name}_fp16"
                    single.discard(name)
        else:
            _widen([name for name in node.input if name in half], single, nodes)
        nodes.append(node)
    _widen([value.name for value in model.graph.output if value.name in half], single, nodes)
    return rebuilt(model, nodes, added)


def emulated(model: ModelProto) -> ModelProto:
    """The same graph with every FP16 node computed in FP32 and its result rounded to FP16, as a device does
    it.

    ONNX Runtime has no FP16 convolutions on the CPU: it computes them in FP32 *and drops the rounding
    between them*, so an overflow would never show. Explicit casts are kept.
    """
    typed = rebuilt(model, list(model.graph.node), [])
    types = {value.name: value.type.tensor_type.elem_type for value in typed.graph.value_info}
    types |= {tensor.name: tensor.data_type for tensor in typed.graph.initializer}
    nodes: list[NodeProto] = []
    wide: dict[str, str] = {}
    for original in typed.graph.node:
        node = NodeProto()
        node.CopyFrom(original)
        if node.op_type != "Cast":
            for index, name in enumerate(node.input):
                if types.get(name) == TensorProto.FLOAT16:
                    if name not in wide:
                        wide[name] = f"{name}_wide"
                        nodes.append(_cast(name, wide[name], TensorProto.FLOAT))
                    node.input[index] = wide[name]
            rounded = [name for name in node.output if types.get(name) == TensorProto.FLOAT16]
            node.output[:] = [f"{name}_exact" if name in rounded else name for name in node.output]
            nodes += [node, *(_cast(f"{name}_exact", name, TensorProto.FLOAT16) for name in rounded)]
        else:
            nodes.append(node)
    return rebuilt(typed, nodes, [])


def _reach(model: ModelProto, wiring: Wiring) -> tuple[set[str], set[str]]:
    """Names of the nodes behind some layer, and of those ahead of some layer."""
    behind: set[str] = set()
    for node in model.graph.node:
        makers = [wiring.maker[name] for name in node.input if name in wiring.maker]
        if any(maker.op_type in LAYERS or maker.name in behind for maker in makers):
            behind.add(node.name)
    ahead: set[str] = set()
    for node in reversed(model.graph.node):
        readers = [reader for name in node.output for reader in wiring.readers[name]]
        if any(reader.op_type in LAYERS or reader.name in ahead for reader in readers):
            ahead.add(node.name)
    return behind, ahead


def _compared(model: ModelProto, wiring: Wiring) -> set[str]:
    """Names of the nodes whose values are read by nothing but comparisons, directly or through such nodes."""
    found: set[str] = set()
    outputs = {value.name for value in model.graph.output}
    for node in reversed(model.graph.node):
        readers = [reader for name in node.output for reader in wiring.readers[name]]
        inner = outputs.isdisjoint(node.output) and readers
        if inner and all(reader.op_type in COMPARISONS or reader.name in found for reader in readers):
            found.add(node.name)
    return found


def _has_headroom(wiring: Wiring, node: NodeProto, magnitudes: Mapping[str, Histogram]) -> bool:
    constants = [
        wiring.array(name) for name in node.input if name in wiring.constants and wiring.is_float(name)
    ]
    measured = [magnitudes[name].largest for name in (*node.input, *node.output) if name in magnitudes]
    largest = [float(np.abs(value).max(initial=0.0)) for value in constants if np.isfinite(value).all()]
    return max([*measured, *largest], default=0.0) <= HEADROOM * LARGEST


def _narrow(name: str, wiring: Wiring, nodes: list[NodeProto], added: list[TensorProto]) -> str:
    twin = f"{name}_fp16"
    if name in wiring.constants:
        with np.errstate(over="ignore"):  # an open bound of a Clip becomes infinite, as meant
            added.append(numpy_helper.from_array(wiring.array(name).astype(np.float16), twin))
    else:
        nodes.append(_cast(name, twin, TensorProto.FLOAT16))
    return twin


def _widen(names: list[str], single: set[str], nodes: list[NodeProto]) -> None:
    """Cast back to FP32 what exists only in FP16."""
    for name in dict.fromkeys(names):
        if name not in single:
            nodes.append(_cast(f"{name}_fp16", name, TensorProto.FLOAT))
            single.add(name)


def _cast(source: str, target: str, to: int) -> NodeProto:
    return helper.make_node("Cast", [source], [target], f"{target}_cast", to=to)
