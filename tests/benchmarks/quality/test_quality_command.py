"""The command from pictures to the report, on the identity backend, tiny judges and finished pictures; its refusals."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from benchmarks.quality.__main__ import main
from benchmarks.quality.registry import METRICS
from runtime.errors import InlocoError
from runtime.manifest import ImagePort, Manifest, Output, file_sha256, write_manifest

SIZE = (48, 64)
QUICK = ["--resamples", "50"]


def write(folder: Path, pictures: dict[str, Any]) -> Path:
    folder.mkdir(parents=True)
    for name, picture in pictures.items():
        assert cv2.imwrite(str(folder / f"{name}.png"), picture)
    return folder


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """source/; pairs/, lighter by 8, 16, 24 … levels; labels/: class 2 (red), and a strip of no class."""
    root, rng = tmp_path_factory.mktemp("quality"), np.random.default_rng(0)
    source = {f"p{k}": rng.integers(20, 120, (*SIZE, 3), dtype=np.uint8) for k in range(5)}
    for picture in source.values():
        picture[:, :, 2] = 130  # reddest everywhere
    write(root / "source", source)
    write(root / "pairs", {name: picture + np.uint8(8 * (k + 1)) for k, (name, picture) in enumerate(source.items())})
    labels = np.zeros(SIZE, np.uint8)
    labels[:4] = 255
    write(root / "labels", dict.fromkeys(source, labels))
    return root


@pytest.fixture
def engine(write_engine: Callable[..., Path]) -> str:
    return str(write_engine(height=SIZE[0], width=SIZE[1]))


def write_onnx(path: Path, pools: bool) -> str:
    """Logits are the levels of red, green and blue: of the whole picture, or of each pixel."""
    node = helper.make_node("GlobalAveragePool" if pools else "Identity", ["x"], ["y"])
    sides = [1, 3, 1, 1] if pools else [1, 3, "h", "w"]
    graph = helper.make_graph(
        [node], "judge", [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, "h", "w"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, sides)],
    )  # fmt: skip
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10), path)
    return str(path)


def write_classifier(path: Path) -> str:
    """An engine with its manifest: a frame's mean levels of blue, green and red as the logits of three classes."""
    graph = helper.make_graph(
        [helper.make_node("Cast", ["frame"], ["x"], to=TensorProto.FLOAT),
         helper.make_node("ReduceMean", ["x"], ["logits"], axes=[1, 2], keepdims=0)], "classifier",
        [helper.make_tensor_value_info("frame", TensorProto.UINT8, [1, *SIZE, 3])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, 3])],
    )  # fmt: skip
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10), path)
    classes = Output("logits", "classes", (1, 3), ("blue", "green", "red"))
    hashes = {"engine": file_sha256(path)}
    write_manifest(Manifest(path.name, hashes, frame=ImagePort("frame", *SIZE, 3), outputs=(classes,)), path)
    return str(path)


def figures(report: Path) -> dict[str, Any]:
    return {figure["name"]: figure for figure in json.loads((report / "report.json").read_text())["figures"]}


def test_the_report_gives_figures_by_hand_with_the_worst_first(places: Path, engine: str, tmp_path: Path) -> None:
    report = tmp_path / "new" / "report"
    assert main(["--engine", engine, "--source", str(places / "source"), "--pairs", str(places / "pairs"),
                 "--report", str(report), *QUICK]) == 0  # fmt: skip
    found = figures(report)
    column = found["RMSE"]["columns"]["identity · null"]
    assert column["each"] == {f"p{k}": 8.0 * (k + 1) for k in range(5)}
    assert column["value"] == 24
    assert 8 <= column["low"] < 24 < column["high"] <= 40
    assert found["PSNR"]["columns"]["identity"]["each"]["p0"] == pytest.approx(20 * np.log10(255 / 8), abs=1e-3)
    assert found["pixel accuracy, δ = 10"]["columns"]["identity"]["value"] == 20
    assert found["checkerboard on flat frames"]["columns"]["identity · null"]["value"] == 0
    page = (report / "report.html").read_text()
    worst = page.split("Worst cases: RMSE")[1].split("<h2>")[0]
    assert re.findall(r"<tr><td>(p\d)", worst) == ["p4", "p3", "p2"]
    assert not re.search(r'(src|href)=["\'](?!data:|#)', page)
    assert cv2.imread(str(report / "grid.jpg")).shape[1] > 3 * SIZE[1]
    text = (report / "report.md").read_text()
    assert "| RMSE, levels of 255 ↓ | 24 [" in text
    assert "- fid: it is defined on Inception v3: give --inception" in text
    assert "- ms_ssim: identity · null: MS-SSIM needs 176×176 pixels" in text


