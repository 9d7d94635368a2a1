"""Values that change while an engine runs: on the board, and between two frames of a real stream."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from runtime.control_board import ControlBoard
from runtime.errors import ControlError
from runtime.manifest import Control

STYLE = Control("style", "style", (1, 4), low=-3, high=3, default=(0.5,) * 4, distribution="uniform")
DOMAIN = Control("domain", "label", (1, 3), names=("T1", "T2", "FLAIR"))
COLOUR = Control("colour", "scalar", (1, 3), low=0, high=255)
FRAMES = 240


def test_a_board_starts_at_defaults_and_assignments() -> None:
    values = ControlBoard((STYLE, DOMAIN), ["domain=T2"]).values()
    assert np.array_equal(values["style"], np.full((1, 4), 0.5))
    assert np.array_equal(values["domain"], [[0, 1, 0]])


def test_a_wrong_value_is_refused_and_the_former_one_stays() -> None:
    board = ControlBoard((STYLE, DOMAIN), ["domain=T2"])
    for wrong in ("domain=PD", "domain", "stile=seed:1", "style=1,2", "style=9,0,0,0", "style=seed:x"):
        with pytest.raises(ControlError):
            board.set(wrong)
    with pytest.raises(ControlError, match="T1 or T2 or FLAIR"):
        board.update(["style=seed:1", "domain=PD"])
    with pytest.raises(ControlError, match="takes 4"):
        board.put("style", np.zeros(3))
    assert np.array_equal(board.values()["domain"], [[0, 1, 0]])
    assert np.array_equal(board.values()["style"], np.full((1, 4), 0.5)), "not even the right half of an update"


def test_a_snapshot_is_not_touched_by_later_changes() -> None:
    board = ControlBoard((STYLE,))
    before = board.values()
    board.put("style", np.ones(4))
    assert np.array_equal(before["style"], np.full((1, 4), 0.5))
    before.clear()
    assert np.array_equal(board.values()["style"], np.ones((1, 4)))
    board.set("style=default")
    assert np.array_equal(board.values()["style"], np.full((1, 4), 0.5))


@pytest.fixture
def restless() -> Iterator[None]:
    """Threads that take turns every 10 µs instead of every 5 ms."""
    former = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(former)


@pytest.mark.usefixtures("restless")
def test_two_controls_change_at_the_same_moment() -> None:
    pair = [Control(name, "scalar", (1, 1)) for name in "ab"]
    board, stopping = ControlBoard(pair), threading.Event()

    def change() -> None:
        number = 0
        while not stopping.is_set():
            number += 1
            board.update([f"a={number}", f"b={number}"])

    changer = threading.Thread(target=change)
    changer.start()
    seen: set[tuple[float, float]] = set()
    deadline = time.monotonic() + 20
    while len(seen) < 200 and time.monotonic() < deadline:
        values = board.values()
        seen.add((values["a"].item(), values["b"].item()))
    stopping.set()
    changer.join()
    assert all(a == b for a, b in seen)
    assert len(seen) == 200


def test_a_board_describes_itself() -> None:
    board = ControlBoard((STYLE, DOMAIN), ["domain=FLAIR"])
    board.set("style=seed:7")
    assert str(board) == "style=seed:7 domain=FLAIR"
    about = json.loads(json.dumps(board.describe()))
    assert about["domain"]["set"] == "FLAIR"
    assert about["domain"]["value"] == [0, 0, 1]
    assert about["domain"]["names"] == ["T1", "T2", "FLAIR"]
    assert "seed:N" in about["style"]["allowed"]


@pytest.fixture
def paint(write_engine: Callable[..., Path]) -> Path:
    """An engine that gives a picture of one colour: frame × 0 + colour."""
    nodes = [
        helper.make_node("Cast", ["frame"], ["real"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["real", "zero"], ["black"]),
        helper.make_node("Add", ["black", "colour"], ["painted"]),
        helper.make_node("Cast", ["painted"], ["translated"], to=TensorProto.UINT8),
    ]
    ports = ("frame", "translated")
    images = [helper.make_tensor_value_info(name, TensorProto.UINT8, [1, 16, 24, 3]) for name in ports]
    colour = helper.make_tensor_value_info("colour", TensorProto.FLOAT, [1, 3])
    zero = numpy_helper.from_array(np.float32(0), "zero")
    graph = helper.make_graph(nodes, "paint", [images[0], colour], [images[1]], [zero])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    content = model.SerializeToString()
    return write_engine("paint.onnx", 16, 24, content=content, backend="onnxruntime", controls=(COLOUR,))


class Stream:
    """The real command on a camera of 200 frames a second, lossless, into a folder that is looked at meanwhile."""

    def __init__(self, root: Path, engine: Path, out: Path, *arguments: str | Path) -> None:
        self.out = out
        self.process = subprocess.Popen(
            [sys.executable, "-m", "runtime.stream", "--engine", engine, "--source", "synthetic:@200", "--lossless",
             "--sink", out, "--frames", str(FRAMES), "--json", "--control", "colour=10,20,30", *map(str, arguments)],
            cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def write(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def wait_for(self, count: int) -> None:
        """Until so many frames are out."""
        deadline = time.monotonic() + 60
        while len(list(self.out.glob("*.png"))) < count and self.process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)

    def finish(self) -> tuple[list[tuple[int, ...]], dict[str, object], list[str]]:
        """The colour of every frame in order, what --json printed, and the lines on stderr."""
        output, errors = self.process.communicate(timeout=60)
        assert self.process.returncode == 0, errors
        pictures = [cv2.imread(str(path)) for path in sorted(self.out.iterdir())]
        assert all((picture == picture[0, 0]).all() for picture in pictures), "no picture is half of each"
        summary = json.loads(output)
        assert (summary["frames"], summary["dropped"], len(pictures)) == (FRAMES, 0, FRAMES)
        return [tuple(map(int, picture[0, 0])) for picture in pictures], summary, errors.splitlines()


def changes(colours: list[tuple[int, ...]]) -> list[tuple[int, ...]]:
    """The runs of equal colours."""
    return [colour for index, colour in enumerate(colours) if index == 0 or colour != colours[index - 1]]


def test_lines_of_stdin_change_a_running_stream_between_two_frames(root: Path, paint: Path, tmp_path: Path) -> None:
    stream = Stream(root, paint, tmp_path / "out", "--control-stdin")
    stream.wait_for(40)
    stream.write("colour=red")
    stream.write("style=seed:7")
    stream.write("colour=40,50,60")
    stream.wait_for(100)
    stream.write("# nothing")
    stream.write("colour=300,0,0")
    stream.write("colour=70,80,90")
    colours, summary, errors = stream.finish()
    assert changes(colours) == [(10, 20, 30), (40, 50, 60), (70, 80, 90)]
    assert colours[:40] == [(10, 20, 30)] * 40
    assert len(errors) == 3
    assert "'red'" in errors[0]
    assert "3 number(s)" in errors[0]
    assert "it takes colour" in errors[1]
    assert "range 0 to 255" in errors[2]
    assert summary["controls"]["colour"]["value"] == [70, 80, 90]  # type: ignore[index]


def test_a_watched_file_changes_a_running_stream(root: Path, paint: Path, tmp_path: Path) -> None:
    file = tmp_path / "controls.txt"
    file.write_text("# warm\ncolour=1,2,3\n")
    stream = Stream(root, paint, tmp_path / "out", "--control-file", file)
    stream.wait_for(40)
    file.write_text("tone=1\n")
    stream.wait_for(80)
    (tmp_path / "new").write_text("colour=4,5,6\n")
    (tmp_path / "new").replace(file)
    colours, _, errors = stream.finish()
    assert changes(colours) == [(1, 2, 3), (4, 5, 6)]
    assert len(errors) == 1
    assert "controls.txt" in errors[0]
    assert "it takes colour" in errors[0]


@pytest.mark.parametrize(("content", "words"), [(None, "cannot read"), ("colour=\n", "NAME=VALUE")])
def test_a_control_file_that_is_wrong_at_the_start_is_refused(
    root: Path, paint: Path, tmp_path: Path, content: str | None, words: str
) -> None:
    file = tmp_path / "controls.txt"
    if content is not None:
        file.write_text(content)
    command = [sys.executable, "-m", "runtime.stream", "--engine", paint, "--source", "synthetic:", "--sink", "null:"]
    done = subprocess.run([*command, "--control-file", file], cwd=root, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "controls.txt" in done.stderr
    assert words in done.stderr


def test_a_closed_or_silent_stdin_does_not_hold_the_stream(root: Path, paint: Path, tmp_path: Path) -> None:
    stream = Stream(root, paint, tmp_path / "out", "--control-stdin")
    assert stream.process.stdin is not None
    stream.process.stdin.write("colour=5,5,5")  # the last line needs no newline
    stream.process.stdin.close()
    stream.process.stdin = None
    colours, _, errors = stream.finish()
    assert colours[-1] == (5, 5, 5)
    assert errors == []
