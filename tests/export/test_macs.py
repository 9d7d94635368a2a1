"""Multiply-accumulates against the figures that the papers' networks are known by."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from export.macs import Macs, count_macs
from export.trace import graph_from_module
from models.registry import build_system


def macs_of(network: nn.Module) -> Macs:
    return count_macs(graph_from_module(network, (torch.zeros(1, 3, 256, 256),), ("x",), ("y",)))


def in_giga(macs: Macs) -> tuple[float, float]:
    return round(macs.exact / 1e9, 2), round(macs.published / 1e9, 2)


def test_resnet_9_and_the_convention_of_the_literature() -> None:
    system = build_system("cyclegan", {"generator": "resnet9"})
    part = next(iter(system.deployables().values()))
    assert in_giga(macs_of(part.module)) == (49.55, 56.80)


def test_unet_256_and_the_convention_of_the_literature() -> None:
    system = build_system("pix2pix", {"generator": "unet256"})
    part = next(iter(system.deployables().values()))
    assert in_giga(macs_of(part.module)) == (6.05, 18.14)


@pytest.mark.parametrize(("trans_a", "trans_b"), [(0, 0), (1, 0), (0, 1)])
def test_a_matrix_product_counts_its_inner_length(trans_a: int, trans_b: int) -> None:
    a = helper.make_tensor_value_info("a", TensorProto.FLOAT, [7, 5] if trans_a else [5, 7])
    b = numpy_helper.from_array(np.ones((11, 7) if trans_b else (7, 11), np.float32), "b")
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [5, 11])
    node = helper.make_node("Gemm", ["a", "b"], ["y"], transA=trans_a, transB=trans_b)
    assert count_macs(helper.make_model(helper.make_graph([node], "g", [a], [y], [b]))) == Macs(385, 385)


def test_groups_divide_and_strides_of_transposed_convolutions_separate_the_conventions() -> None:
    network = nn.Sequential(nn.Conv2d(4, 8, 3, padding=1, groups=2), nn.ConvTranspose2d(8, 6, 4, 2, 1, groups=2))
    graph = graph_from_module(network, (torch.zeros(1, 4, 10, 12),), ("x",), ("y",))
    convolution = 8 * 2 * 9 * 120
    assert count_macs(graph) == Macs(convolution + 8 * 3 * 16 * 120, convolution + 8 * 3 * 16 * 480)


def test_an_open_shape_is_told() -> None:
    a = helper.make_tensor_value_info("a", TensorProto.FLOAT, ["n", 7])
    b = numpy_helper.from_array(np.ones((7, 3), np.float32), "b")
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 3])
    model = helper.make_model(helper.make_graph([helper.make_node("MatMul", ["a", "b"], ["y"])], "g", [a], [y], [b]))
    onnx.checker.check_model(model)
    with pytest.raises(ValueError, match="not fixed"):
        count_macs(model)
