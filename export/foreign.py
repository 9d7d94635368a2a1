"""Networks that we did not train: any ONNX or TorchScript network of one image becomes a frame graph.

What the file cannot say is stated by the user: the range, colour order and layout of its images.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, version_converter
from torch import Tensor, nn

from export.frame_graph import IMAGE, FrameGraph, PixelFormat, signature_of
from export.parity import runner
from export.reach import reach_of
from export.source import Source
from export.trace import OPSET, graph_from_torchscript, quiet_torch
from runtime.errors import GraphError
from runtime.manifest import file_sha256

STRIDE = 32  # of a network that cannot be asked
NEWEST_IR = 10  # what ONNX Runtime 1.20 and TensorRT 10 read


class OnnxNetwork(nn.Module):
    """An ONNX network of one float image as a module: the reference that its frame graph must equal."""

    def __init__(self, model: onnx.ModelProto) -> None:
        super().__init__()
        constants = {tensor.name for tensor in model.graph.initializer}
        self.run = runner(model)
        self.input_name = next(port.name for port in model.graph.input if port.name not in constants)

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        outputs = self.run({self.input_name: image.contiguous().numpy()})
        return tuple(torch.from_numpy(np.array(output)) for output in outputs.values())


def foreign_onnx(path: Path, size: tuple[int, int], pixels: PixelFormat) -> Source:
    """An image → image network in ONNX as what is to be exported.

    Raises:
        GraphError: it is no ONNX file, takes more than one image, gives no image, or cannot run at `size`.
    """
    model = _load(path)
    given = _one_input(model, path)
    channels = _channels(pixels)
    _fix_shape(given, path, (channels, *size) if pixels.layout == "nchw" else (*size, channels))
    del model.graph.value_info[:]
    try:
        network = OnnxNetwork(model)
        reference = FrameGraph(network, channels, (IMAGE,) * len(model.graph.output), pixels)
        signature = signature_of(reference, size)
        about = _describe(pixels) | reach_of(reference, size, (), STRIDE)
    except GraphError:
        raise
    except Exception as error:  # ONNX Runtime raises several unrelated types
        raise GraphError(f"{path} does not run on a {size[0]}x{size[1]} image: {_first_line(error)}") from error
    return Source(model, reference, signature, "foreign", file_sha256(path), about)


def foreign_torchscript(path: Path, size: tuple[int, int], pixels: PixelFormat) -> Source:
    """An image → image network in TorchScript as what is to be exported; opening it runs no Python code of its own.

    Raises:
        GraphError: it is no TorchScript file, does not take one image, or cannot run or be exported at `size`.
    """
    if not path.is_file():
        raise GraphError(f"there is no TorchScript file {path}")
    channels = _channels(pixels)
    shape = (1, channels, *size) if pixels.layout == "nchw" else (1, *size, channels)
    try:
        with quiet_torch():
            script = torch.jit.load(path, map_location="cpu").eval()  # type: ignore[no-untyped-call]
    except Exception as error:  # several types, by torch version
        raise GraphError(
            f"{path} is not readable TorchScript ({_first_line(error)}): save it with torch.jit.save"
        ) from error
    try:
        with torch.no_grad():
            result = script(torch.zeros(shape))
    except Exception as error:  # the network's own errors
        raise GraphError(f"{path} does not run on one image of the shape {shape}: {_reason(error)}") from error
    count = 1 if isinstance(result, Tensor) else len(result)
    reference = FrameGraph(script, channels, (IMAGE,) * count, pixels)
    signature = signature_of(reference, size)
    network = graph_from_torchscript(script, torch.zeros(shape), str(path))
    about = _describe(pixels) | reach_of(reference, size, (), STRIDE)
    return Source(network, reference, signature, "foreign", file_sha256(path), about)


def _load(path: Path) -> onnx.ModelProto:
    if not path.is_file():
        raise GraphError(f"there is no graph {path}")
    try:
        model = onnx.load(path)
        onnx.checker.check_model(model)
    except Exception as error:  # protobuf and onnx raise unrelated types
        raise GraphError(f"{path} is not a readable ONNX graph ({_first_line(error)})") from error
    opset = max((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), default=0)
    if opset < OPSET:
        try:
            model = version_converter.convert_version(model, OPSET)
        except Exception as error:  # the converter's C++ side
            raise GraphError(
                f"{path} has operator set {opset}, and onnx cannot bring it to {OPSET} ({_first_line(error)}): "
                f"export it again with operator set {OPSET} or newer"
            ) from error
    model.ir_version = min(model.ir_version, NEWEST_IR)
    return model


def _one_input(model: onnx.ModelProto, path: Path) -> onnx.ValueInfoProto:
    constants = {tensor.name for tensor in model.graph.initializer}
    inputs = [port for port in model.graph.input if port.name not in constants]
    if len(inputs) != 1:
        names = ", ".join(port.name for port in inputs)
        raise GraphError(f"{path} has {len(inputs)} inputs ({names}): only networks of one image can be taken over")
    del model.graph.input[:]
    model.graph.input.extend(inputs)
    port: onnx.ValueInfoProto = model.graph.input[0]
    given = port.type.tensor_type
    if len(given.shape.dim) != 4:
        rank = len(given.shape.dim)
        raise GraphError(f"{path} takes a tensor of rank {rank}: an image is (1, C, H, W) or (1, H, W, C)")
    if given.elem_type != TensorProto.FLOAT:
        kind = TensorProto.DataType.Name(given.elem_type).lower()
        raise GraphError(f"{path} takes {kind} values: give the float32 graph, and calibration.quantize its precision")
    return port


def _fix_shape(port: onnx.ValueInfoProto, path: Path, shape: tuple[int, int, int]) -> None:
    """Fix the open axes of an input to (1, *shape)."""
    for dim, wanted in zip(port.type.tensor_type.shape.dim, (1, *shape), strict=True):
        if dim.dim_value not in (0, wanted):
            own = [int(item.dim_value) or "any" for item in port.type.tensor_type.shape.dim]
            raise GraphError(
                f"{path} takes {own}, not {[1, *shape]}: match --size, --colour (gray has one channel) and --layout"
            )
        dim.dim_value = wanted


def _channels(pixels: PixelFormat) -> int:
    return 1 if pixels.colour == "gray" else 3


def _describe(pixels: PixelFormat) -> dict[str, str]:
    return {"pixels": f"{pixels.low:g}..{pixels.high:g} {pixels.colour} {pixels.layout}"}


def _first_line(error: BaseException) -> str:
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__


def _reason(error: BaseException) -> str:
    """The last line: TorchScript puts its traceback before the cause."""
    text = str(error).strip()
    return text.splitlines()[-1] if text else type(error).__name__