def test_columns_are_compared_picture_by_picture(places: Path, tmp_path: Path) -> None:
    assert main(["--images", f"near={places / 'pairs'}", f"far={places / 'source'}", "--pairs", str(places / "pairs"),
                 "--metrics", "rmse", "--report", str(tmp_path), *QUICK]) == 0  # fmt: skip
    difference = figures(tmp_path)["RMSE"]["difference_from_first"]
    assert difference["far"]["value"] == 24
    assert "+24 [" in (tmp_path / "report.md").read_text()
    assert "] ≠ |" in (tmp_path / "report.md").read_text()


def test_a_given_classifier_and_segmenter_judge(places: Path, engine: str, tmp_path: Path) -> None:
    classes = tmp_path / "classes.txt"
    classes.write_text("p0 0\np1.png 0\np2 0\np3 1\np4 2\n")
    assert main([
        "--engine", engine, "--source", str(places / "source"), "--classifier", write_onnx(tmp_path / "c.onnx", True),
        "--classes", str(classes), "--segmenter", write_onnx(tmp_path / "s.onnx", False),
        "--labels", str(places / "labels"), "--network-range", "0:1",
        "--metrics", "classifier_accuracy", "fcn_score", "--report", str(tmp_path / "r"), *QUICK,
    ]) == 0  # fmt: skip
    found = figures(tmp_path / "r")
    assert found["classifier accuracy"]["columns"]["identity"]["value"] == 60
    assert found["FCN score, pixel accuracy"]["columns"]["identity"]["value"] == 100


def test_an_engine_classifies_and_knows_its_classes_by_name(places: Path, tmp_path: Path) -> None:
    given = ["--images", str(places / "source"), "--classifier", write_classifier(tmp_path / "c.onnx"), *QUICK]
    asked = ["--metrics", "classifier_accuracy", "--report", str(tmp_path / "r")]
    assert main([*given, *asked, "--classes", "red"]) == 0
    assert figures(tmp_path / "r")["classifier accuracy"]["columns"]["source"]["value"] == 100
    with pytest.raises(InlocoError, match="no class 'violet'; there are blue, green, red"):
        main([*given, *asked, "--classes", "violet"])
    with pytest.raises(InlocoError, match="gives no segmentation of a frame"):
        main(["--images", str(places / "source"), "--segmenter", str(tmp_path / "c.onnx"), "--labels",
              str(places / "labels"), "--metrics", "fcn_score", "--report", str(tmp_path / "r")])  # fmt: skip


