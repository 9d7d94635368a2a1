"""Puts the steps between camera frames and a bare network into the graph itself, as nodes.

The steps are those of `export.frame_graph.FrameGraph`, node for node; parity compares the two.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from export.frame_graph import PixelFormat, Signature
from export.graph_edit import fixed_tensor, set_constant
from runtime.frames import Array
from runtime.manifest import ImagePort

_TENSOR_TYPES = {"uint8": TensorProto.UINT8, "uint16": TensorProto.UINT16}
Step = tuple[str, dict[str, Array], dict[str, Any]]  # operator, constants by name, attributes


def frame_graph_from_network(
    network: onnx.ModelProto, signature: Signature, pixels: PixelFormat, returns: tuple[str, ...]
) -> onnx.ModelProto:
    """A copy of `network` whose images are frames: its first input, and every output that `returns` calls "image".

    Inputs and outputs get the names and shapes of `signature`, in its order.
    """
    model = onnx.ModelProto()
    model.CopyFrom(network)
    graph = model.graph
    _rename_ports(graph, signature)
    if signature.frame:
        _take_frames(graph, signature.frame, pixels)
    ports = {port.name: port for port in signature.translated}
    for name, kind in zip(signature.output_names, returns, strict=True):
        if kind == "image":
            _give_frames(graph, ports[name], pixels)
    _declare(graph, signature)
    _strip(model)
    return model


def _take_frames(graph: onnx.GraphProto, port: ImagePort, pixels: PixelFormat) -> None:
    """frame → Cast → Transpose → flip → centre → scale → the network. The cast comes first: TensorRT transposes no
    integers."""
    centre, scale, offset = pixels.affine
    steps: list[Step] = [("Cast", {}, {"to": TensorProto.FLOAT})]
    if pixels.layout == "nchw":
        steps.append(("Transpose", {}, {"perm": [0, 3, 1, 2]}))
    if pixels.flips(port.channels):
        steps.append(_flip(pixels))
    steps += _affine(("Sub", centre, 0.0), ("Mul", scale, 1.0), ("Add", offset, 0.0))
    nodes = _chain(graph, "to_network", steps, port.name, _inner(port.name))
    for node in reversed(nodes):
        graph.node.insert(0, node)


def _give_frames(graph: onnx.GraphProto, port: ImagePort, pixels: PixelFormat) -> None:
    """The network → scale → centre → flip → clamp → round (half to even) → Transpose → Cast → translated."""
    centre, scale, offset = pixels.affine
    steps = _affine(("Sub", offset, 0.0), ("Mul", 1 / scale, 1.0), ("Add", centre, 0.0))
    if pixels.flips(port.channels):
        steps.append(_flip(pixels))
    steps.append(("Clip", {"black": np.array(0, np.float32), "white": np.array(pixels.levels, np.float32)}, {}))
    steps.append(("Round", {}, {}))
    if pixels.layout == "nchw":
        steps.append(("Transpose", {}, {"perm": [0, 2, 3, 1]}))
    steps.append(("Cast", {}, {"to": _TENSOR_TYPES[port.dtype]}))
    stem = "to_frame" + port.name.removeprefix("translated")
    graph.node.extend(_chain(graph, stem, steps, _inner(port.name), port.name))


def _affine(*steps: tuple[str, float, float]) -> list[Step]:
    """The arithmetic steps that are not neutral: (operator, value, neutral value)."""
    return [
        (op, {op.lower(): np.array(value, np.float32)}, {}) for op, value, neutral in steps if value != neutral
    ]


def _flip(pixels: PixelFormat) -> Step:
    order = {"order": np.array([2, 1, 0], np.int64)}
    return "Gather", order, {"axis": pixels.channel_axis}


def _chain(
    graph: onnx.GraphProto, stem: str, steps: list[Step], source: str, result: str
) -> list[onnx.NodeProto]:
    nodes = []
    for index, (op, constants, attributes) in enumerate(steps):
        name = f"{stem}.{op}"
        output = result if index == len(steps) - 1 else name
        inputs = [source, *(set_constant(graph, f"{stem}.{key}", value) for key, value in constants.items())]
        nodes.append(helper.make_node(op, inputs, [output], name=name, **attributes))
        source = output
    return nodes


def _inner(port: str) -> str:
    """The float tensor behind a port."""
    return f"{port}.float"


def _rename_ports(graph: onnx.GraphProto, signature: Signature) -> None:
    images = {port.name for port in signature.translated} | ({"frame"} if signature.frame else set())
    inputs = [port for port in graph.input if port.name not in {tensor.name for tensor in graph.initializer}]
    wanted = zip((*inputs, *graph.output), (*signature.input_names, *signature.output_names), strict=True)
    names = {port.name: _inner(name) if name in images else name for port, name in wanted}
    for node in graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]


def _declare(graph: onnx.GraphProto, signature: Signature) -> None:
    frames = [signature.frame] if signature.frame else []
    ports: dict[str, tuple[str, tuple[int, ...]]] = {}
    ports |= {port.name: (port.dtype, (1, *port.shape)) for port in (*frames, *signature.translated)}
    ports |= {control.name: ("float32", control.shape) for control in signature.controls}
    ports |= {output.name: ("float32", output.shape) for output in signature.outputs}
    del graph.input[:]
    del graph.output[:]
    del graph.value_info[:]
    graph.input.extend(fixed_tensor(name, *ports[name]) for name in signature.input_names)
    graph.output.extend(fixed_tensor(name, *ports[name]) for name in signature.output_names)


def _strip(model: onnx.ModelProto) -> None:
    """Drop what exporters note for themselves: paths of the exporting machine, and what would change the hash."""
    for entry in (model, model.graph, *model.graph.node, *model.graph.initializer):
        entry.doc_string = ""
        del entry.metadata_props[:]
    model.graph.name = "frame_graph"
