"""Small frame graphs of every kind of layer that generators have: uint8 (1, H, W, C) in, the same out.

Each is made in fp32 or in fp16 (casts in the graph, normalisation statistics in fp32); `quantised` makes INT8 of the
fp32 one, with explicit symmetric Q/DQ.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from runtime.manifest import Control, ImagePort, Manifest, file_sha256, write_manifest

SIZE = 32
STYLE = 8
CHANNELS = 16
_TYPES = {"float32": TensorProto.FLOAT, "float16": TensorProto.FLOAT16}


class Drawing:
    """A graph while it is drawn: `x = d.conv(x, 3, 16)` adds nodes and returns the name of what they compute."""

    def __init__(self, dtype: str, image: str = "uint8", size: int = SIZE) -> None:
        self.dtype, self.image, self.size = dtype, image, size
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.inputs = [("frame", image, (1, size, size, 3))]
        self.random = np.random.default_rng(7)

    def add(self, op: str, *inputs: str, **attributes: Any) -> str:
        name = f"{op.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, list(inputs), [name], name=name, **attributes))
        return name

    def constant(self, value: Any, dtype: str | None = None) -> str:
        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value, dtype or self.dtype), name))
        return name

    def cast(self, x: str, dtype: str) -> str:
        return self.add("Cast", x, to=helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))

    def start(self) -> str:
        """Cast first: TensorRT refuses to transpose uint8."""
        x = self.add("Transpose", self.cast("frame", "float32"), perm=[0, 3, 1, 2])
        scale = 32767.5 if self.image == "uint16" else 127.5
        x = self.add("Div", self.add("Sub", x, self.constant(scale, "float32")), self.constant(scale, "float32"))
        return x if self.dtype == "float32" else self.cast(x, self.dtype)

    def conv(self, x: str, c_in: int, c_out: int, stride: int = 1, pad: int = 1) -> str:
        weight = self.random.normal(0, 1 / np.sqrt(9 * c_in), (c_out, c_in, 3, 3))
        bias = self.random.normal(0, 0.05, c_out)
        inputs = (x, self.constant(weight), self.constant(bias))
        return self.add("Conv", *inputs, pads=[pad] * 4, strides=[stride] * 2, kernel_shape=[3, 3])

    def relu(self, x: str) -> str:
        return self.add("Relu", x)

    def fp32(self, op: str, x: str, *inputs: str, **attributes: Any) -> str:
        """A normalisation in fp32, whatever stands around it."""
        y = self.add(op, x if self.dtype == "float32" else self.cast(x, "float32"), *inputs, **attributes)
        return y if self.dtype == "float32" else self.cast(y, self.dtype)

    def finish(self, x: str) -> onnx.ModelProto:
        """From 3 channels in about [-1, 1] to the image; build and check the model."""
        x = x if self.dtype == "float32" else self.cast(x, "float32")
        low, high = (0, 65535) if self.image == "uint16" else (0, 255)
        scale = self.constant((high - low) / 2, "float32")
        x = self.add("Add", self.add("Mul", x, scale), scale)
        x = self.add("Transpose", x, perm=[0, 2, 3, 1])
        x = self.add("Clip", self.add("Round", x), self.constant(low, "float32"), self.constant(high, "float32"))
        kinds = {"uint8": TensorProto.UINT8, "uint16": TensorProto.UINT16, "float32": TensorProto.FLOAT}
        self.nodes.append(helper.make_node("Cast", [x], ["translated"], to=kinds[self.image]))
        graph = helper.make_graph(
            self.nodes, "frame_graph",
            [helper.make_tensor_value_info(name, kinds[dtype], shape) for name, dtype, shape in self.inputs],
            [helper.make_tensor_value_info("translated", kinds[self.image], (1, self.size, self.size, 3))],
            self.constants,
        )  # fmt: skip
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
        onnx.checker.check_model(model, full_check=True)
        return model


def plain_conv(dtype: str) -> onnx.ModelProto:
    """Two convolutions and a residual."""
    d = Drawing(dtype)
    x = d.relu(d.conv(d.start(), 3, CHANNELS))
    x = d.add("Add", d.conv(d.relu(d.conv(x, CHANNELS, CHANNELS)), CHANNELS, CHANNELS), x)
    return d.finish(d.conv(x, CHANNELS, 3))


def instance_norm(dtype: str) -> onnx.ModelProto:
    """The normalisation of CycleGAN."""
    d = Drawing(dtype)
    x = d.conv(d.start(), 3, CHANNELS)
    ones, zeros = d.constant(np.ones(CHANNELS), "float32"), d.constant(np.zeros(CHANNELS), "float32")
    return d.finish(d.conv(d.relu(d.fp32("InstanceNormalization", x, ones, zeros)), CHANNELS, 3))


def transposed_conv(dtype: str) -> onnx.ModelProto:
    """The up-sampling of CycleGAN."""
    d = Drawing(dtype)
    x = d.relu(d.conv(d.start(), 3, CHANNELS, stride=2))
    weight = d.constant(d.random.normal(0, 0.1, (CHANNELS, CHANNELS, 4, 4)))
    x = d.relu(d.add("ConvTranspose", x, weight, strides=[2, 2], pads=[1] * 4, kernel_shape=[4, 4]))
    return d.finish(d.conv(x, CHANNELS, 3))


def pixel_shuffle(dtype: str) -> onnx.ModelProto:
    """The head of the compact generator."""
    d = Drawing(dtype)
    x = d.relu(d.conv(d.start(), 3, CHANNELS, stride=2))
    return d.finish(d.add("DepthToSpace", d.conv(x, CHANNELS, 12), blocksize=2, mode="CRD"))


def reflect_pad(dtype: str) -> onnx.ModelProto:
    """Reflection padding around unpadded convolutions."""
    d = Drawing(dtype)
    pads = d.constant([0, 0, 1, 1, 0, 0, 1, 1], "int64")
    x = d.relu(d.conv(d.add("Pad", d.start(), pads, mode="reflect"), 3, CHANNELS, pad=0))
    return d.finish(d.conv(d.add("Pad", x, pads, mode="reflect"), CHANNELS, 3, pad=0))


def adain(dtype: str) -> onnx.ModelProto:
    """Adaptive instance normalisation by a style vector, which is a control of the engine."""
    d = Drawing(dtype)
    d.inputs.append(("style", "float32", (1, STYLE)))
    style = "style" if dtype == "float32" else d.cast("style", dtype)
    x = d.conv(d.start(), 3, CHANNELS)
    ones, zeros = d.constant(np.ones(CHANNELS), "float32"), d.constant(np.zeros(CHANNELS), "float32")
    x = d.fp32("InstanceNormalization", x, ones, zeros)
    for op in ("Mul", "Add"):
        weight = d.constant(d.random.normal(0, 0.3, (STYLE, CHANNELS)))
        factor = d.add("Reshape", d.add("MatMul", style, weight), d.constant([1, CHANNELS, 1, 1], "int64"))
        x = d.add(op, x, factor)
    return d.finish(d.conv(d.relu(x), CHANNELS, 3))


GRAPHS: dict[str, Callable[[str], onnx.ModelProto]] = {
    "plain_conv": plain_conv,
    "instance_norm": instance_norm,
    "transposed_conv": transposed_conv,
    "pixel_shuffle": pixel_shuffle,
    "reflect_pad": reflect_pad,
    "adain": adain,
}


def sixteen_bit() -> onnx.ModelProto:
    """uint16 in and out, as in radiology."""
    d = Drawing("float32", image="uint16")
    return d.finish(d.conv(d.relu(d.conv(d.start(), 3, CHANNELS)), CHANNELS, 3))


def random_inputs(model: onnx.ModelProto, seed: int) -> dict[str, NDArray[Any]]:
    """A frame of smooth noise, and normal controls."""
    random = np.random.default_rng(seed)
    found: dict[str, NDArray[Any]] = {}
    for port in model.graph.input:
        shape = tuple(size.dim_value for size in port.type.tensor_type.shape.dim)
        dtype = np.dtype(helper.tensor_dtype_to_np_dtype(port.type.tensor_type.elem_type))
        if dtype.kind == "u":
            found[port.name] = random.integers(0, np.iinfo(dtype).max, shape).astype(dtype)
        else:
            found[port.name] = random.normal(size=shape).astype(dtype)
    return found


class _Frames(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, model: onnx.ModelProto) -> None:
        self._items: Iterator[dict[str, NDArray[Any]]] = iter([random_inputs(model, seed) for seed in range(8)])

    def get_next(self) -> dict[str, NDArray[Any]] | None:
        return next(self._items, None)


def quantised(model: onnx.ModelProto) -> onnx.ModelProto:
    """INT8 as TensorRT takes it: symmetric activations, per-channel weights, no quantised bias.

    Weights have 7 bits, which CPUs without VNNI sum without overflow.
    """
    options = {"ActivationSymmetric": True, "WeightSymmetric": True, "QuantizeBias": False}
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "int8.onnx"
        quantize_static(
            model, target, _Frames(model),
            quant_format=QuantFormat.QDQ, op_types_to_quantize=["Conv"], per_channel=True, reduce_range=True,
            activation_type=QuantType.QInt8, weight_type=QuantType.QInt8, extra_options=options,
        )  # fmt: skip
        return onnx.load(target)


def in_precision(name: str, precision: str) -> onnx.ModelProto:
    """The graph `name` in "fp32", "fp16" or "int8"; a copy, which the test may change."""
    return onnx.load_model_from_string(_serialized(name, precision))


@cache
def _serialized(name: str, precision: str) -> bytes:
    model = GRAPHS[name]("float16" if precision == "fp16" else "float32")
    content: bytes = (quantised(model) if precision == "int8" else model).SerializeToString()
    return content


def save(model: onnx.ModelProto, path: Path, precision: str = "fp32", **fields: Any) -> Manifest:
    """Write the graph and the manifest that export and calibration would have written."""
    onnx.save(model, path)
    dtype = "uint16" if model.graph.input[0].type.tensor_type.elem_type == TensorProto.UINT16 else "uint8"
    styled = any(port.name == "style" for port in model.graph.input)
    manifest = Manifest(
        file=path.name,
        sha256={"engine": file_sha256(path)} | fields.pop("sha256", {}),
        frame=ImagePort("frame", SIZE, SIZE, 3, dtype),
        translated=(ImagePort("translated", SIZE, SIZE, 3, dtype),),
        controls=(Control("style", "style", (1, STYLE), distribution="normal"),) if styled else (),
        precision=precision,
        **fields,
    )
    write_manifest(manifest, path)
    return manifest
