"""Checkpoints: what ships, alone in a file, refused when it is not what it says."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from models.checkpoint import load_system, main, save_checkpoint, shipped_weights, strip_checkpoint
from models.errors import CheckpointError, run_command
from models.system import Batch, System

Tiny = Callable[..., tuple[System, Batch]]


@pytest.fixture
def checkpoint(tiny_system: Tiny, tmp_path: Path) -> Path:
    system, _ = tiny_system("cyclegan")
    path = tmp_path / "checkpoint.safetensors"
    save_checkpoint(path, system, "cyclegan", 2.0, shipped_weights(system))
    return path


def test_only_what_ships_is_in_the_file(checkpoint: Path) -> None:
    assert {name.partition(".")[0] for name in load_file(checkpoint)} == {"generator_ab", "generator_ba"}


def test_a_checkpoint_says_what_it_is(checkpoint: Path) -> None:
    system, info = load_system(checkpoint)
    assert (info.system, info.kimg, info.parts) == ("cyclegan", 2.0, ("ab", "ba"))
    assert info.config["width"] == 4
    assert len(info.sha256) == 64
    assert not system.training


def test_one_part_can_be_kept(checkpoint: Path, tmp_path: Path) -> None:
    out = tmp_path / "ba.safetensors"
    strip_checkpoint(checkpoint, "ba", out)
    assert out.stat().st_size < 0.6 * checkpoint.stat().st_size
    whole, kept = load_system(checkpoint)[0], load_system(out)
    assert kept[1].parts == ("ba",)
    image = torch.rand(1, 3, 32, 32)
    modules = [system.deployables()["ba"].module for system in (whole, kept[0])]
    with torch.no_grad():
        assert torch.equal(modules[0](image), modules[1](image))
    with pytest.raises(CheckpointError, match="has no part 'cd'; it has ab, ba"):
        strip_checkpoint(checkpoint, "cd", tmp_path / "x.safetensors")


def test_a_missing_checkpoint_is_told(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"there is no checkpoint .*; train one with"):
        load_system(tmp_path / "none.safetensors")


@pytest.mark.parametrize("keep", [0, 5, 200, -1])
def test_a_truncated_checkpoint_is_told(keep: int, checkpoint: Path) -> None:
    checkpoint.write_bytes(checkpoint.read_bytes()[:keep])
    with pytest.raises(CheckpointError, match="is not a safetensors file or is damaged"):
        load_system(checkpoint)


def rewritten(checkpoint: Path, change: Callable[[dict[str, torch.Tensor], dict[str, str]], object]) -> Path:
    from safetensors import safe_open

    weights = load_file(checkpoint)
    with safe_open(checkpoint, "pt") as stream:
        metadata = dict(stream.metadata())
    change(weights, metadata)
    save_file(weights, checkpoint, metadata)
    return checkpoint


def test_nan_and_infinity_are_told(checkpoint: Path) -> None:
    for bad in (float("nan"), float("inf")):
        rewritten(checkpoint, lambda weights, _, bad=bad: weights["generator_ab.1.bias"].fill_(bad))
        with pytest.raises(CheckpointError, match=r"holds NaN or infinity in generator_ab\.1\.bias"):
            load_system(checkpoint)


def test_a_missing_weight_is_told(checkpoint: Path) -> None:
    rewritten(checkpoint, lambda weights, _: [weights.pop("generator_ba.1.bias")])
    with pytest.raises(CheckpointError, match=r"lacks 'generator_ba\.1\.bias' of system 'cyclegan'"):
        load_system(checkpoint)


def test_a_checkpoint_of_another_system_is_told(checkpoint: Path) -> None:
    rewritten(checkpoint, lambda _, metadata: metadata.update(system="cut"))
    with pytest.raises(CheckpointError, match="was written by another version: there is no setting"):
        load_system(checkpoint)


def test_weights_of_another_network_are_told(checkpoint: Path) -> None:

    def widen(_: object, metadata: dict[str, str]) -> None:
        metadata["config"] = metadata["config"].replace('"width": 4', '"width": 8')

    rewritten(checkpoint, widen)
    with pytest.raises(CheckpointError, match="is another network's"):
        load_system(checkpoint)


def test_a_file_of_other_makers_is_told(tmp_path: Path) -> None:
    path = tmp_path / "foreign.safetensors"
    save_file({"weight": torch.zeros(3)}, path)
    with pytest.raises(CheckpointError, match=r"was not written by models\.train"):
        load_system(path)


def test_loading_runs_no_code(tmp_path: Path) -> None:
    path = tmp_path / "pickle.safetensors"
    torch.save({"weight": torch.zeros(3)}, path)
    with pytest.raises(CheckpointError, match="is not a safetensors file"):
        load_system(path)


def test_the_command_strips_and_refuses(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.safetensors"
    for part, code in (("x", 2), ("ab", 0)):
        monkeypatch.setattr(sys, "argv", ["models.checkpoint", str(checkpoint), "--out", str(out), "--part", part])
        assert run_command(main) == code
        assert out.exists() == (code == 0)
    assert capsys.readouterr().err.count("\n") == 1
    assert load_system(out)[1].parts == ("ab",)


def test_networks_that_do_not_ship_have_random_weights(checkpoint: Path) -> None:
    one = load_system(checkpoint)[0].state_dict()
    two = load_system(checkpoint)[0].state_dict()
    assert torch.equal(one["generator_ab.1.weight"], two["generator_ab.1.weight"])
    assert not torch.equal(one["critic_a.0.weight"], two["critic_a.0.weight"])
