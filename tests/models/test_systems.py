"""What every system of the registry promises, checked on all of them at tiny widths."""

from __future__ import annotations

import ast
import importlib
import inspect
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from models.checkpoint import load_system, save_checkpoint, shipped_weights
from models.registry import SYSTEMS, system_class
from models.system import Batch, Deployable, System
from models.trainer import Trainer, run_phase

Tiny = Callable[..., tuple[System, Batch]]
MakeTrainer = Callable[..., Trainer]
UNBOUNDED = {"stargan_v2", "srgan", "sincut"}  # images whose range only the frame graph clamps, as published
ENLARGES = {"srgan": 4}


@pytest.fixture(params=SYSTEMS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def own_parameters(system: System, networks: tuple[torch.nn.Module, ...]) -> set[str]:
    ids = {id(p) for network in networks for p in network.parameters()}
    return {key for key, p in system.named_parameters() if id(p) in ids}


def inputs(part: Deployable, size: int, seed: int = 1) -> list[Tensor]:
    torch.manual_seed(seed)
    image = [torch.rand(2, part.channels_in, size, size) * 2 - 1] if part.channels_in else []
    return image + [torch.rand(2, *control.fixed(size, size)[1:]) for control in part.controls]


def answers(part: Deployable, given: list[Tensor]) -> tuple[Tensor, ...]:
    with torch.no_grad():
        outputs = part.module.eval()(*given)
    return (outputs,) if isinstance(outputs, Tensor) else tuple(outputs)


def assert_same_state(left: Any, right: Any) -> None:
    """Bit for bit, through any nesting."""
    if isinstance(left, Tensor):
        assert torch.equal(left, right)
    elif isinstance(left, dict):
        assert left.keys() == right.keys()
        for key in left:
            assert_same_state(left[key], right[key])
    elif isinstance(left, (list, tuple)):
        assert len(left) == len(right)
        for one, other in zip(left, right, strict=True):
            assert_same_state(one, other)
    else:
        assert left == right


def test_each_phase_moves_only_its_own_networks(name: str, tiny_trainer: MakeTrainer) -> None:
    trainer = tiny_trainer(name)
    system, batch = trainer.system, next(trainer.batches())
    for phase in trainer.phases:
        before = {key: p.detach().clone() for key, p in system.named_parameters()}
        run_phase(phase, trainer.optimizers, (batch, trainer.clock), trainer.fabric, trainer.guard)
        moved = {key for key, p in system.named_parameters() if not torch.equal(p, before[key])}
        assert moved <= own_parameters(system, phase.updates), phase.name
        for network in phase.updates:
            assert moved & own_parameters(system, (network,)), f"{phase.name} leaves a network where it was"


def test_a_phases_networks_are_disjoint_and_every_parameter_has_a_phase(name: str, tiny_system: Tiny) -> None:
    system, _ = tiny_system(name)
    trained: set[str] = set()
    for phase in system.phases():
        owned = [own_parameters(system, (network,)) for network in phase.updates]
        assert sum(map(len, owned)) == len(set().union(*owned)), phase.name
        trained |= set().union(*owned)
    assert trained == {key for key, p in system.named_parameters() if p.requires_grad}


def test_losses_are_finite_scalars(name: str, tiny_trainer: MakeTrainer) -> None:
    trainer = tiny_trainer(name)
    for batch, _ in zip(trainer.batches(), range(2), strict=False):
        log = trainer.train_step(batch)
        assert log
        for key, loss in log.items():
            assert loss.ndim == 0, key
            assert torch.isfinite(loss), key
    assert trainer.guard.skipped == 0


def test_a_step_is_the_same_under_the_same_seed(name: str, tiny_trainer: MakeTrainer) -> None:
    states = []
    for run in ("one", "two"):
        trainer = tiny_trainer(name, run)
        for batch, _ in zip(trainer.batches(), range(2), strict=False):
            trainer.train_step(batch)
        states.append(trainer.system.state_dict())
    assert_same_state(*states)


def test_resuming_equals_an_uninterrupted_run(name: str, tiny_trainer: MakeTrainer, tmp_path: Path) -> None:
    whole = tiny_trainer(name, "whole")
    for batch in whole.batches():
        whole.train_step(batch)
        if whole.step == 1:
            whole.samples()  # looking must not change the course
    whole.save()
    first = tiny_trainer(name, "parts")
    assert not first.resume()
    for batch in first.batches():
        first.train_step(batch)
        if first.step == 2:
            break
    first.save()
    second = tiny_trainer(name, "parts")
    assert second.resume()
    for batch in second.batches():
        second.train_step(batch)
    second.save()
    assert whole.step == second.step == 4
    states = [torch.load(tmp_path / run / "training.pt", weights_only=True) for run in ("whole", "parts")]
    assert_same_state(*states)


def test_what_ships_makes_the_same_pictures_when_loaded(name: str, tiny_system: Tiny, tmp_path: Path) -> None:
    system, batch = tiny_system(name)
    path = tmp_path / "checkpoint.safetensors"
    save_checkpoint(path, system, name, 1.5, shipped_weights(system))
    loaded, info = load_system(path)
    assert (info.system, info.kimg, info.parts) == (name, 1.5, tuple(system.deployables()))
    rows = []
    for each in (system.eval(), loaded):
        torch.manual_seed(3)
        rows.append(each.samples(batch))
    assert_same_state(*rows)


def test_the_whole_state_comes_back(name: str, tiny_system: Tiny) -> None:
    system, _ = tiny_system(name)
    other, _ = tiny_system(name)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(1.0)
    other.load_state_dict(system.state_dict())
    assert_same_state(system.state_dict(), other.state_dict())


def test_deployables_give_what_they_declare(
    name: str, tiny_system: Tiny, small: Callable[[str], dict[str, Any]]
) -> None:
    system, _ = tiny_system(name)
    size = small(name).get("size", 32)
    for part in system.deployables().values():
        outputs = answers(part, inputs(part, size))
        assert len(outputs) == len(part.returns)
        for kind, output in zip(part.returns, outputs, strict=True):
            assert output.shape[0] == 2
            assert torch.isfinite(output).all()
            if kind == "image":
                assert output.ndim == 4
                assert output.shape[1] in (1, 3)
                assert name in UNBOUNDED or output.abs().max() <= 1
                if part.channels_in:
                    assert output.shape[2:] == (size * ENLARGES.get(name, 1),) * 2


def test_no_picture_starts_where_tanh_is_flat(
    name: str, tiny_system: Tiny, small: Callable[[str], dict[str, Any]]
) -> None:
    """There L1 has no gradient: what starts black stays black."""
    system, _ = tiny_system(name)
    for part in system.deployables().values():
        for kind, output in zip(part.returns, answers(part, inputs(part, small(name).get("size", 32))), strict=True):
            if kind == "image" and name not in UNBOUNDED:
                assert (output.abs() > 0.99).float().mean() < 0.2


def test_a_deployable_draws_nothing_and_judges_each_image_alone(
    name: str, tiny_system: Tiny, small: Callable[[str], dict[str, Any]]
) -> None:
    system, _ = tiny_system(name)
    for part in system.deployables().values():
        given = inputs(part, small(name).get("size", 32))
        torch.manual_seed(1)
        both = answers(part, given)
        torch.manual_seed(2)
        again = answers(part, given)
        alone = answers(part, [tensor[:1] for tensor in given])
        for output, repeated, first in zip(both, again, alone, strict=True):
            assert torch.equal(output, repeated)
            torch.testing.assert_close(output[:1], first, rtol=1e-4, atol=1e-5)


def test_every_shipped_weight_is_the_systems_own(name: str, tiny_system: Tiny) -> None:
    system, _ = tiny_system(name)
    own = {id(tensor) for tensor in system.state_dict(keep_vars=True).values()}
    for part in system.deployables().values():
        assert all(id(tensor) in own for tensor in part.module.state_dict(keep_vars=True).values())


def test_a_size_that_does_not_suit_is_told(name: str, tiny_system: Tiny) -> None:
    system, _ = tiny_system(name)
    for part in system.deployables().values():
        assert bool(part.refusal(33, 33)) == bool(part.takes_size and (part.multiple > 1 or part.fixed_size))


def test_a_config_has_no_dead_field(name: str) -> None:
    config = system_class(name).config
    classes = (*config.__mro__, *system_class(name).__mro__)
    modules = {cls.__module__ for cls in classes if cls.__module__.startswith("models.")}
    read: set[str] = set()
    for module in modules:
        tree = ast.parse(inspect.getsource(importlib.import_module(module)))
        read |= {
            node.attr for node in ast.walk(tree)
            if isinstance(node, ast.Attribute) and ast.unparse(node.value) in ("cfg", "self.cfg")
        }  # fmt: skip
    data = {field.name for field in fields(importlib.import_module("models.data.datasets").DataConfig)}
    assert {field.name for field in fields(config)} - read - data == set()


def test_a_systems_file_names_its_paper_and_its_differences(name: str) -> None:
    text = inspect.getdoc(importlib.import_module(system_class(name).__module__)) or ""
    assert "\nPaper: " in text
    assert "\nDiffers from the paper: " in text


def test_the_registry_and_the_files_agree(root: Path) -> None:
    files = {path.stem for path in (root / "models" / "systems").glob("*.py")} - {"__init__"}
    assert {place.partition(":")[0].rpartition(".")[2] for place in SYSTEMS.values()} == files
