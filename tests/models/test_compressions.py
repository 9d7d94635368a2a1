"""What every compression promises, with teachers of every kind: trained systems, foreign networks, mere answers."""

from __future__ import annotations

import hashlib
import sys
import warnings
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from models.checkpoint import load_system, save_checkpoint, shipped_weights
from models.compress.distillation import Distillation
from models.compress.gated import GatedGenerator
from models.compress.teacher import Pixels
from models.data.batches import OneImage, TwoImages
from models.errors import ConfigError
from models.networks.pretrained import squeezenet_features
from models.recipe import make_recipe
from models.registry import COMPRESSIONS, SYSTEMS, build_system, system_class
from models.system import Clock
from models.trainer import Trainer

Train = Callable[..., Trainer]
TINY: dict[str, Any] = {
    "size": 32, "load_size": 0, "batch": 2, "total_kimg": 0.008, "accelerator": "cpu", "grid_images": 2, "width": 16,
    "blocks": 2, "critic_width": 4, "critic_field": 16, "widths": [8, 16], "budget_gmac": 0.06, "layers": 2,
    "population": 4, "generations": 2,
}  # fmt: skip
BASE = ("size", "load_size", "batch", "total_kimg", "accelerator", "grid_images")  # of data and training
# What needs the teacher's features or critic, to be left out where there are none.
WITHOUT_FEATURES: dict[str, dict[str, Any]] = {"omgd": {"lambda_channel": 0.0}, "gan_slimming": {}, "wavelet": {}}


