"""Small frame graphs, made with onnx.helper: uint8 in, uint8 out, as `export.onnx` writes them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

from export.tensorrt import PlanSpec, build_plan
from runtime.manifest import Control, ImagePort, Manifest, file_sha256, write_manifest

SIZE = 48


class GraphBuilder:
    """Adds nodes one by one; a call returns the name of the node's output."""

    def __init__(self, seed: int = 0) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.rng = np.random.default_rng(seed)

    def constant(self, value: Any, dtype: Any = np.float32) -> str:
        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def add(self, operator: str, *inputs: str, name: str = "", **attributes: Any) -> str:
        output = name or f"{operator.lower()}_{len(self.nodes)}"
        self.nodes.append(
            helper.make_node(operator, list(inputs), [output], name or f"{output}_node", **attributes)
        )
        return output

    def picture(self) -> str:
        """`frame` as (1, C, H, W) in [-1, 1]."""
        planes = self.add("Transpose", self.add("Cast", "frame", to=TensorProto.FLOAT), perm=[0, 3, 1, 2])
        return self.add("Sub", self.add("Mul", planes, self.constant(1 / 127.5)), self.constant(1.0))

    def conv(
        self,
        source: str,
        shape: tuple[int, int, int],
        stride: int = 1,
        name: str = "",
        gain: float = 1.4,
        operator: str = "Conv",
    ) -> str:
        """A convolution of random weights; `shape` is (in, out, kernel)."""
        inputs, outputs, kernel = shape
        size = (outputs, inputs, kernel, kernel) if operator == "Conv" else (inputs, outputs, kernel, kernel)
        weight = self.rng.standard_normal(size) * gain / np.sqrt(inputs * kernel * kernel)
        bias = self.constant(0.1 * self.rng.standard_normal(outputs))
        pad = (kernel - stride + 1) // 2
        return self.add(
            operator,
            source,
            self.constant(weight),
            bias,
            name=name,
            kernel_shape=[kernel, kernel],
            strides=[stride, stride],
            pads=[pad] * 4,
        )

    def finish(self, source: str, controls: tuple[Control, ...] = ()) -> ModelProto:
        """[-1, 1] → `translated`; the graph, checked."""
        scaled = self.add("Mul", self.add("Add", source, self.constant(1.0)), self.constant(127.5))
        clipped = self.add("Clip", self.add("Round", scaled), self.constant(0.0), self.constant(255.0))
        self.add(
            "Cast", self.add("Transpose", clipped, perm=[0, 2, 3, 1]), to=TensorProto.UINT8, name="translated"
        )
        port = [1, SIZE, SIZE, 3]
        inputs = [helper.make_tensor_value_info("frame", TensorProto.UINT8, port)]
        inputs += [helper.make_tensor_value_info(c.name, TensorProto.FLOAT, c.shape) for c in controls]
        outputs = [helper.make_tensor_value_info("translated", TensorProto.UINT8, port)]
        graph = helper.make_graph(self.nodes, "generator", inputs, outputs, self.constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
        onnx.checker.check_model(model, full_check=True)
        return model


@pytest.fixture
def builder() -> GraphBuilder:
    return GraphBuilder()


@pytest.fixture
def generator(builder: GraphBuilder) -> ModelProto:
    """Stem, two residual blocks, an instance norm, a transposed convolution and a pixel shuffle."""
    g, c = builder, 16
    x = g.add("Relu", g.conv(g.picture(), (3, c, 4), 4, "stem"))
    for block in range(2):
        y = g.add("Relu", g.conv(x, (c, c, 3), 1, f"block{block}a"))
        x = g.add(
            "Relu", g.add("Add", g.conv(y, (c, c, 3), 1, f"block{block}b", 0.5), x, name=f"block{block}sum")
        )
    y = g.conv(x, (c, c, 3), 1, "before_norm")
    ones, zeros = g.constant(np.ones(c)), g.constant(np.zeros(c))
    x = g.add("Relu", g.add("InstanceNormalization", y, ones, zeros, name="norm"))
    x = g.add("Relu", g.conv(x, (c, c, 4), 2, "up", operator="ConvTranspose"))
    x = g.add("Relu", g.conv(x, (c, c, 3), 1, "behind"))
    x = g.add("DepthToSpace", g.conv(x, (c, 12, 3), 1, "head", 0.5), blocksize=2, mode="CRD")
    return g.finish(g.add("Tanh", x))


@pytest.fixture
def put_graph(tmp_path: Path) -> Callable[..., Path]:
    """`put_graph(model, **manifest fields)`: the graph with its manifest, as `export.onnx` leaves them."""

    def put(model: ModelProto, **fields: Any) -> Path:
        path = tmp_path / "graph.onnx"
        onnx.save(model, path)
        port = ImagePort("frame", SIZE, SIZE, 3)
        manifest = Manifest(
            file=path.name,
            sha256={"engine": file_sha256(path), "checkpoint": "c"},
            frame=port,
            translated=(ImagePort("translated", SIZE, SIZE, 3),),
            parity={"largest": 1},
            **fields,
        )
        write_manifest(manifest, path)
        return path

    return put


@pytest.fixture(scope="session")
def photos(shared_data: Path) -> Path:
    """A folder of real pictures, 256×256 colour."""
    return shared_data / "cats_dogs" / "testA"


@pytest.fixture
def write_frames(tmp_path: Path) -> Callable[..., Path]:
    """`write_frames(frames)`: a folder of PNG files."""

    def write(frames: list[Any], folder: str = "frames") -> Path:
        where = tmp_path / folder
        where.mkdir()
        for index, frame in enumerate(frames):
            cv2.imwrite(str(where / f"{index:03}.png"), frame)
        return where

    return write


@pytest.fixture
def plan_size(tmp_path: Path) -> Callable[[ModelProto, str], int]:
    """Bytes of the plan that TensorRT-RTX really builds of a graph."""
    pytest.importorskip("tensorrt_rtx_bindings")

    def size(model: ModelProto, precision: str) -> int:
        path = tmp_path / "to_build.onnx"
        onnx.save(model, path)
        return len(build_plan(path, precision, PlanSpec("tensorrt-rtx", ("sm86",))).plan)

    return size