def test_noise_that_changes_nothing_is_called_collapse(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    made = {f"a_seed{k}": np.full((*SIZE, 3), 90, np.uint8) for k in range(4)}
    made |= {f"b_seed{k}": made["a_seed0"] for k in range(4)}
    write(tmp_path / "same", made)
    write(tmp_path / "many", {name: rng.integers(0, 256, (*SIZE, 3), dtype=np.uint8) for name in made})
    assert main(["--images", str(tmp_path / "same"), str(tmp_path / "many"), "--metrics", "mode_collapse",
                 "--report", str(tmp_path / "r"), *QUICK]) == 0  # fmt: skip
    by_column = figures(tmp_path / "r")["distinct pictures of all draws"]["columns"]
    assert by_column["same"]["value"] == 25
    assert by_column["same"]["note"].startswith("COLLAPSED: the noise changes nothing")
    assert by_column["many"]["value"] == 100


def test_copies_of_training_images_are_found(shared_data: Path, tmp_path: Path) -> None:
    cats = sorted((shared_data / "cats_dogs" / "trainA").glob("*.jpg"))[:60]
    pictures = {path.stem: cv2.imread(str(path)) for path in cats}
    names = list(pictures)
    train, held_out, fresh = names[:20], names[20:40], names[40:]
    write(tmp_path / "train", {name: pictures[name] for name in train})
    write(tmp_path / "held_out", {name: pictures[name] for name in held_out})
    write(tmp_path / "copies", {f"c{k}": cv2.GaussianBlur(pictures[name], (3, 3), 0) for k, name in enumerate(train)})
    write(tmp_path / "fresh", {f"f{k}": pictures[name] for k, name in enumerate(fresh)})
    assert main(["--images", str(tmp_path / "copies"), str(tmp_path / "fresh"), "--target", str(tmp_path / "held_out"),
                 "--train", str(tmp_path / "train"), "--weights", str(shared_data / "weights"), "--metrics",
                 "memorisation", "kid_squeezenet", "fd_squeezenet", "precision_recall", "spacing",
                 "--report", str(tmp_path / "r"),
                 *QUICK]) == 0  # fmt: skip
    found = figures(tmp_path / "r")
    score = found["copying score"]["columns"]
    assert score["copies"]["value"] < -4 < -3 < score["fresh"]["value"]
    assert "COPIES its training images" in score["copies"]["note"]
    assert "20 pictures for 1280 dimensions" in found["FD-SqueezeNet"]["columns"]["fresh"]["note"]
    assert abs(found["KID-SqueezeNet"]["columns"]["fresh"]["value"]) < 0.3
    assert 0.7 < found["distance to the nearest other picture, real = 1"]["columns"]["fresh"]["value"] < 1.4
    assert "nearest in training" in (tmp_path / "r" / "report.html").read_text()


def test_a_video_is_read_frame_by_frame_and_its_flicker_measured(
    root: Path, write_engine: Callable[..., Path], tmp_path: Path
) -> None:
    engine = write_engine(height=360, width=640)
    clip = root / "examples" / "bottling" / "degraded.mp4"
    assert main(["--engine", str(engine), "--source", str(clip), "--frames", "4", "--metrics", "flicker",
                 "--report", str(tmp_path / "r"), *QUICK]) == 0  # fmt: skip
    by_column = figures(tmp_path / "r")["flicker where nothing moves"]["columns"]
    assert by_column["identity"] == by_column["identity · null"]
    assert len(by_column["identity"]["each"]) == 3
    assert 1 < by_column["identity"]["value"] < 30


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "nothing to judge: give --engine or --images"),
        (["--images", "SOURCE", "--metrics", "psnr"], "psnr: it compares with the true picture: .* --pairs"),
        (["--images", "SOURCE", "--metrics", "fd_squeezenet"], "fd_squeezenet: .* target domain: .* --target"),
        (["--images", "SOURCE", "--target", "PAIRS", "--metrics", "fid"], "fid: it is defined on Inception v3"),
        (["--images", "SOURCE", "--metrics", "checkerboard"], "finished pictures will not do"),
        (["--images", "SOURCE", "--metrics", "mode_collapse"], "several pictures of one source"),
        (["--images", "SOURCE", "--source", "SOURCE", "--metrics", "flicker"], "--consecutive"),
        (["--images", "SOURCE", "--pairs", "HALF", "--metrics", "rmse"], "has 5 pictures, of which 1 have a partner"),
        (["--images", "HALF", "--pairs", "PAIRS", "--metrics", "rmse"], "half .* has no picture 'p1'"),
        (["--images", "SOURCE", "SOURCE", "--pairs", "PAIRS"], "two columns are called 'source'"),
        (["--images", "SOURCE", "--pairs", "SMALL", "--metrics", "rmse"], "give true pictures of that size"),
        (["--images", "GRAY", "SOURCE", "--pairs", "PAIRS"], "judge them apart"),
        (["--engine", "ENGINE", "--metrics", "checkerboard"], "translates pictures: name their folder with --source"),
        (["--images", "SOURCE"], "nothing can be judged"),
        (["--images", "SOURCE", "--target", "PAIRS", "--weights", "PAIRS", "--metrics", "fd_squeezenet"],
         "LPIPS needs"),
    ],
)
def test_what_is_not_given_is_refused_in_a_sentence(
    arguments: list[str], says: str, places: Path, engine: str, tmp_path: Path
) -> None:
    first = cv2.imread(str(places / "source" / "p0.png"))
    names = {
        "SOURCE": str(places / "source"), "PAIRS": str(places / "pairs"), "ENGINE": engine,
        "HALF": str(write(tmp_path / "half", {"p0": first})),
        "SMALL": str(write(tmp_path / "small", dict.fromkeys([f"p{k}" for k in range(5)], first[:32]))),
        "GRAY": str(write(tmp_path / "gray", dict.fromkeys([f"p{k}" for k in range(5)], first[:, :, 0]))),
    }  # fmt: skip
    report = tmp_path / "report"
    with pytest.raises(InlocoError, match=says) as refusal:
        main([*(names.get(argument, argument) for argument in arguments), "--report", str(report)])
    assert refusal.value.exit_code == 2
    assert "\n" not in str(refusal.value)
    assert not report.exists()


def test_help_lists_every_metric_with_its_question(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    text = capsys.readouterr().out
    assert all(f"{name:<20}{metric.question}" in text for name, metric in METRICS.items())
