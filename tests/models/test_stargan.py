"""StarGAN's checkable properties, its parameter counts, and joint training on two data sets."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from models.data.attributes import read_attributes
from models.data.batches import LabelledBy
from models.data.datasets import LabelledSets
from models.data.places import DataConfig
from models.errors import ConfigError, DataError
from models.registry import build_system
from models.system import Clock
from models.systems.stargan import StarGan

CLOCK = Clock()
JOINT: dict[str, Any] = {
    "attributes": ("Young", "Male"), "domains": ("dark", "light"), "size": 32, "width": 4, "blocks": 1,
    "critic_width": 4, "critic_layers": 3,
}  # fmt: skip


def joint() -> tuple[StarGan, LabelledBy]:
    """One sample with attributes, one with a class."""
    torch.manual_seed(0)
    system = build_system("stargan", JOINT)
    assert isinstance(system, StarGan)
    label = torch.tensor([[1.0, 0, 0, 0], [0, 0, 0, 1]])
    target = torch.tensor([[0, 1.0, 0, 0], [0, 0, 1, 0]])
    return system, LabelledBy(torch.rand(2, 3, 32, 32) * 2 - 1, label, target, torch.tensor([0, 1]))


@pytest.fixture
def celeba(images: Path, tmp_path: Path) -> Path:
    """Five images, and a list that names a sixth."""
    folder = tmp_path / "celeba"
    (folder / "images").mkdir(parents=True)
    rows = ["6", "Bald Male Young"]
    for k in range(6):
        if k < 5:
            (folder / "images" / f"{k}.png").write_bytes((images / "train" / f"{k}.png").read_bytes())
        rows.append(f"{k}.png  -1 {1 if k % 2 else -1}  {1 if k < 3 else -1}")
    (folder / "list_attr_celeba.txt").write_text("\n".join(rows) + "\n")
    return folder


def test_parameters_are_those_of_the_official_networks() -> None:
    classes = tuple(f"class {k}" for k in range(8))
    with torch.device("meta"):
        one, two = build_system("stargan"), build_system("stargan", {"domains": classes})

    def count(system: nn.Module, name: str) -> float:
        return sum(p.numel() for p in system.get_submodule(name).parameters()) / 1e6

    assert count(one, "generator") == pytest.approx(8.43, rel=1e-3)
    assert count(one, "critic") == pytest.approx(44.76, rel=1e-3)
    assert count(two, "generator") == pytest.approx(8.46, rel=1e-3)
    assert dict(two.named_parameters())["critic.classes.weight"].shape[0] == 13


def test_a_label_has_an_effect_which_reflection_padding_would_take_away() -> None:
    system, batch = joint()
    labels = [torch.zeros(2, 6), torch.ones(2, 6)]
    first = system.generator.layers[0]
    assert isinstance(first, nn.Conv2d)

    def effect() -> float:
        with torch.no_grad():
            zero, one = (system.generator(batch.image, label) for label in labels)
        return float((zero - one).abs().max())

    assert first.padding_mode == "zeros"
    assert effect() > 1e-2
    first.padding_mode = "reflect"
    first._reversed_padding_repeated_twice = [3, 3, 3, 3]
    assert effect() < 1e-4


def test_the_critic_has_no_norm() -> None:
    system, _ = joint()
    assert not any("Norm" in type(module).__name__ for module in system.critic.modules())


def test_logits_of_the_other_data_set_get_no_gradient() -> None:
    system, batch = joint()
    logits = torch.randn(2, 4, requires_grad=True)
    (gradient,) = torch.autograd.grad(system.class_loss(logits, batch.label, batch.source), logits)
    assert torch.equal(gradient[0, 2:], torch.zeros(2))
    assert torch.equal(gradient[1, :2], torch.zeros(2))
    assert gradient[0, :2].abs().min() > 0
    assert gradient[1, 2:].abs().min() > 0


def test_the_class_loss_in_closed_form() -> None:
    system, batch = joint()
    undecided = torch.zeros(2, 4)  # two attributes at ln 2 each; one of two classes at ln 2
    loss = system.class_loss(undecided, batch.label, batch.source)
    assert loss.item() == pytest.approx(0.693147 * (2 + 1) / 2, rel=1e-5)


def test_the_unified_label_ends_in_the_mask_and_the_cycle_goes_back_with_it() -> None:
    system, batch = joint()
    unified = system.unified(batch.label, batch.source)
    assert unified.tolist() == [[1, 0, 0, 0, 1, 0], [0, 0, 0, 1, 0, 1]]
    given: list[torch.Tensor] = []

    class Spy(nn.Module):
        def forward(self, image: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
            given.append(label)
            return image.clone()

    system.generator = Spy()  # type: ignore[assignment]
    assert system.g_losses(batch, CLOCK)["cycle"] == 0
    assert torch.equal(given[0], system.unified(batch.target, batch.source))
    assert torch.equal(given[1], unified)


def test_each_data_set_ships_with_its_own_labels_by_name() -> None:
    system, batch = joint()
    parts = system.deployables()
    assert {name: part.controls[0].names for name, part in parts.items()} == {
        "attributes": ("Young", "Male"), "domains": ("dark", "light"),
    }  # fmt: skip
    label = torch.tensor([[0.0, 1.0]]).expand(2, -1)
    for name, unified in (("attributes", [0.0, 1, 0, 0, 1, 0]), ("domains", [0.0, 0, 0, 1, 0, 1])):
        expected = system.generator(batch.image, torch.tensor([unified]).expand(2, -1))
        assert torch.equal(parts[name].module(batch.image, label), expected)


def test_what_ships_takes_the_statistics_of_the_image_in_training_and_after() -> None:
    system, batch = joint()
    norms = [m for m in system.generator.modules() if isinstance(m, nn.InstanceNorm2d)]
    assert norms
    assert all(m.affine and not m.track_running_stats for m in norms)
    label = torch.zeros(2, 6)
    assert torch.equal(system.train().generator(batch.image, label), system.eval().generator(batch.image, label))


def test_the_generator_follows_every_fifth_critic_step() -> None:
    with torch.device("meta"):
        phases = build_system("stargan").phases()
    due = {phase.name: [step for step in range(10) if phase.when(Clock(step))] for phase in phases}
    assert due == {"D": list(range(10)), "G": [4, 9]}


def test_two_data_sets_come_in_turn_with_targets_of_their_own(celeba: Path, images: Path) -> None:
    settings = {"attributes": ("Young", "Male"), "domains": ("dark", "light"), "size": 32, "load_size": 32}
    data = LabelledSets(DataConfig(data_a=str(celeba), data_b=str(images / "train"), **settings), 0)  # type: ignore[arg-type]
    samples = [data.sample(k) for k in range(20)]
    assert [int(s.source) for s in samples] == [0, 1] * 10
    for sample in samples:
        for label in (sample.label, sample.target):
            unknown = label[2:] if sample.source == 0 else label[:2]
            assert not unknown.any()
    assert {tuple(s.label[2:].tolist()) for s in samples[1::2]} == {(1.0, 0.0), (0.0, 1.0)}
    assert any(not torch.equal(s.label, s.target) for s in samples)
    assert data.images == 5 + 10


def test_an_attribute_list_is_read_by_names_and_missing_images_are_left_out(celeba: Path) -> None:
    files, values = read_attributes(celeba, ("Young", "Male"))
    assert [path.name for path in files] == [f"{k}.png" for k in range(5)]
    assert values.tolist() == [[1, 0], [1, 1], [1, 0], [0, 1], [0, 0]]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda text: text.replace("Young", "Old"), r"has no attribute 'Young'; it has Bald, Male, Old"),
        (lambda text: text.replace("3.png  -1", "3.png  0"), r"the line of '3.png' is not a name and 3 times 1 or -1"),
        (lambda text: text.replace(".png", ".jpg"), "none of the 6 images"),
        (lambda _: "6\n", "is no attribute list"),
    ],
)
def test_a_broken_attribute_list_is_told(celeba: Path, change: Callable[[str], str], words: str) -> None:
    path = celeba / "list_attr_celeba.txt"
    path.write_text(change(path.read_text()))
    with pytest.raises(DataError, match=words):
        read_attributes(celeba, ("Young",))


def test_the_images_stand_where_celebas_archives_put_them(celeba: Path) -> None:
    wanted, values = read_attributes(celeba, ("Young",))
    wanted[0].parent.rename(celeba / "img_align_celeba")
    files, again = read_attributes(celeba, ("Young",))
    assert [path.parent.name for path in files] == ["img_align_celeba"] * len(wanted)
    assert again.tolist() == values.tolist()


def test_what_cannot_be_trained_is_told(images: Path) -> None:
    with pytest.raises(DataError, match="has no attribute list"):
        read_attributes(images / "train", ("Young",))
    with pytest.raises(DataError, match="say which labels to learn"):
        LabelledSets(DataConfig(data=str(images)), 0)
    with pytest.raises(ConfigError, match="needs labels"):
        build_system("stargan", {"attributes": ()})
    with pytest.raises(ConfigError, match=r"size = 100 is not a multiple of 2\^critic_layers = 64"):
        build_system("stargan", {"size": 100})
