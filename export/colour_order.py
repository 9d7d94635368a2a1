"""Moves the exchange of blue and red out of the graph and into the weights of the convolutions beside it.

Frames are BGR, most networks were trained on RGB. Reordering a convolution's channels is exact, so the two Gather nodes
of a frame graph cost nothing wherever only channel-wise steps lie between them and a convolution.
"""

from __future__ import annotations

import numpy as np
from onnx import ModelProto, NodeProto

from calibration.wiring import Wiring, attribute, prepared, rebuilt
from export.graph_edit import rename_nodes, set_constant
from runtime.frames import Array

_FLIP = np.array([2, 1, 0])
_POINTWISE = {"Relu", "LeakyRelu", "Tanh", "Sigmoid", "Clip", "Round", "Mul", "Add", "Sub", "Div"}
_TWO_OPERANDS = {"Add", "Sub", "Mul", "Div"}


def fold_flips(model: ModelProto) -> ModelProto:
    """A copy, equal to the last bit but for the order of sums, without the flips that weights can absorb."""
    model = prepared(model)
    for name in [node.name for node in model.graph.node if _is_flip(node, Wiring(model))]:
        while _delay(model, name):
            pass
        _give_to_readers(model, name)
        flip = Wiring(model).nodes[name]
        if _can_absorb(flip.input[0], Wiring(model)):
            _replace(model, flip.output[0], _absorb(model, flip.input[0], _FLIP))
    model = rebuilt(model, _needed(model), [])
    rename_nodes(model.graph, {node.name: node.name for node in model.graph.node})
    return prepared(model)


def _is_flip(node: NodeProto, wiring: Wiring) -> bool:
    if node.op_type != "Gather" or attribute(node, "axis", 0) != 1 or node.input[1] not in wiring.constants:
        return False
    return bool(np.array_equal(wiring.array(node.input[1]), _FLIP))


def _delay(model: ModelProto, name: str) -> bool:
    """Let the flip change places with the pointwise step that alone reads it; False when there is none."""
    wiring = Wiring(model)
    flip = wiring.nodes[name]
    between = flip.output[0]
    readers = wiring.readers[between]
    if len(readers) != 1 or not _is_uniform(readers[0], wiring) or readers[0].output[0] in wiring.outputs:
        return False
    step = readers[0]
    flip.input[0], step.input[0] = between, flip.input[0]
    flip.output[0], step.output[0] = step.output[0], between
    swapped = {flip.name: step, step.name: flip}
    order = [_copy(swapped.get(node.name, node)) for node in model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(order)
    return True


def _is_uniform(node: NodeProto, wiring: Wiring) -> bool:
    """Whether a node of one computed input treats all channels alike and leaves them in place."""
    constants = [name for name in node.input[1:] if name]
    if node.input[0] in wiring.constants or any(name not in wiring.constants for name in constants):
        return False
    if node.op_type == "Pad":
        pads = wiring.array(node.input[1]).reshape(2, -1) if len(node.input) <= 3 else np.ones((2, 2))
        return not pads[:, :2].any()
    return node.op_type in _POINTWISE and all(wiring.array(name).size == 1 for name in constants)


def _give_to_readers(model: ModelProto, name: str) -> None:
    """Let the convolutions that read the flip, straight or through a Pad of their own, read what it flips."""
    wiring = Wiring(model)
    flip = wiring.nodes[name]
    for reader in wiring.readers[flip.output[0]]:
        last = reader
        if reader.op_type == "Pad" and _is_uniform(reader, wiring) and len(wiring.readers[reader.output[0]]) == 1:
            last = wiring.readers[reader.output[0]][0]
        if last.op_type != "Conv" or not _has_plain_weights(last, wiring):
            continue
        reader.input[0] = flip.input[0]
        weight = wiring.array(last.input[1])
        last.input[1] = set_constant(model.graph, f"{last.input[1]}.bgr", weight[:, _FLIP])


def _has_plain_weights(node: NodeProto, wiring: Wiring) -> bool:
    return attribute(node, "group", 1) == 1 and all(name in wiring.constants for name in node.input[1:])


def _can_absorb(name: str, wiring: Wiring) -> bool:
    """Whether everything that makes `name` can give its channels in another order."""
    node = wiring.maker.get(name)
    if node is None:
        return False
    if _is_flip(node, wiring):
        return True
    if name in wiring.outputs or len(wiring.readers[name]) != 1:
        return False
    if node.op_type in ("Conv", "ConvTranspose"):
        return _has_plain_weights(node, wiring)
    if node.op_type in ("InstanceNormalization", "DepthToSpace") or _is_uniform(node, wiring):
        return all(key in wiring.constants for key in node.input[1:]) and _can_absorb(node.input[0], wiring)
    same = len({wiring.shape(key) for key in node.input}) == 1
    return node.op_type in _TWO_OPERANDS and same and all(_can_absorb(key, wiring) for key in node.input)


def _absorb(model: ModelProto, name: str, order: Array) -> str:
    """Reorder the channels of `name` where they are made; returns the tensor that then has them in `order`."""
    wiring = Wiring(model)
    node = wiring.maker[name]
    if _is_flip(node, wiring):  # flipping twice is nothing
        return str(node.input[0])
    if node.op_type in ("Conv", "ConvTranspose"):
        axes = [1 if node.op_type == "ConvTranspose" else 0, 0]
        _reorder_constants(model, node, order, axes)
        return name
    if node.op_type == "InstanceNormalization":
        _reorder_constants(model, node, order, [0, 0])
    if node.op_type == "DepthToSpace":
        order = _before_shuffle(node, order)
    for index, key in enumerate(node.input):
        if key in wiring.maker:  # constants were reordered above, and treat channels alike otherwise
            node.input[index] = _absorb(model, key, order)
    return name


def _reorder_constants(model: ModelProto, node: NodeProto, order: Array, axes: list[int]) -> None:
    wiring = Wiring(model)
    for index, axis in enumerate(axes[: len(node.input) - 1], start=1):
        value = wiring.array(node.input[index])
        node.input[index] = set_constant(model.graph, f"{node.input[index]}.rgb", value.take(order, axis))


def _before_shuffle(node: NodeProto, order: Array) -> Array:
    """The order of the channels that a pixel shuffle spreads over its sub-pixels."""
    subpixels = np.arange(attribute(node, "blocksize", 1) ** 2)
    mode = next((item.s for item in node.attribute if item.name == "mode"), b"DCR")
    if mode == b"CRD":
        return (order[:, None] * subpixels.size + subpixels).reshape(-1)
    return (subpixels[:, None] * order.size + order).reshape(-1)


def _replace(model: ModelProto, old: str, new: str) -> None:
    for node in model.graph.node:
        node.input[:] = [new if name == old else name for name in node.input]


def _needed(model: ModelProto) -> list[NodeProto]:
    """The nodes that an output depends on, in order."""
    wanted = {port.name for port in model.graph.output}
    kept = []
    for node in reversed(model.graph.node):
        if wanted & set(node.output):
            wanted |= set(node.input)
            kept.append(node)
    return kept[::-1]


def _copy(node: NodeProto) -> NodeProto:
    copy = NodeProto()
    copy.CopyFrom(node)
    return copy