class Foreign(nn.Module):
    """A network that was never ours: images 0..255, B G R, in and out."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3, 1, 1), nn.ReLU(),
            nn.ConvTranspose2d(8, 3, 4, 2, 1),
        )  # fmt: skip

    def forward(self, image: Tensor) -> Tensor:
        made: Tensor = self.layers(image / 255)
        return torch.sigmoid(made) * 255


@pytest.fixture(scope="session")
def squeezenet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A weight file of the perceptual terms' form."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "squeezenet.npz"
    np.savez(path, **{f"features.{name}": w.numpy() for name, w in squeezenet_features().state_dict().items()})
    return path


@pytest.fixture(scope="session")
def teachers(tmp_path_factory: pytest.TempPathFactory, small: Callable[[str], dict[str, Any]]) -> dict[str, Path]:
    """A file for each kind of teacher."""
    root = tmp_path_factory.mktemp("teachers")
    torch.manual_seed(0)
    made = {}
    for name, own in (("cyclegan", {}), ("pix2pix", {"generator": "resnet6", "norm": "batch"})):
        settings = small(name) | {"width": 8, "critic_field": 16} | own
        recipe = make_recipe({"system": name} | {k: v for k, v in settings.items() if k not in ("size", "load_size")})
        system = system_class(name)(recipe.system)
        (root / name).mkdir()
        made[name] = root / name / "checkpoint.safetensors"
        save_checkpoint(made[name], system, name, 1.0, shipped_weights(system))
        torch.save({"system": system.state_dict()}, root / name / "training.pt")
        recipe_file = root / f"{name}.toml"
        recipe_file.write_text(recipe.to_toml(), encoding="utf-8")
        made[f"{name} on-line"] = recipe_file
    made["foreign"] = root / "foreign.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.trace(Foreign().eval(), torch.zeros(1, 3, 32, 32)).save(made["foreign"])  # type: ignore[no-untyped-call]
    return made


@pytest.fixture
def train(images: Path, teachers: dict[str, Path], squeezenet: Path, tmp_path: Path) -> Train:
    """Compression, kind of teacher ("" = its answers), run folder and further settings → a trainer."""

    def trainer(name: str, kind: str, run: str = "run", **further: Any) -> Trainer:
        known = {field.name for field in fields(system_class(name).config)}
        values = {k: v for k, v in TINY.items() if k in known | set(BASE)} | {
            "system": name, "data": str(images), "teacher": str(teachers[kind]) if kind else "",
            "perception_weights": str(squeezenet),
        }  # fmt: skip
        if kind == "foreign":
            values |= {"teacher_range": [0, 255], "teacher_colour": "bgr"}
        if kind in ("foreign", ""):
            values |= WITHOUT_FEATURES[name]
        return Trainer(make_recipe(values | further), tmp_path / run)

    return trainer


KINDS = [(name, kind) for name in COMPRESSIONS for kind in ("cyclegan", "pix2pix")]
KINDS += [(name, kind) for name in WITHOUT_FEATURES for kind in ("foreign", "")]
KINDS += [(name, kind) for name in ("omgd", "dcd") for kind in ("cyclegan on-line", "pix2pix on-line")]


def run(trainer: Trainer, steps: int = 4) -> dict[str, Tensor]:
    log: dict[str, Tensor] = {}
    for batch, _ in zip(trainer.batches(), range(steps), strict=False):
        log = trainer.train_step(batch)
    return log


def fingerprint(module: nn.Module) -> str:
    digest = hashlib.sha256()
    for name, tensor in module.state_dict().items():
        if not isinstance(tensor, Tensor):
            continue  # an image pool's
        digest.update(name.encode() + tensor.detach().contiguous().numpy().tobytes())
    return digest.hexdigest()


@pytest.mark.parametrize(("name", "kind"), KINDS)
def test_a_student_learns_from_every_kind_of_teacher(name: str, kind: str, train: Train) -> None:
    trainer = train(name, kind)
    system = trainer.system
    assert isinstance(system, Distillation)
    teacher, student = fingerprint(system.teacher), fingerprint(system.student)
    log = run(trainer, 2)
    assert all(torch.isfinite(loss) for loss in log.values()), log
    assert trainer.guard.skipped == 0
    assert fingerprint(system.student) != student
    assert (fingerprint(system.teacher) == teacher) == ("on-line" not in kind)
    rows = trainer.samples()
    assert rows["student"].shape == rows["teacher"].shape == (2, 3, 32, 32)


@pytest.mark.parametrize("name", COMPRESSIONS)
def test_every_method_follows_a_module_that_was_never_ours(name: str, squeezenet: Path) -> None:
    known = {field.name for field in fields(system_class(name).config)}
    settings = {k: tuple(v) if isinstance(v, list) else v for k, v in TINY.items() if k in known}
    torch.manual_seed(0)
    system = build_system(name, settings | {"perception_weights": str(squeezenet)})
    assert isinstance(system, Distillation)
    foreign = Pixels(Foreign(), 0, 255, "bgr")
    system.teach(foreign)
    batch, before = OneImage(torch.rand(2, 3, 32, 32) * 2 - 1), fingerprint(foreign)
    system.prepare(batch)
    system.train()
    optimizers = {network: system.optimizer(network) for phase in system.phases() for network in phase.updates}
    for step in range(2):
        for phase in system.phases():
            losses = phase.losses(batch, Clock(step, 0.0, 1.0))
            parameters = [p for network in phase.updates for p in network.parameters() if p.requires_grad]
            torch.autograd.backward(torch.stack(list(losses.values())).sum(), inputs=parameters)
            for network in phase.updates:
                optimizers[network].step()
                optimizers[network].zero_grad()
            assert all(torch.isfinite(loss) for loss in losses.values()), (phase.name, losses)
    assert fingerprint(foreign) == before


@pytest.mark.parametrize("name", COMPRESSIONS)
def test_resuming_equals_an_uninterrupted_run(name: str, train: Train, tmp_path: Path) -> None:
    whole = train(name, "cyclegan", "whole")
    run(whole)
    whole.save()
    first = train(name, "cyclegan", "parts")
    run(first, 2)
    first.save()
    second = train(name, "cyclegan", "parts")
    assert second.resume()
    run(second)
    second.save()
    states = [torch.load(tmp_path / part / "training.pt", weights_only=True) for part in ("whole", "parts")]
    assert states[0]["step"] == states[1]["step"] == 4
    for key in ("system", "ema"):
        for entry, tensor in states[0][key].items():
            assert torch.equal(tensor, states[1][key][entry]), entry


@pytest.mark.parametrize("name", COMPRESSIONS)
def test_what_ships_needs_no_teacher(name: str, train: Train, tmp_path: Path) -> None:
    trainer = train(name, "cyclegan")
    run(trainer)
    trainer.save()
    weights = trainer.ema.shadow if trainer.ema else {}
    assert not any("teacher" in key or "critic" in key for key in weights)
    system, info = load_system(tmp_path / "run" / "checkpoint.safetensors")
    assert (info.system, info.parts) == (name, ("generator",))
    image = torch.rand(1, 3, 64, 32) * 2 - 1
    assert trainer.ema is not None
    with trainer.ema.applied(trainer.system), torch.no_grad():
        wanted = trainer.system.deployables()["generator"].module.eval()(image)
        torch.testing.assert_close(system.deployables()["generator"].module.eval()(image), wanted)
        torch.testing.assert_close(trainer.system.eval().student(image), wanted, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", ["gan_compression", "cat", "dmad"])
def test_the_budget_is_met_by_the_end(name: str, train: Train) -> None:
    trainer = train(name, "cyclegan", budget_gmac=0.055, total_kimg=0.02)
    student = trainer.system.student
    assert isinstance(student, GatedGenerator)
    assert student.gmac(student.widths()) > 0.055
    run(trainer, 10)
    assert student.gmac(student.widths()) <= 0.055


def test_slimming_closes_channels_whose_strength_reached_zero(train: Train) -> None:
    trainer = train("gan_slimming", "cyclegan", rho=2.0, lr_strength=0.01)  # by 0.02 at each step
    student = trainer.system.student
    assert isinstance(student, GatedGenerator)
    few, many = student.gates()[1:]
    for gate, dead in ((few, 4), (many, 12)):
        assert gate.strength is not None
        gate.strength.data[:dead] = 0.01
    run(trainer, 1)
    assert few.open.tolist() == [0] * 4 + [1] * 12
    assert many.open.tolist() == [1] * 16  # a block keeps eight
    assert few.strength is not None
    assert torch.equal(few.strength != 0, few.open.bool())


def test_a_frozen_teacher_stays_in_evaluation_and_gets_no_gradient(train: Train) -> None:
    system = train("dcd", "pix2pix").system
    assert isinstance(system, Distillation)
    system.train()
    assert not any(module.training for module in system.teacher.modules())
    assert not any(parameter.requires_grad for parameter in system.teacher.parameters())


def test_a_frozen_teachers_critic_comes_from_its_run(train: Train, teachers: dict[str, Path]) -> None:
    system: Any = train("dcd", "cyclegan").system
    stored = torch.load(teachers["cyclegan"].with_name("training.pt"), weights_only=True)["system"]
    for key, tensor in system.critic.state_dict().items():
        assert torch.equal(tensor, stored[f"critic_b.{key}"])


def test_a_teacher_may_be_a_module_in_another_range(train: Train) -> None:
    trainer = train("omgd", "foreign")
    system = trainer.system
    assert isinstance(system, Distillation)
    batch = next(trainer.batches())
    assert isinstance(batch, OneImage)
    torch.manual_seed(0)
    network = system.teacher.network
    assert network is not None
    given = ((batch.image + 1) * 127.5).flip(1)
    wanted = network.network(given).flip(1) / 127.5 - 1  # type: ignore[operator]
    torch.testing.assert_close(system.teacher.answer(batch), wanted, atol=1e-5, rtol=1e-5)
    system.teach(nn.Identity())
    assert torch.equal(system.teacher.answer(batch), batch.image)


def test_the_way_back_of_an_unpaired_system_can_be_taught(train: Train) -> None:
    trainer = train("wavelet", "cyclegan", teacher_part="ba", dataset="unpaired")
    batch: Any = next(trainer.batches())
    assert isinstance(batch, TwoImages)
    assert torch.equal(trainer.system.teacher.source(batch), batch.b)  # type: ignore[operator,union-attr]
    run(trainer, 1)


def test_two_teachers_may_teach(train: Train, teachers: dict[str, Path]) -> None:
    trainer = train("omgd", "cyclegan on-line", deeper=str(teachers["cyclegan"]))
    log = run(trainer, 1)
    assert {"S/ssim", "S/deeper_ssim", "S/channel", "T_G/cycle_a"} <= log.keys()
    assert "S/deeper_channel" not in log


@pytest.mark.parametrize(
    ("name", "teacher", "settings", "said"),
    [
        ("omgd", "style.onnx", {}, "let its engine answer"),
        ("omgd", "nowhere.pt", {}, "there is no teacher nowhere.pt"),
        ("omgd", "foreign", {"lambda_channel": 1.0}, "cannot be looked into"),
        ("dcd", "", {}, "answers have no features"),
        ("omgd", "cyclegan", {"teacher_part": "bb"}, "no part 'bb'; it has ab, ba"),
        ("omgd", "cyclegan", {"teacher_layers": ["nothing"]}, "no layer 'nothing'"),
        ("omgd", "cyclegan", {"perception_weights": ""}, "give perception_weights"),
        ("omgd", "foreign", {"teacher_range": [1, 0]}, "black must be below white"),
        ("cat", "cyclegan", {"batch": 1}, "two images or more"),
        ("cat", "cyclegan", {"budget_gmac": 1e-4}, "raise the budget"),
        ("gan_compression", "cyclegan", {"widths": [8, 12]}, "width = 16"),
        ("gan_slimming", "cyclegan", {"branched": True}, "branched = false"),
    ],
)
def test_what_cannot_teach_is_refused(
    name: str, teacher: str, settings: dict[str, Any], said: str, train: Train, teachers: dict[str, Path]
) -> None:
    kind = teacher if teacher in teachers else "cyclegan"
    given = {} if kind == teacher else {"dataset": "paired" if not teacher else "", "teacher": teacher}
    with pytest.raises(ConfigError, match=said):
        train(name, kind, **given, **settings)


@pytest.mark.parametrize("name", COMPRESSIONS)
def test_its_file_names_its_paper_and_its_differences(name: str) -> None:
    doc = sys.modules[system_class(name).__module__].__doc__ or ""
    assert "\nPaper: " in doc
    assert "\nDiffers from the paper: " in doc
    assert name not in SYSTEMS
