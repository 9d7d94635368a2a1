"""The training loop: several processes, stopping, going on, and what it does when numbers go wrong."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import models.train
from models.data.images import read_pixels
from models.errors import CheckpointError, ConfigError, ModelsError, run_command
from models.recipe import make_recipe
from models.system import Batch
from models.train import StopRequest, train
from models.trainer import PATIENCE, Divergence, Trainer

MakeTrainer = Callable[..., Trainer]
Values = Callable[..., dict[str, Any]]


def settings(values: dict[str, Any]) -> list[str]:
    return [word for name, value in values.items() for word in ("--set", f"{name}={json.dumps(value)}")]


def quiet_environment() -> dict[str, str]:
    return os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}


def test_two_processes_equal_one(root: Path, tmp_path: Path, recipe_values: Values) -> None:
    """Two gloo processes of one image each, one process of two; pools would differ, so there are none."""
    values = recipe_values("cyclegan", augment="", pool_size=0, generator="compact", norm="none", ema=0.5)
    train(make_recipe(values), tmp_path / "one")
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [*torchrun, "-m", "models.train", *settings(values), "--out", str(tmp_path / "two")]
    done = subprocess.run(command, cwd=root, env=quiet_environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    one, two = (load_file(tmp_path / run / "checkpoint.safetensors") for run in ("one", "two"))
    assert one.keys() == two.keys()
    for name in one:
        torch.testing.assert_close(one[name], two[name], atol=1e-5, rtol=1e-4)
    states = torch.load(tmp_path / "two" / "training.pt", weights_only=True)["processes"]
    assert len(states) == 2
    assert not torch.equal(states[0]["random"]["cpu"], states[1]["random"]["cpu"]), "each draws its own noise"


def test_ctrl_c_saves_and_going_on_ends_where_an_uninterrupted_run_does(
    tmp_path: Path, recipe_values: Values, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = make_recipe(recipe_values("cyclegan"))
    assert train(recipe, tmp_path / "whole")
    step = Trainer.train_step

    def interrupted(trainer: Trainer, batch: Batch) -> dict[str, torch.Tensor]:
        os.kill(os.getpid(), signal.SIGINT)
        return step(trainer, batch)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "train_step", interrupted)
        assert not train(recipe, tmp_path / "parts")
    assert torch.load(tmp_path / "parts" / "training.pt", weights_only=True)["step"] == 1
    assert train(recipe, tmp_path / "parts")
    one, two = (load_file(tmp_path / run / "checkpoint.safetensors") for run in ("whole", "parts"))
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_a_second_ctrl_c_stops_at_once() -> None:
    with StopRequest() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.asked
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_the_command_says_where_the_checkpoint_is_and_returns_130_when_stopped(
    tmp_path: Path, recipe_values: Values, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    values = recipe_values("wgan", total_kimg=0.002)
    monkeypatch.setattr(sys, "argv", ["models.train", *settings(values), "--out", str(tmp_path / "run")])
    assert run_command(models.train.main) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'run' / 'checkpoint.safetensors'}\n"
    monkeypatch.setattr(models.train, "train", lambda *_: False)
    assert run_command(models.train.main) == 130


def test_a_run_leaves_recipe_checkpoint_grid_and_log(tmp_path: Path, recipe_values: Values) -> None:
    values = recipe_values("cut", log_every=1)
    handler = signal.getsignal(signal.SIGINT)
    assert train(make_recipe(values), tmp_path / "run")
    assert signal.getsignal(signal.SIGINT) is handler
    names = {path.name.partition(".")[0] for path in (tmp_path / "run").iterdir()}
    assert names == {"recipe", "checkpoint", "training", "samples", "events"}
    grid = read_pixels(next((tmp_path / "run" / "samples").iterdir()), 3)
    assert grid is not None
    assert grid.shape == (4 * 34, 110 + 2 * 34, 3)  # four rows of two images of 32 px


def test_going_on_with_other_settings_is_refused(tiny_trainer: MakeTrainer) -> None:
    tiny_trainer("cut").save()
    with pytest.raises(CheckpointError, match=r"a run with lr = 0\.0002, not 0\.001: give another --out"):
        tiny_trainer("cut", lr=1e-3).resume()
    assert tiny_trainer("cut", total_kimg=9.0, log_every=3).resume()


def test_a_run_of_an_older_version_goes_on(tiny_trainer: MakeTrainer) -> None:
    """Settings that it did not know had their defaults; its random state stood under another name."""
    trainer = tiny_trainer("cyclegan")
    trainer.train_step(next(trainer.batches()))
    trainer.save()
    path = trainer.folder / "training.pt"
    state = torch.load(path, weights_only=True)
    for name in ("zoom", "domains", "noise_ba"):
        del state["recipe"][name]
    state["random"] = state.pop("processes")[0]["random"]
    del state["skipped"]
    torch.save(state, path)
    newer = tiny_trainer("cyclegan")
    assert newer.resume()
    assert newer.step == 1
    with pytest.raises(CheckpointError, match=r"noise_ba = 0\.0, not 0\.1"):
        tiny_trainer("cyclegan", noise_ba=0.1).resume()


def test_a_damaged_training_state_is_told(tiny_trainer: MakeTrainer) -> None:
    trainer = tiny_trainer("cut")
    trainer.save()
    path = trainer.folder / "training.pt"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(CheckpointError, match=r"training\.pt is damaged .*; remove it to start again"):
        trainer.resume()


def test_saving_leaves_no_half_written_file(tiny_trainer: MakeTrainer) -> None:
    trainer = tiny_trainer("cut")
    trainer.save()
    assert {path.name for path in trainer.folder.iterdir()} == {"checkpoint.safetensors", "training.pt"}


def test_a_step_with_nan_is_skipped_and_counted(tiny_trainer: MakeTrainer) -> None:
    trainer = tiny_trainer("pix2pix")
    batch = next(trainer.batches())
    before = {name: p.detach().clone() for name, p in trainer.system.named_parameters()}
    batch.target.fill_(float("nan"))  # type: ignore[attr-defined]
    trainer.train_step(batch)
    assert trainer.guard.skipped == 2  # both phases
    assert all(torch.equal(p, before[name]) for name, p in trainer.system.named_parameters())


def test_training_gives_up_after_many_skipped_steps(tiny_trainer: MakeTrainer) -> None:
    trainer = tiny_trainer("wgan_gp")
    batch = next(trainer.batches())
    batch.image.fill_(float("inf"))  # type: ignore[attr-defined]
    for _ in range(PATIENCE - 1):
        trainer.train_step(batch)  # between them the generator's turns, which are sound
    with pytest.raises(Divergence, match=rf"phase D gave NaN or infinite gradients {PATIENCE} times in a row"):
        trainer.train_step(batch)


def test_learning_rates_follow_the_schedule_and_survive_going_on(tiny_trainer: MakeTrainer) -> None:
    trainer = tiny_trainer("cut")
    rates = []
    for batch in trainer.batches():
        trainer.train_step(batch)
        rates.append(next(iter(trainer.optimizers.values())).param_groups[0]["lr"])
        trainer.save()
    assert rates == pytest.approx([2e-4, 2e-4, 2e-4, 1e-4])  # four steps; decay after half of them
    again = tiny_trainer("cut")
    again.resume()
    assert list(again.base_lr.values()) == list(trainer.base_lr.values()) == [[2e-4]] * 3


def test_a_batch_that_processes_cannot_share_is_told(tiny_trainer: MakeTrainer) -> None:
    trainer = tiny_trainer("cut", batch=3)
    with pytest.raises(ModelsError, match="batch = 3 cannot be shared by 2 processes"):
        next(_Shared(trainer).batches())


class _Shared(Trainer):
    """A trainer that believes it is one of two processes."""

    def __init__(self, trainer: Trainer) -> None:
        self.__dict__ = trainer.__dict__ | {"fabric": _TwoProcesses()}


class _TwoProcesses:
    world_size, global_rank, device = 2, 0, torch.device("cpu")


@pytest.mark.parametrize("wrong", [{"precision": "8-true"}, {"accelerator": "abacus"}])
def test_a_machine_that_is_not_there_is_told(wrong: dict[str, str], tiny_trainer: MakeTrainer) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong.values()))):
        tiny_trainer("cut", **wrong)


def test_mixed_precision_trains(tiny_trainer: MakeTrainer) -> None:
    for name in ("wgan_gp", "stargan_v2"):
        trainer = tiny_trainer(name, name, precision="bf16-mixed")
        log = trainer.train_step(next(trainer.batches()))
        assert all(torch.isfinite(loss) for loss in log.values())
        assert trainer.guard.skipped == 0


def test_an_unwritable_folder_is_told(tmp_path: Path, recipe_values: Values) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ModelsError, match="cannot write to"):
        train(make_recipe(recipe_values("cut")), tmp_path / "file" / "run")


def test_reading_in_workers_gives_the_same_batches(tiny_trainer: MakeTrainer) -> None:
    alone, helped = tiny_trainer("cut"), tiny_trainer("cut", workers=1)
    for one, other in zip(alone.batches(), helped.batches(), strict=True):
        assert torch.equal(one.a, other.a)  # type: ignore[attr-defined]
