"""Values of controls that are more than a number: blends, boxes, masks and pictures; and passes over more masks."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import cv2
import numpy as np
import pytest

from runtime.blend import slerp
from runtime.controls import Surroundings, fixed_values, parse_assignments
from runtime.errors import ControlError, EngineError
from runtime.frames import Array
from runtime.manifest import Control, ImagePort, Manifest, Output
from runtime.passes import PassesEngine

PORT = ImagePort("frame", 20, 40, 3)
Z = Control("z", "noise", (1, 64), distribution="normal")
STYLE = Control("style", "style", (1, 4))
DOMAIN = Control("domain", "label", (1, 3), names=("T1", "T2", "FLAIR"))
NUMBER = Control("class", "label", (1, 1), names=("a", "b"))
MASKS = Control("masks", "mask", (1, 2, 20, 40), -1, 1)
BOXES = Control("boxes", "boxes", (1, 2, 5))
IMAGE = Control("reference", "image", (1, 3, 20, 40), -1, 1)
GIVES = (Output("mask", "mask", MASKS.shape),)
INSTAGAN = Manifest("g.onnx", {}, frame=PORT, translated=(PORT,), controls=(MASKS,), outputs=GIVES)
PLAIN = Manifest("g.onnx", {}, frame=PORT, translated=(PORT,), controls=(MASKS, BOXES))


def value(assignment: str, manifest: Manifest = PLAIN, fit: str = "letterbox", heard: list[str] | None = None) -> Array:
    controls = (Z, STYLE, DOMAIN, NUMBER, MASKS, BOXES, IMAGE)
    around = Surroundings(manifest, None, fit, (heard if heard is not None else []).append)
    (found,) = fixed_values(parse_assignments([assignment], controls, around)).values()
    return found


def test_lerp_is_on_the_line_and_slerp_on_the_sphere() -> None:
    first, second = value("z=seed:3"), value("z=seed:9")
    np.testing.assert_allclose(value("z=lerp:seed:3:seed:9:0.25"), 0.75 * first + 0.25 * second, rtol=1e-6)
    np.testing.assert_array_equal(value("z=lerp:seed:3:seed:9:0"), first)
    middle = value("z=slerp:seed:3:seed:9:0.5")
    lengths = [float(np.linalg.norm(v)) for v in (first, second)]
    assert float(np.linalg.norm(middle)) == pytest.approx(np.mean(lengths), rel=1e-5)
    assert float(np.linalg.norm(value("z=lerp:seed:3:seed:9:0.5"))) < 0.8 * min(lengths), "what slerp is there for"
    cosines = [float((middle * v).sum() / np.linalg.norm(v)) for v in (first, second)]
    assert cosines[0] == pytest.approx(cosines[1], rel=1e-4), "as far from both"
    np.testing.assert_allclose(value("style=lerp:1,2,3,4:0,0,0,1:0.5"), [[0.5, 1, 1.5, 2.5]])
    np.testing.assert_allclose(value("domain=lerp:T1:FLAIR:0.25"), [[0.75, 0, 0.25]])


def test_slerp_of_a_right_angle_and_of_degenerate_values() -> None:
    x, y = np.array([[1.0, 0]]), np.array([[0, 1.0]])
    np.testing.assert_allclose(slerp(x, y, 1 / 3), [[np.cos(np.pi / 6), np.sin(np.pi / 6)]], rtol=1e-6)
    np.testing.assert_allclose(slerp(x, 3 * x, 0.5), [[2, 0]])
    np.testing.assert_allclose(slerp(x, 0 * x, 0.5), [[0.5, 0]])


@pytest.mark.parametrize(
    ("assignment", "words"),
    [
        ("z=lerp:seed:3:seed:9", "lerp:A:B:SHARE"),
        ("z=lerp:seed:3:seed:9:2", "from 0"),
        ("z=lerp:seed:3:seed:9:half", "from 0"),
        ("style=slerp:1,1,1,1:0,0,0,1:0.5", "use lerp"),
        ("style=lerp:1,2:0,0,0,1:0.5", "takes 4 number"),
        ("class=lerp:a:b:0.5", "nothing between"),
        ("masks=lerp:a.png:b.png:0.5", "nothing between"),
        ("domain=lerp:T1:PD:0.5", "T1 or T2 or FLAIR"),
        ("style=1,2,3,4,domain=T1", "takes no 'domain=T1'"),
    ],
)
def test_a_wrong_blend_is_told_what_is_right(assignment: str, words: str) -> None:
    with pytest.raises(ControlError, match=words):
        value(assignment)


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


VOC = """<annotation><size><width>40</width><height>20</height></size>
<object><name>pit</name><bndbox><xmin>3</xmin><ymin>5</ymin><xmax>10</xmax><ymax>12</ymax></bndbox></object></annotation>"""
COCO = {
    "images": [{"id": 7, "file_name": "a.png", "width": 40, "height": 20}],
    "annotations": [{"image_id": 7, "bbox": [2, 4, 8, 8]}, {"image_id": 7, "bbox": [0, 0, 40, 20], "iscrowd": 1}],
}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("b.txt", "# x1 y1 x2 y2 class\n2 4 10 12 pit\n"),
        ("b.txt", "2,4,10,12"),
        ("b.xml", VOC),
        ("b.json", json.dumps(COCO)),
    ],
)
def test_boxes_of_every_format_fill_a_slot(tmp_path: Path, name: str, text: str) -> None:
    found = value(f"boxes={write(tmp_path / name, text)}")
    np.testing.assert_array_equal(found, [[[2, 4, 10, 12, 1], [0] * 5]])


@pytest.mark.parametrize(
    ("fit", "wanted"),
    [
        ("stretch", [8, 2, 16, 6]),  # 100×100 → 40 wide, 20 high
        ("letterbox", [14, 2, 18, 6]),  # 20×20 in the middle
        ("crop", [8, -6, 16, 2]),  # the middle 50 of 100 rows, cut at the edge
    ],
)
def test_boxes_follow_the_frames_fit(tmp_path: Path, fit: str, wanted: list[float]) -> None:
    file = write(tmp_path / "b.txt", "size 100 100\n20 10 40 30\n")
    expected = np.clip(wanted, 0, [40, 20, 40, 20])
    np.testing.assert_allclose(value(f"boxes={file}", fit=fit)[0, 0, :4], expected, atol=1e-5)


def test_the_greatest_boxes_are_taken_and_that_is_said(tmp_path: Path) -> None:
    heard: list[str] = []
    file = write(tmp_path / "b.txt", "0 0 2 2\n5 5 45 15\n1 1 9 9\n")
    np.testing.assert_array_equal(value(f"boxes={file}", heard=heard)[0], [[5, 5, 40, 15, 1], [1, 1, 9, 9, 1]])
    assert "3 boxes for 2 slots" in heard[0]


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("b.txt", "41 0 60 10", r"41 0 60 10 is outside the 40×20 image"),
        ("b.txt", "10 10 5 12", "no box"),
        ("b.txt", "1 2 three 4", "line 1"),
        ("b.xml", "<annotation>", "holds no boxes"),
        ("b.json", "{}", "holds no boxes"),
        ("b.json", json.dumps({"images": [1, 2], "annotations": []}), "2 images"),
        ("b.csv", "", "a .txt, .xml or .json file"),
    ],
)
def test_wrong_boxes_are_refused_in_words(tmp_path: Path, name: str, text: str, words: str) -> None:
    with pytest.raises(ControlError, match=words):
        value(f"boxes={write(tmp_path / name, text)}")


def write_masks(folder: Path, widths: list[int], size: tuple[int, int] = (20, 40)) -> Path:
    folder.mkdir()
    for index, width in enumerate(widths):
        mask = np.zeros(size, np.uint8)
        mask[:, :width] = 255
        cv2.imwrite(str(folder / f"{index}.png"), mask)
    return folder


def test_masks_of_a_folder_stand_in_order_of_area_in_sets(tmp_path: Path) -> None:
    heard: list[str] = []
    folder = write_masks(tmp_path / "m", [3, 10, 0, 5])
    found = value(f"masks={folder}", INSTAGAN, heard=heard)
    assert found.shape == (1, 4, 20, 40), "two sets of two slots"
    assert [int((found[0, slot] == 1).sum() / 20) for slot in range(4)] == [10, 5, 3, 0]
    assert (found[0, 0].min(), found[0, 3].any()) == (-1, False)
    assert "3 masks for 2 slots: 2 passes" in heard[0]
    with pytest.raises(ControlError, match=r"2 slot\(s\), not 3"):
        value(f"masks={folder}", PLAIN)


def test_masks_of_the_sources_size_are_fitted_as_its_frames_are(tmp_path: Path) -> None:
    folder = write_masks(tmp_path / "m", [60], size=(60, 60))
    mask = value(f"masks={folder}")[0, 0]
    np.testing.assert_array_equal(mask[10], [-1] * 10 + [1] * 20 + [-1] * 10)


def test_a_colour_picture_stands_as_red_green_blue_and_in_its_size(tmp_path: Path) -> None:
    picture = np.zeros((20, 40, 3), np.uint8)
    picture[..., 0] = 255  # blue, as OpenCV writes it
    cv2.imwrite(str(tmp_path / "p.png"), picture)
    assert value(f"reference={tmp_path}/p.png")[0, :, 0, 0].tolist() == [-1, -1, 1]
    cv2.imwrite(str(tmp_path / "small.png"), picture[:10])
    with pytest.raises(ControlError, match="40×10, wanted 40×20"):
        value(f"reference={tmp_path}/small.png")


class Adder:
    """Adds to the frame how many masks there are, two frames in flight, and gives the masks negated."""

    backend, depth, manifest = "adder", 2, INSTAGAN

    def __init__(self) -> None:
        self.pending: list[Mapping[str, Array]] = []
        self.seen: list[int] = []

    def submit(self, inputs: Mapping[str, Array]) -> None:
        assert len(self.pending) < self.depth
        assert inputs["masks"].shape == MASKS.shape
        self.pending.append(inputs)

    def collect(self) -> dict[str, Array]:
        inputs = self.pending.pop(0)
        count = int((inputs["masks"].max(axis=(2, 3)) > 0).sum())
        self.seen.append(count)
        return {"frame": inputs["frame"] + count, "mask": -inputs["masks"]}

    def close(self) -> None:
        self.pending.clear()


def test_more_masks_than_slots_take_further_passes_over_the_engines_own_picture() -> None:
    inner = Adder()
    engine = PassesEngine(inner, INSTAGAN)
    masks = np.zeros((1, 6, 20, 40), np.float32)
    masks[0, :5] = 1
    first = {"frame": np.full((1, 20, 40, 3), 10, np.uint8), "masks": masks}
    second = {"frame": np.full((1, 20, 40, 3), 50, np.uint8), "masks": masks[:, :2]}
    engine.submit(first)
    engine.submit(second)
    with pytest.raises(EngineError, match="in flight"):
        engine.submit(second)
    outputs = engine.collect()
    assert (outputs["frame"] == 10 + 2 + 2 + 1).all()
    np.testing.assert_array_equal(outputs["mask"], -masks)
    assert (engine.collect()["frame"] == 52).all()
    engine.submit(second)
    assert (engine.collect()["frame"] == 52).all()
    with pytest.raises(EngineError, match="sets of 2"):
        engine.submit({**first, "masks": masks[:, :3]})


def test_open_engine_lets_instagan_take_any_number_of_masks(write_engine: Callable[..., Path]) -> None:
    from runtime.engine import infer, open_engine

    port = ImagePort("translated", 20, 40, 3)
    fields = {"frame": PORT, "translated": (port,), "controls": (MASKS,), "outputs": GIVES}
    engine = open_engine(write_engine("g.onnx", 20, 40, **fields))
    assert isinstance(engine, PassesEngine)
    masks = np.zeros(MASKS.shape, np.float32)
    frame = np.full((1, 20, 40, 3), 9, np.uint8)
    assert (infer(engine, {"frame": frame, "masks": masks})["translated"] == 9).all()
    engine.close()
