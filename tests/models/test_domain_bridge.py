"""Domain Bridge's checkable properties."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from torch.nn import functional as F

from models.data.batches import Bridged
from models.data.bridged import BridgedDomains
from models.data.datasets import DataConfig, open_dataset
from models.data.images import Crop, View
from models.data.segmentation import UNKNOWN, LabelFolder, label_map
from models.errors import DataError
from models.recipe import make_recipe
from models.registry import build_system
from models.system import Clock
from models.systems.domain_bridge import DomainBridge, Threshold
from models.train import train

Tiny = Callable[..., tuple[DomainBridge, Bridged]]
CLASSES = ("background", "spot")


def at(fraction: float, step: int = 0) -> Clock:
    return Clock(step, kimg=fraction, total_kimg=1.0)


@pytest.fixture
def bridge(tmp_path: Path) -> Path:
    """Three even pictures and where they are from."""
    folder = tmp_path / "web"
    folder.mkdir()
    for k in range(3):
        cv2.imwrite(str(folder / f"{k}.png"), np.full((40, 40, 3), 255, np.uint8))
    (folder / "provenance.txt").write_text("a channel's five drives, clear sky\n")
    return folder


@pytest.fixture
def cfg(images: Path) -> DataConfig:
    return DataConfig(data=str(images), size=32, load_size=0, domains=CLASSES)


def test_the_bridge_changes_the_samplers_and_not_the_networks(
    cfg: DataConfig, bridge: Path, recipe_values: Callable[..., dict[str, Any]]
) -> None:
    plain = BridgedDomains(cfg, 0)
    bridged = BridgedDomains(DataConfig(**vars(cfg) | {"bridge_a": str(bridge)}), 0)
    samples = [bridged.sample(k) for k in range(16)]
    white = [bool((sample.a == 1).all()) for sample in samples]
    assert sum(white) == 6  # three of eight in each pass
    assert not any((plain.sample(k).a == 1).all() or (samples[k].b == 1).all() for k in range(16))
    assert all(torch.equal(plain.sample(k).label, samples[k].label) for k in range(16)), "labels are the source's own"
    assert bridged.provenance == {str(bridge): "3 images; a channel's five drives, clear sky"}
    with torch.device("meta"):
        values = recipe_values("domain_bridge")
        sizes = [
            {name: t.shape for name, t in DomainBridge(make_recipe(values | further).system).state_dict().items()}
            for further in ({}, {"bridge_a": str(bridge), "bridge_b": str(bridge)})
        ]
    assert sizes[0] == sizes[1]


def test_a_run_keeps_where_the_bridge_is_from_and_a_bridge_must_say_it(
    bridge: Path, recipe_values: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    recipe = make_recipe(recipe_values("domain_bridge", bridge_b=str(bridge)))
    assert train(recipe, tmp_path / "run")
    assert json.loads((tmp_path / "run" / "data.json").read_text())[str(bridge)].startswith("3 images; a channel's")
    (bridge / "provenance.txt").unlink()
    with pytest.raises(DataError, match="does not say where its pictures are from"):
        open_dataset("bridged", recipe.data, 0)


def test_the_same_source_image_is_translated_anew_in_every_step(tiny_system: Tiny) -> None:
    system, batch = tiny_system("domain_bridge")
    one, other = system.restyled(batch.source), system.restyled(batch.source)
    assert (one - other).abs().max() > 1e-3
    torch.manual_seed(4)
    loss = system.s_losses(batch, at(1))["translated"]
    torch.manual_seed(4)
    logits = system.segmenter(system.restyled(batch.source))
    torch.testing.assert_close(loss, F.cross_entropy(logits, batch.label))


@pytest.mark.parametrize("sure", [True, False])
def test_alpha_gets_a_gradient_is_logged_and_falls_where_the_segmenter_is_sure(sure: bool, tiny_system: Tiny) -> None:
    system, batch = tiny_system("domain_bridge")
    assert float(system.pseudo_losses(batch, at(1))["alpha"].detach()) == pytest.approx(0.1 * 0.8**2)
    system.segmenter.head.bias.data[1] = 20.0 if sure else 0.0
    optimizer = system.optimizer(system.threshold)
    for _ in range(5):
        optimizer.zero_grad()
        torch.stack([*system.pseudo_losses(batch, at(1)).values()]).sum().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    alpha = float(system.threshold.alpha.detach())
    assert alpha == pytest.approx(0.8 - 5e-3 if sure else 0.8 + 5e-3, abs=1e-4)  # Adam's first steps are of its rate


def test_a_pixel_counts_where_it_is_sure_enough_and_alphas_slope_is_a_sigmoids() -> None:
    threshold = Threshold(0.8, 0.1)
    certainty = torch.tensor([0.5, 0.79, 0.8, 0.99])
    weights = threshold(certainty)
    assert weights.tolist() == pytest.approx([0, 0, 1, 1])
    (slope,) = torch.autograd.grad(weights.sum(), threshold.alpha)
    soft = torch.sigmoid((certainty - 0.8) / 0.1)
    assert float(slope) == pytest.approx(-float((soft * (1 - soft) / 0.1).sum()), rel=1e-5)
    threshold.alpha.data.fill_(1.5)
    threshold.clip()
    assert threshold.alpha.item() == 1


def test_pseudo_labels_take_no_truth_of_the_target(tiny_system: Tiny, images: Path, cfg: DataConfig) -> None:
    """trainB has masks beside it; the samples and the loss are the same whether they are there or not."""
    assert (images / "trainB_mask").is_dir()
    system, batch = tiny_system("domain_bridge")
    other = Bridged(batch.a, batch.b, batch.source, 1 - batch.label, batch.target)
    system.eval()
    losses = [system.pseudo_losses(each, at(1))["pseudo"] for each in (batch, other)]
    assert torch.equal(*losses)
    assert set(vars(batch)) == {"a", "b", "source", "label", "target"}
    assert not BridgedDomains(cfg, 0).labels.folder.name.startswith("trainB")


def test_translation_comes_first_and_pseudo_labels_at_a_quarter_of_the_later_steps(tiny_system: Tiny) -> None:
    system, _ = tiny_system("domain_bridge")
    due = {f: [phase.name for phase in system.phases() if phase.when(at(f))] for f in (0.0, 0.49, 0.5, 1.0)}
    assert due[0.0] == due[0.49] == ["D", "G"]
    assert due[0.5][0] == due[1.0][0] == "S"
    shares = [system.relies_on_itself(at(0.9, step)) for step in range(2000)]
    assert 0.22 < sum(shares) / 2000 < 0.28


def test_each_part_can_be_switched_off(tiny_system: Tiny) -> None:
    system, batch = tiny_system("domain_bridge", lambda_translated=0.0, lambda_pseudo=0.0)
    assert set(system.s_losses(batch, at(1))) == {"source"}
    assert [phase.name for phase in system.phases()] == ["D", "G", "S"]


def test_what_ships_is_the_translation_with_its_style_and_the_segmenter(tiny_system: Tiny) -> None:
    system, batch = tiny_system("domain_bridge")
    parts = system.deployables()
    assert parts["ab"].controls[0].companion == "style_b"
    part = parts["segmenter"]
    assert (part.returns, part.names, part.multiple) == (("segmentation",), ("dark", "light"), 8)
    assert part.module(batch.target).shape == (2, 2, 32, 32)


def test_munits_networks_have_the_specified_size() -> None:
    with torch.device("meta"):
        coder = build_system("domain_bridge").get_submodule("coder_a")
    millions = {n: sum(p.numel() for p in coder.get_submodule(n).parameters()) / 1e6 for n in ("content", "style")}
    assert millions == pytest.approx({"content": 5.39, "style": 2.76}, abs=0.005)
    assert sum(p.numel() for p in coder.parameters()) / 1e6 == pytest.approx(15.03, rel=1e-3)


def labels_beside(folder: Path, name: str, pixels: np.ndarray) -> Path:
    images = folder / "drive"
    for where, content in ((images, np.zeros((*pixels.shape, 3), np.uint8)), (folder / name, pixels)):
        where.mkdir(exist_ok=True)
        cv2.imwrite(str(where / "7.png"), content)
    return images


def test_labels_are_cut_as_their_image_and_unknown_pixels_teach_nothing(tmp_path: Path, tiny_system: Tiny) -> None:
    stored = np.zeros((40, 60), np.uint8)
    stored[:, 30:], stored[:8] = 2, UNKNOWN
    images = labels_beside(tmp_path, "drive_labels", stored)
    labels = LabelFolder(images, ("road", "car", "sky"))
    planes = labels.of(images / "7.png", (40, 60, 3))
    whole = label_map(planes, View(40, 0, False), Crop(0.0, 0.0, False))
    assert torch.equal(whole, torch.from_numpy(stored[:, :40].astype(np.int64)))
    mirrored = label_map(planes, View(40, 0, False), Crop(0.0, 1.0, True))
    assert torch.equal(mirrored, torch.from_numpy(stored[:, 20:][:, ::-1].astype(np.int64)))
    halved = label_map(planes, View(20, 20, False), Crop(0.0, 0.0, False))
    assert torch.equal(halved, torch.from_numpy(stored[::2, :40:2].astype(np.int64)))
    system, batch = tiny_system("domain_bridge")
    unknown = torch.full_like(batch.label, UNKNOWN)
    assert float(system.misread(batch.source, unknown).detach()) == 0


@pytest.mark.parametrize(
    ("names", "pixels", "words"),
    [
        (("one",), 0, "two classes or more"), (CLASSES, 3, "has the class 3, but 2 classes are named"),
        (("a", "b", "c"), None, "no segmentation labels of .*drive_labels/NAME.png"),
    ],
)  # fmt: skip
def test_labels_that_do_not_suit_are_refused(
    names: tuple[str, ...], pixels: int | None, words: str, tmp_path: Path
) -> None:
    where = "drive_labels" if pixels is not None else "elsewhere"
    images = labels_beside(tmp_path, where, np.full((8, 8), pixels or 0, np.uint8))
    with pytest.raises(DataError, match=words):
        LabelFolder(images, names).of(images / "7.png", (8, 8, 3))


def test_an_image_without_labels_is_named(tmp_path: Path) -> None:
    images = labels_beside(tmp_path, "drive_labels", np.zeros((8, 8), np.uint8))
    labels = LabelFolder(images, CLASSES)
    with pytest.raises(DataError, match=r"has no labels of 8\.png"):
        labels.check([images / "7.png", images / "8.png"])
