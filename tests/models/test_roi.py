"""RoIAlign against a loop over its definition and against ONNX Runtime's operator; pasting against areas."""

from __future__ import annotations

import math

import numpy as np
import onnxruntime as ort
import pytest
import torch
from onnx import TensorProto, helper

from models.blocks.roi import is_box, paste, roi_align

# Inside, over edges, wholly outside, on the corner, narrower than a pixel, the whole map.
BOXES = [(3, 2, 11, 9), (-5, 4, 6, 30), (40, 40, 60, 50), (0, 0, 4, 4), (7.3, 6.1, 7.6, 11), (0, 0, 26, 18)]


def boxes_of(rows: list[tuple[float, ...]]) -> torch.Tensor:
    return torch.tensor([[(*row, 1.0) for row in rows]])


def sample(plane: np.ndarray, y: float, x: float) -> float:
    """torchvision's bilinear_interpolate, written out."""
    height, width = plane.shape
    if y < -1 or y > height or x < -1 or x > width:
        return 0.0
    y, x = min(max(y, 0), height - 1), min(max(x, 0), width - 1)
    top, left = math.floor(y), math.floor(x)
    below, right = min(top + 1, height - 1), min(left + 1, width - 1)
    dy, dx = y - top, x - left
    upper = plane[top, left] * (1 - dx) + plane[top, right] * dx
    return float(upper * (1 - dy) + (plane[below, left] * (1 - dx) + plane[below, right] * dx) * dy)


def reference(plane: np.ndarray, box: tuple[float, ...], side: int, scale: float) -> np.ndarray:
    """One plane (h, w), one box: aligned=True, sampling_ratio=2."""
    x1, y1, x2, y2 = (edge * scale - 0.5 for edge in box)
    result = np.zeros((side, side))
    for i, j, u, v in np.ndindex(side, side, 2, 2):
        y, x = y1 + (i + (u + 0.5) / 2) * (y2 - y1) / side, x1 + (j + (v + 0.5) / 2) * (x2 - x1) / side
        result[i, j] += sample(plane, y, x) / 4
    return result


@pytest.mark.parametrize(("side", "scale"), [(5, 0.5), (7, 1.0), (1, 0.25)])
def test_roi_align_is_the_definition(side: int, scale: float) -> None:
    torch.manual_seed(0)
    features = torch.randn(1, 2, 9, 13)
    found = roi_align(features, boxes_of(BOXES), side, scale)
    assert found.shape == (1, len(BOXES), 2, side, side)
    for k, box in enumerate(BOXES):
        for channel in range(2):
            wanted = reference(features[0, channel].numpy(), box, side, scale)
            np.testing.assert_allclose(found[0, k, channel], wanted, rtol=0, atol=1e-5)


def test_roi_align_equals_onnx_runtimes_operator() -> None:
    node = helper.make_node(
        "RoiAlign", ["x", "rois", "batch"], ["y"], output_height=6, output_width=6, sampling_ratio=2,
        spatial_scale=0.5, mode="avg", coordinate_transformation_mode="half_pixel",
    )  # fmt: skip
    types = {"x": ([2, 3, 9, 13], TensorProto.FLOAT), "rois": (["n", 4], TensorProto.FLOAT)}
    types |= {"batch": (["n"], TensorProto.INT64), "y": (["n", 3, 6, 6], TensorProto.FLOAT)}
    infos = {name: helper.make_tensor_value_info(name, kind, shape) for name, (shape, kind) in types.items()}
    graph = helper.make_graph([node], "g", [infos["x"], infos["rois"], infos["batch"]], [infos["y"]])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    torch.manual_seed(0)
    features, boxes = torch.randn(2, 3, 9, 13), boxes_of(BOXES).expand(2, -1, -1)
    feed = {
        "x": features.numpy(), "rois": boxes[..., :4].reshape(-1, 4).numpy(),
        "batch": np.repeat([0, 1], len(BOXES)),
    }  # fmt: skip
    wanted = torch.from_numpy(session.run(None, feed)[0])
    found = roi_align(features, boxes, 6, 0.5).flatten(0, 1)
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-5)


def test_empty_slots_and_boxes_without_area_are_absent() -> None:
    slots = torch.tensor([[[2.0, 2, 8, 8, 1], [2, 2, 8, 8, 0], [8, 2, 2, 8, 1], [3, 3, 3, 9, 1], [0, 0, 0, 0, 0]]])
    assert is_box(slots).tolist() == [[1, 0, 0, 0, 0]]
    found = roi_align(torch.ones(1, 1, 9, 9), slots, 3)
    assert found.sum(dim=(2, 3, 4)).tolist() == [[9, 0, 0, 0, 0]]
    alone = paste(torch.ones(1, 5, 1, 3, 3), slots, (9, 9))
    assert torch.equal(alone, paste(torch.ones(1, 1, 1, 3, 3), slots[:, :1], (9, 9)))


def test_a_constant_is_pasted_with_the_covered_share_of_each_pixel() -> None:
    placed = paste(torch.full((1, 1, 1, 4, 4), 2.0), boxes_of([(1.5, 2.0, 4.25, 4.0)]), (6, 6))
    rows, columns = torch.tensor([0, 0, 1, 1, 0, 0.0]), torch.tensor([0, 0.5, 1, 1, 0.25, 0])
    torch.testing.assert_close(placed[0, 0], 2 * torch.outer(rows, columns))


def test_overlapping_boxes_give_their_mean() -> None:
    maps = torch.tensor([1.0, 3.0])[None, :, None, None, None].expand(1, 2, 1, 4, 4)
    placed = paste(maps, boxes_of([(0, 0, 4, 4), (2, 0, 6, 4)]), (4, 8))[0, 0, 0]
    torch.testing.assert_close(placed, torch.tensor([1.0, 1, 2, 2, 3, 3, 0, 0]))


def test_pasting_what_was_cut_brings_a_smooth_map_back() -> None:
    ramp = torch.arange(12.0)[None, None, :, None] + 2 * torch.arange(16.0)
    box = boxes_of([(2, 2, 14, 10)])
    back = paste(roi_align(ramp, box, 8), box, (12, 16))
    # Half a bin at the edges has no neighbour to interpolate with.
    torch.testing.assert_close(back[0, 0, 3:9, 3:13], ramp[0, 0, 3:9, 3:13], rtol=0, atol=1e-4)
    assert not back[0, 0, :2].any()
    assert not back[0, 0, :, 14:].any()


def test_gradients_reach_the_features_and_the_boxes() -> None:
    features = torch.randn(1, 2, 8, 8, requires_grad=True)
    corners = torch.tensor([[[1.3, 2.1, 6.2, 6.8]]], dtype=torch.float64, requires_grad=True)

    def cut(corners: torch.Tensor) -> torch.Tensor:
        return roi_align(features.double(), torch.cat([corners, torch.ones(1, 1, 1)], 2), 3)

    assert torch.autograd.gradcheck(cut, (corners,))
    cut(corners).square().sum().backward()
    assert features.grad is not None
    assert features.grad.abs().sum() > 0
