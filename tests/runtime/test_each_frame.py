"""Controls that are another for every frame: detectors, and files with the frames' names."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from runtime.control_board import ControlBoard
from runtime.controls import Surroundings
from runtime.errors import ControlError
from runtime.images import read_image
from runtime.manifest import Control, ImagePort, Manifest, Output

PORT = ImagePort("frame", 16, 24, 3)
BOXES = Control("boxes", "boxes", (1, 2, 5))
MASKS = Control("masks", "mask", (1, 2, 16, 24), -1, 1)
STYLE = Control("style", "style", (1, 2), -1, 1)
GIVES = (Output("mask", "mask", MASKS.shape),)
INSTANCES = Manifest("g.onnx", {}, frame=PORT, translated=(PORT,), controls=(BOXES, MASKS, STYLE), outputs=GIVES)

FINDER = """
import numpy as np

def bright(frame):
    rows, columns = np.nonzero(frame.max(axis=2) > 128)
    return [] if not len(rows) else [[columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]]

def cut(frame):
    return np.stack([frame[..., 0] > 128, frame[..., 1] > 128])

def tone(frame):
    return [frame.mean() / 255, -0.5]

def crash(frame):
    return frame[999]

def flat(frame):
    return [1.0, 2.0, 3.0]

broken = 3
"""


@pytest.fixture
def finder(tmp_path: Path) -> Path:
    path = tmp_path / "finder.py"
    path.write_text(FINDER)
    return path


def board(assignment: str, fit: str = "stretch", files: bool = True) -> ControlBoard:
    return ControlBoard(INSTANCES.controls, [assignment], Surroundings(INSTANCES, None, fit, files=files))


def picture(top: int, left: int, size: tuple[int, int] = (16, 24)) -> np.ndarray:
    """Black, with a bright square of 4 pixels."""
    frame = np.zeros((*size, 3), np.uint8)
    frame[top : top + 4, left : left + 4] = 255
    return frame


def test_a_detector_finds_boxes_in_every_frame(finder: Path) -> None:
    detecting = board(f"boxes=call:{finder}:bright")
    for top, left in ((0, 0), (12, 20), (5, 7)):
        found = detecting.values(picture(top, left))["boxes"]
        np.testing.assert_array_equal(found, [[[left, top, left + 4, top + 4, 1], [0] * 5]])
    assert not detecting.values(np.zeros((16, 24, 3), np.uint8))["boxes"].any()
    large = detecting.values(picture(8, 16, (32, 48)))["boxes"]
    np.testing.assert_array_equal(large[0, 0], [8, 4, 10, 6, 1], "in pixels of the engine's frame")
    assert detecting.describe()["boxes"]["set"] == f"call:{finder}:bright"


def test_a_detector_finds_masks_and_numbers(finder: Path) -> None:
    frame = np.zeros((16, 24, 3), np.uint8)
    frame[2:4, 3:9, 0] = 255
    frame[8:16, :, 1] = 255
    masks = board(f"masks=call:{finder}:cut").values(frame)["masks"]
    assert [float((mask > 0).sum()) for mask in masks[0]] == [8 * 24, 2 * 6], "the greatest first"
    assert (masks.min(), masks.max()) == (-1, 1)
    np.testing.assert_allclose(board(f"style=call:{finder}:tone").values(frame)["style"], [[frame.mean() / 255, -0.5]])


@pytest.mark.parametrize(
    ("assignment", "words"),
    [
        ("boxes=call:{}:absent", "cannot import absent"),
        ("boxes=call:{}:broken", "is no function"),
        ("boxes=call:{}", "is not call:FILE.py:NAME"),
        ("boxes=call:no_such_module:find", "No module named"),
    ],
)
def test_a_function_that_is_not_there_is_refused_at_once(finder: Path, assignment: str, words: str) -> None:
    with pytest.raises(ControlError, match=words):
        board(assignment.format(finder))


@pytest.mark.parametrize(
    ("assignment", "words"),
    [
        ("boxes=call:{}:crash", "crash raised IndexError"),
        ("boxes=call:{}:flat", r"\(n, 4\) boxes"),
        ("masks=call:{}:flat", r"\(n, 16, 24\) masks"),
        ("style=call:{}:flat", r"3 number\(s\), not 2"),
    ],
)
def test_what_a_function_does_wrong_is_told(finder: Path, assignment: str, words: str) -> None:
    wrong = board(assignment.format(finder))
    with pytest.raises(ControlError, match=words):
        wrong.values(picture(1, 1))


def test_without_a_frame_there_is_nothing_to_find(finder: Path) -> None:
    with pytest.raises(ControlError, match="of which there is none"):
        board(f"boxes=call:{finder}:bright").values()
    with pytest.raises(ControlError, match="over the network"):
        board(f"boxes=call:{finder}:bright", files=False)


def test_boxes_and_masks_lie_under_the_frames_names(tmp_path: Path) -> None:
    (tmp_path / "boxes").mkdir()
    (tmp_path / "boxes" / "a.txt").write_text("size 48 32\n2 4 10 12\n")
    named = board(f"boxes={tmp_path / 'boxes'}")
    frame = picture(0, 0)
    np.testing.assert_array_equal(named.values(frame, "a.png")["boxes"][0, 0], [1, 2, 5, 6, 1])
    assert not named.values(frame, "b.png")["boxes"].any()
    with pytest.raises(ControlError, match="have no names"):
        named.values(frame)
    (tmp_path / "masks" / "a").mkdir(parents=True)
    cv2.imwrite(str(tmp_path / "masks" / "a" / "0.png"), picture(3, 5)[..., 0])
    masks = board(f"masks={tmp_path / 'masks'}")
    assert (masks.values(frame, "a.png")["masks"][0, 0] > 0).sum() == 16
    assert (masks.values(frame, "b.png")["masks"] == 0).all()


def test_a_stream_asks_the_detector_before_every_frame(
    root: Path, write_engine: Callable[..., Path], finder: Path, tmp_path: Path
) -> None:
    """The engine paints frame × 0 + the greatest number of the boxes."""
    nodes = [
        helper.make_node("Cast", ["frame"], ["real"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["real", "zero"], ["black"]),
        helper.make_node("ReduceMax", ["boxes"], ["edge"], axes=[1, 2], keepdims=0),
        helper.make_node("Add", ["black", "edge"], ["painted"]),
        helper.make_node("Cast", ["painted"], ["translated"], to=TensorProto.UINT8),
    ]
    images = [helper.make_tensor_value_info(n, TensorProto.UINT8, [1, 16, 24, 3]) for n in ("frame", "translated")]
    boxes = helper.make_tensor_value_info("boxes", TensorProto.FLOAT, [1, 2, 5])
    zero = numpy_helper.from_array(np.array(0, np.float32), "zero")
    graph = helper.make_graph(nodes, "edge", [images[0], boxes], [images[1]], [zero])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    engine = write_engine(
        "edge.onnx", 16, 24, content=model.SerializeToString(), backend="onnxruntime", controls=(BOXES,)
    )
    (tmp_path / "in").mkdir()
    lefts = [7, 3, 11, 16]
    for k, left in enumerate(lefts):
        cv2.imwrite(str(tmp_path / "in" / f"{k}.png"), picture(2, left))
    command = [
        sys.executable, "-m", "runtime.stream", "--engine", engine, "--source", tmp_path / "in",
        "--sink", tmp_path / "out", "--control", f"boxes=call:{finder}:bright",
    ]  # fmt: skip
    done = subprocess.run([str(word) for word in command], cwd=root, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    edges = [int(read_image(path, 3)[0, 0, 0]) for path in sorted((tmp_path / "out").iterdir())]
    assert edges == [left + 4 for left in lefts], "the right edge is the greatest number of a box"
    command[-1] = f"boxes=call:{finder}:crash"
    command[-3] = tmp_path / "never"
    done = subprocess.run([str(word) for word in command], cwd=root, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    assert "crash raised IndexError" in done.stderr
    assert "Traceback" not in done.stderr
