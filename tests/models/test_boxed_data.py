"""Boxes beside images: every format, where they go when their image is cut, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from models.data.boxed import Boxed
from models.data.boxes import BoxFolder, box_slots
from models.data.datasets import DataConfig
from models.data.images import View
from models.errors import DataError

BOX = (10.0, 20.0, 34.0, 52.0)
VOC = """<annotation><filename>0.png</filename><size><width>64</width><height>80</height></size>
<object><name>scratch</name><bndbox><xmin>11</xmin><ymin>21</ymin><xmax>34</xmax><ymax>52</ymax></bndbox></object>
</annotation>"""
COCO = {
    "images": [{"id": 7, "file_name": "0.png"}, {"id": 8, "file_name": "1.png"}],
    "annotations": [
        {"image_id": 7, "bbox": [10, 20, 24, 32], "category_id": 1},
        {"image_id": 7, "bbox": [0, 0, 64, 80], "category_id": 1, "iscrowd": 1},
    ],
}


def folder_of_images(where: Path) -> Path:
    """Two 64×80 images; the first has a white rectangle at BOX."""
    where.mkdir(parents=True)
    picture = np.zeros((80, 64, 3), np.uint8)
    cv2.imwrite(str(where / "1.png"), picture)
    x1, y1, x2, y2 = map(int, BOX)
    picture[y1:y2, x1:x2] = 255
    cv2.imwrite(str(where / "0.png"), picture)
    return where


@pytest.mark.parametrize(
    ("place", "text"),
    [
        ("images_boxes/0.txt", "10 20 34 52 scratch\n"), ("images/0.txt", "10,20,34,52\n\n"),
        ("images_boxes/0.xml", VOC), ("images_boxes.json", json.dumps(COCO)),
        ("images_boxes/all.json", json.dumps(COCO)), ("annotations/instances_images.json", json.dumps(COCO)),
    ],
)  # fmt: skip
def test_every_format_gives_the_same_box(place: str, text: str, tmp_path: Path) -> None:
    images = folder_of_images(tmp_path / "images")
    (images / "notes.txt").write_text("of no image")
    (tmp_path / place).parent.mkdir(exist_ok=True)
    (tmp_path / place).write_text(text)
    boxes = BoxFolder(images)
    assert boxes.found
    assert boxes.of(images / "0.png", (80, 64, 3)).tolist() == [list(BOX)]
    assert boxes.of(images / "1.png", (80, 64, 3)).shape == (0, 4)


def test_the_layout_of_voc_is_known(tmp_path: Path) -> None:
    images = folder_of_images(tmp_path / "JPEGImages")
    (tmp_path / "Annotations").mkdir()
    (tmp_path / "Annotations" / "0.xml").write_text(VOC)
    assert BoxFolder(images).of(images / "0.png", (80, 64)).tolist() == [list(BOX)]


@pytest.mark.parametrize("load_size", [0, 48, 96])
@pytest.mark.parametrize("zoom", [0.0, 1.0])
def test_a_box_goes_where_its_pixels_go(load_size: int, zoom: float) -> None:
    pixels = np.zeros((80, 64, 1), np.uint8)
    x1, y1, x2, y2 = map(int, BOX)
    pixels[y1:y2, x1:x2] = 255
    view, random = View(40, load_size, True, zoom), np.random.default_rng(0)
    for _ in range(20):
        drawn = view.draw(random)
        lit = view.take(pixels, drawn)[:, :, 0] > 127
        (left, top, right, bottom) = view.place(np.array([BOX]), pixels.shape, drawn)[0].clip(0, 40)
        if not lit.any():
            assert right - left < 1 or bottom - top < 1
            continue
        rows, columns = np.flatnonzero(lit.any(axis=1)), np.flatnonzero(lit.any(axis=0))
        found = [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
        np.testing.assert_allclose(found, [left, top, right, bottom], atol=1.01)


def test_the_greatest_boxes_fill_the_slots_and_what_the_crop_lost_is_left_out() -> None:
    boxes = np.array([(0, 0, 10, 10), (5, 5, 30, 30), (38, 0, 60, 8), (12, 12, 14, 30), (30, 30, 39, 39)], float)
    view = View(40, 0, False)
    drawn = view.draw(np.random.default_rng(0))
    slots = box_slots(boxes, (40, 40), (view, drawn), 4)
    # The third shows a tenth of itself, the fourth is 2 px wide.
    assert slots[:, 4].tolist() == [1, 1, 1, 0]
    assert slots[:3, :4].tolist() == [[5, 5, 30, 30], [0, 0, 10, 10], [30, 30, 39, 39]]
    assert not slots[3].any()
    assert box_slots(boxes, (40, 40), (view, drawn), 2)[:, 4].tolist() == [1, 1]
    assert not box_slots(np.zeros((0, 4)), (40, 40), (view, drawn), 2).any()


def test_a_sample_shows_what_its_boxes_say(tmp_path: Path) -> None:
    for side in ("trainA", "trainB"):
        folder_of_images(tmp_path / side)
        (tmp_path / side / "0.txt").write_text("10 20 34 52")
    data = Boxed(DataConfig(data=str(tmp_path), size=64, load_size=0, instances=2), 0)
    for k in range(6):
        sample = data.sample(k)
        for image, boxes in ((sample.a, sample.boxes_a), (sample.b, sample.boxes_b)):
            shown = torch.zeros(64, 64)
            for x1, y1, x2, y2, there in boxes.round().int().tolist():
                shown[y1:y2, x1:x2] = there
            assert torch.equal(shown > 0, image[0] > 0)


def test_a_side_without_boxes_is_told_and_two_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for side in ("trainA", "trainB"):
        folder_of_images(tmp_path / side)
    cfg = DataConfig(data=str(tmp_path), size=32, load_size=0)
    with pytest.raises(DataError, match=r"there are no boxes of .*trainA_boxes/NAME\.txt"):
        Boxed(cfg, 0)
    (tmp_path / "trainA" / "0.txt").write_text("10 20 34 52")
    data = Boxed(cfg, 0)
    assert "trainB has no boxes" in capsys.readouterr().err
    assert not data.sample(0).boxes_b.any()


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("0.txt", "10 20 34", r"0\.txt:1 is no box"), ("0.txt", "\na b c d", r"0\.txt:2 is no box"),
        ("0.txt", "34 20 10 52", "not to the right of"), ("0.txt", "nan 0 1 1", "not to the right of"),
        ("0.xml", "<annotation>", "is no VOC annotation"),
        ("0.xml", "<a><object><bndbox><xmin>1</xmin></bndbox></object></a>", "is no VOC annotation"),
        ("all.json", "[]", "is no COCO annotation"), ("all.json", "{", "is no COCO annotation"),
    ],
)  # fmt: skip
def test_a_broken_annotation_is_told(name: str, text: str, words: str, tmp_path: Path) -> None:
    images = folder_of_images(tmp_path / "images")
    (tmp_path / "images_boxes").mkdir()
    (tmp_path / "images_boxes" / name).write_text(text)
    with pytest.raises(DataError, match=words):
        BoxFolder(images)


def test_a_box_beyond_the_image_is_cut_and_one_outside_it_refused(tmp_path: Path) -> None:
    images = folder_of_images(tmp_path / "images")
    (images / "0.txt").write_text("10 20 90 95")
    (images / "1.txt").write_text("70 20 90 52")
    boxes = BoxFolder(images)
    assert boxes.of(images / "0.png", (80, 64)).tolist() == [[10, 20, 64, 80]]
    with pytest.raises(DataError, match=r"the box 70 20 90 52 of .*1\.png lies outside the image, which is 64×80"):
        boxes.of(images / "1.png", (80, 64))
