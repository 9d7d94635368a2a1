"""Bundles of several engines, made by the real commands from tiny systems: styles from pictures and seeds, split and
baked graphs, and samples."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
import torch

from calibration.fp16 import safe_nodes
from calibration.samples import Samples
from calibration.wiring import prepared
from export.engine import main as build
from export.onnx import main as export
from models.checkpoint import save_checkpoint, shipped_weights
from models.registry import build_system
from runtime import sample
from runtime.companions import EngineCompanions, board_of
from runtime.engine import infer, open_engine
from runtime.errors import ControlError, ManifestError
from runtime.frames import Array
from runtime.manifest import companion_hash, read_manifest, verify_engine, write_manifest
from runtime.stream import stream
from runtime.stream_options import StreamOptions

NAMES = ("munit", "stargan_v2", "dcgan", "dann")
SIDE = {"munit": "32x32", "stargan_v2": "32x32"}


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory, small: Callable[[str], dict[str, Any]]) -> Path:
    """A folder with NAME.safetensors and NAME.onnx of tiny systems, and photo.png of 60×40."""
    folder = tmp_path_factory.mktemp("bundles")
    for name in NAMES:
        torch.manual_seed(0)
        system = build_system(name, small(name))
        save_checkpoint(folder / f"{name}.safetensors", system, name, 0.0, shipped_weights(system))
        size = ["--size", SIDE[name]] if name in SIDE else []
        assert export([str(folder / f"{name}.safetensors"), *size, "--out", str(folder / f"{name}.onnx")]) == 0
    noise = np.random.default_rng(0).integers(0, 255, (5, 7, 3), np.uint8)
    cv2.imwrite(str(folder / "photo.png"), cv2.resize(noise, (60, 40)))
    return folder


def style_of(engine: Path, text: str, heard: list[str] | None = None) -> Array:
    with board_of(engine, [f"style={text}"], say=(heard if heard is not None else []).append) as board:
        return board.values()["style"]


def test_a_reference_of_another_size_goes_through_the_encoder_and_that_is_said(bundles: Path) -> None:
    heard: list[str] = []
    style = style_of(bundles / "munit.onnx", str(bundles / "photo.png"), heard)
    assert "60×40" in heard[0]
    assert "32×32" in heard[0]
    picture = cv2.resize(cv2.imread(str(bundles / "photo.png"))[:, 10:50], (32, 32), interpolation=cv2.INTER_AREA)
    with closing(open_engine(bundles / "munit_style_b.onnx", "onnxruntime")) as encoder:
        wanted = infer(encoder, {"frame": picture[None]})["style"]
    np.testing.assert_allclose(style, wanted, atol=1e-5)


def test_a_reference_changes_the_style_of_a_real_stream(bundles: Path, tmp_path: Path) -> None:
    pictures = []
    for index, text in enumerate(("default", str(bundles / "photo.png"))):
        out = tmp_path / str(index)
        options = StreamOptions(bundles / "munit.onnx", "synthetic:", str(out), controls=(f"style={text}",), frames=2)
        summary = stream(options)
        assert (summary["frames"], summary["controls"]["style"]["set"]) == (2, text)
        pictures.append(cv2.imread(str(out / "000000.png")).astype(int))
    assert np.abs(pictures[0] - pictures[1]).max() > 0


def test_a_seed_goes_through_the_mapping_network_of_the_named_domain(bundles: Path) -> None:
    engine = bundles / "stargan_v2.onnx"
    dark, light = (style_of(engine, f"seed:3,domain={domain}") for domain in ("dark", "light"))
    assert not np.array_equal(dark, light)
    assert np.array_equal(dark, style_of(engine, "seed:3,domain=dark"))
    halfway = style_of(engine, "lerp:seed:3,domain=dark:seed:3,domain=light:0.5")
    np.testing.assert_allclose(halfway, (dark + light) / 2, atol=1e-6)
    (style,) = read_manifest(engine).controls
    np.testing.assert_allclose(style.default, style_of(engine, "seed:0,domain=dark")[0], atol=1e-6)
    wrong = {"seed:3": "which domain", "seed:3,domain=cat": "dark or light", "seed:3,domain=dark,tone=1": "'tone'"}
    for text, words in wrong.items():
        with pytest.raises(ControlError, match=words):
            style_of(engine, text)


def test_a_changed_or_exchanged_companion_is_refused(bundles: Path, tmp_path: Path) -> None:
    for path in bundles.glob("stargan_v2*.onnx*"):
        shutil.copy(path, tmp_path)
    encoder, mapping = tmp_path / "stargan_v2_style_encoder.onnx", tmp_path / "stargan_v2_mapping.onnx"
    content = encoder.read_bytes()
    encoder.write_bytes(content + b"x")
    with pytest.raises(ManifestError, match="style_encoder"):
        verify_engine(tmp_path / "stargan_v2.onnx")
    encoder.write_bytes(mapping.read_bytes())  # a good engine with a good manifest, but not this one
    other = replace(read_manifest(mapping), file=encoder.name)
    write_manifest(other, encoder)
    with pytest.raises(ManifestError, match="is not the style_encoder that"):
        verify_engine(tmp_path / "stargan_v2.onnx")


def test_an_engine_is_built_with_its_companions(bundles: Path, tmp_path: Path) -> None:
    out = tmp_path / "built.onnx"
    assert build([str(bundles / "stargan_v2.onnx"), "--backend", "onnxruntime", "--out", str(out)]) == 0
    manifest = verify_engine(out)
    assert manifest.companions == {"style_encoder": "built_style_encoder.onnx", "mapping": "built_mapping.onnx"}
    beside = read_manifest(tmp_path / "built_mapping.onnx")
    assert beside.backend == "onnxruntime"
    assert manifest.sha256[companion_hash("mapping")] == beside.sha256["engine"]
    assert manifest.parity["engine"]["compared"]
    wanted = style_of(bundles / "stargan_v2.onnx", "seed:3,domain=dark")
    np.testing.assert_allclose(style_of(out, "seed:3,domain=dark"), wanted, atol=1e-5)


def test_calibration_draws_styles_through_the_companions(bundles: Path) -> None:
    manifest = verify_engine(bundles / "stargan_v2.onnx")
    with closing(EngineCompanions(bundles / "stargan_v2.onnx", manifest, "onnxruntime", [].append)) as companions:
        samples = Samples(manifest, (bundles / "photo.png",) * 6, companions=companions)
        styles = [samples[index]["style"] for index in range(6)]
        assert samples.draws.is_sampled(manifest.controls[0])
        assert np.array_equal(samples[2]["style"], styles[2])
    by_picture = [style_of(bundles / "stargan_v2.onnx", f"{bundles}/photo.png,domain={d}") for d in ("dark", "light")]
    encoded = [any(np.allclose(style, other, atol=1e-6) for other in by_picture) for style in styles]
    assert any(encoded), "some are of pictures"
    assert not all(encoded), "some are of noise"
    assert not Samples(manifest, (bundles / "photo.png",)).draws.is_sampled(manifest.controls[0])


def test_the_split_graphs_give_the_whole_ones_picture(bundles: Path, tmp_path: Path) -> None:
    out = tmp_path / "decode.onnx"
    checkpoint = str(bundles / "munit.safetensors")
    assert export([checkpoint, "--part", "decode_ab", "--size", "32x32", "--out", str(out)]) == 0
    photo = tmp_path / "photo.png"
    cv2.imwrite(str(photo), cv2.resize(cv2.imread(str(bundles / "photo.png")), (32, 32)))
    with board_of(out, [f"content={photo}", "style=seed:3"]) as board, closing(open_engine(out)) as decoder:
        split = infer(decoder, board.values())["translated"].copy()
    engine = bundles / "munit.onnx"
    with board_of(engine, ["style=seed:3"]) as board, closing(open_engine(engine)) as whole:
        frame = cv2.imread(str(photo))[None]
        together = infer(whole, {"frame": frame, **board.values()})["translated"]
    assert np.abs(split.astype(int) - together).max() <= 1


def test_a_baked_style_is_the_same_picture_from_a_smaller_graph(bundles: Path, tmp_path: Path) -> None:
    out, whole = tmp_path / "baked.onnx", bundles / "munit.onnx"
    checkpoint = str(bundles / "munit.safetensors")
    assert export([checkpoint, "--size", "32x32", "--bake", "style=seed:3", "--out", str(out)]) == 0
    manifest = read_manifest(out)
    assert (manifest.controls, manifest.companions) == ((), {})
    assert manifest.decisions["baked style"] == "seed:3"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["baked.onnx", "baked.onnx.json"]
    kinds = [[node.op_type for node in onnx.load(path).graph.node] for path in (whole, out)]
    assert {"Gemm", "Split"} <= set(kinds[0])
    assert not {"Gemm", "Split", "Unsqueeze"} & set(kinds[1]), "the MLP is gone, AdaIN is an instance norm"
    assert kinds[0].count("Mul") > kinds[1].count("Mul")
    frame = np.random.default_rng(1).integers(0, 255, (1, 32, 32, 3), np.uint8)
    with board_of(whole, ["style=seed:3"]) as board, closing(open_engine(whole)) as engine:
        wanted = infer(engine, {"frame": frame, **board.values()})["translated"].astype(int)
    with closing(open_engine(out)) as engine:
        assert np.abs(infer(engine, {"frame": frame})["translated"] - wanted).max() <= 1


def test_munits_norm_stays_in_full_precision(bundles: Path) -> None:
    """H3: its mean square runs over millions of values, beyond what FP16 can add up."""
    model = prepared(onnx.load(bundles / "munit.onnx"))
    half = set(safe_nodes(model, {}))
    norm = [node for node in model.graph.node if node.op_type in ("ReduceMean", "Pow", "Sqrt", "Div")]
    assert len(norm) >= 8
    assert not half & {node.name for node in norm}
    assert any(node.name in half for node in model.graph.node if node.op_type == "Conv")


def test_samples_of_noise_are_one_a_seed_and_a_grid_holds_them(bundles: Path, tmp_path: Path) -> None:
    arguments = ["--engine", str(bundles / "dcgan.onnx"), "--count", "5"]
    assert sample.main([*arguments, "--seed", "2", "--out", str(tmp_path / "many")]) == 0
    assert sorted(path.stem for path in (tmp_path / "many").iterdir()) == [f"seed{seed}" for seed in range(2, 7)]
    assert sample.main([*arguments, "--out", str(tmp_path / "grid.png")]) == 0
    side = read_manifest(bundles / "dcgan.onnx").translated[0].height
    grid = cv2.imread(str(tmp_path / "grid.png"))
    assert grid.shape[:2] == (2 * side + 2, 3 * side + 4), "five pictures: three across, two down"
    single = cv2.imread(str(tmp_path / "many" / "seed3.png"))
    np.testing.assert_array_equal(grid[:side, side + 2 + side + 2 :], cv2.imread(str(tmp_path / "many" / "seed2.png")))
    assert not np.array_equal(single, cv2.imread(str(tmp_path / "many" / "seed2.png")))


def test_many_styles_of_one_picture_stand_beside_it(bundles: Path, tmp_path: Path) -> None:
    photo = str(bundles / "photo.png")
    arguments = ["--engine", str(bundles / "munit.onnx"), "--source", photo, "--count", "3", "--fit", "crop"]
    assert sample.main([*arguments, "--out", str(tmp_path / "grid.png")]) == 0
    assert cv2.imread(str(tmp_path / "grid.png")).shape == (3 * 34 - 2, 2 * 34 - 2, 3)


def test_a_classifier_prints_its_classes(bundles: Path, capsys: pytest.CaptureFixture[str]) -> None:
    engine = bundles / "dann.onnx"
    assert sample.main(["--engine", str(engine), "--source", str(bundles / "photo.png"), "--json"]) == 0
    (facts,) = json.loads(capsys.readouterr().out)
    names = read_manifest(engine).outputs[0].names
    assert facts["sample"] == "photo"
    assert set(facts["classes"]) <= set(names)
    assert sum(facts["classes"].values()) <= 1 + 1e-5
    assert list(facts["classes"].values()) == sorted(facts["classes"].values(), reverse=True)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["dcgan", "--source", "photo.png", "--out", "x.png"], "takes no picture"),
        (["munit", "--out", "x.png"], "--source"),
        (["munit", "--source", "photo.png"], "--out"),
        (["munit", "--source", "nowhere.png", "--out", "x.png"], "nowhere.png"),
        (["dcgan", "--count", "0", "--out", "x.png"], "--count"),
        (["dcgan", "--out", "nowhere/x.png"], "there is no folder"),
    ],
)
def test_what_cannot_be_sampled_is_refused(
    bundles: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], words: str
) -> None:
    from runtime.errors import InlocoError

    monkeypatch.chdir(bundles)
    with pytest.raises(InlocoError, match=words):
        sample.main(["--engine", f"{arguments[0]}.onnx", *arguments[1:]])
    assert not (bundles / "x.png").exists()
