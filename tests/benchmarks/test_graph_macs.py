"""Multiply-accumulates of an engine, from its graph and from its manifest."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from benchmarks.graph_macs import engine_gmacs
from runtime.manifest import Manifest


@pytest.fixture
def transposed(tmp_path: Path) -> Path:
    """A transposed convolution 4 → 2, 3x3, stride 2, of an 8x8 image to 16x16."""
    weights = numpy_helper.from_array(np.zeros((4, 2, 3, 3), np.float32), "w")
    node = helper.make_node("ConvTranspose", ["x", "w"], ["y"], strides=[2, 2], pads=[1, 1, 1, 1],
                            output_padding=[1, 1])  # fmt: skip
    image, result = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in (("x", [1, 4, 8, 8]), ("y", [1, 2, 16, 16]))
    )
    graph = helper.make_graph([node], "g", [image], [result], [weights])
    path = tmp_path / "up.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)
    return path


def test_a_graph_is_counted_in_both_conventions(transposed: Path) -> None:
    exact, published = engine_gmacs(transposed, Manifest(transposed.name, {}, macs=7))
    assert exact == pytest.approx(8 * 8 * 4 * 2 * 9 / 1e9)
    assert published == pytest.approx(16 * 16 * 4 * 2 * 9 / 1e9)


def test_a_plan_has_what_its_manifest_says(tmp_path: Path) -> None:
    assert engine_gmacs(tmp_path / "x.plan", Manifest("x.plan", {}, macs=2_000_000_000)) == (2.0, None)
    assert engine_gmacs(tmp_path / "x.plan", Manifest("x.plan", {})) == (None, None)
