"""The figures of the evidence against closed forms; rows and judgements."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.tensorboard import SummaryWriter

from benchmarks.evidence.classifiers import DigitNet, accuracy, digit_classifier
from benchmarks.evidence.measures import cluster_accuracy, entropy, grown, mutual_information, purity, ssim_where
from benchmarks.evidence.rows import Precision, Row, better, read_rows, write_row
from benchmarks.evidence.tasks import TASKS
from benchmarks.evidence.training import RECIPES, finished, loss_at_ends, planned
from models.checkpoint import save_checkpoint, shipped_weights
from models.errors import DataError
from models.recipe import make_recipe
from models.registry import SYSTEMS, build_system

ROW = Row(
    "cut", "cut", "cut_compact", {"size": 64}, "thermal_color", 64, 1.5, 750, 2, 0, 3.2, 1000, "things", 25,
    {"in_target": ("high", 0.3), "distance": ("low", 0.2)},
    {"in_target": 0.9, "distance": 10.0, "edge_ssim": 0.5}, {"in_target": 0.1, "distance": 30.0},
    {"in_target": 0.0, "distance": 20.0}, {"classifier_accuracy": 0.98},
)  # fmt: skip


def test_mutual_information_of_equal_of_independent_and_of_sole_classes() -> None:
    assert mutual_information(np.eye(8) * 5) == pytest.approx(3)
    assert mutual_information(np.ones((8, 8))) == pytest.approx(0)
    assert mutual_information(np.diag([9.0, 0.0])) == 0


def test_entropy_of_even_and_of_sole_classes() -> None:
    assert entropy(np.full(8, 5.0)) == pytest.approx(3)
    assert entropy(np.array([0.0, 7.0])) == 0


def test_clusters_may_have_any_names_but_only_one_each() -> None:
    labels = np.array([0, 0, 1, 1, 2, 2])
    assert cluster_accuracy(np.array([2, 2, 0, 0, 1, 1]), labels) == 1
    assert cluster_accuracy(np.zeros(6, np.int64), labels) == pytest.approx(1 / 3)
    assert cluster_accuracy(np.array([0, 1, 2, 3, 4, 5]), labels) == pytest.approx(1 / 2)  # more clusters than classes
    assert purity(np.array([0, 1, 2, 3, 4, 5]), labels) == 1
    assert purity(np.array([0, 0, 0, 1, 1, 1]), labels) == pytest.approx(4 / 6)


def test_ssim_is_read_where_it_is_asked_for() -> None:
    torch.manual_seed(0)
    one = torch.rand(1, 1, 48, 48) * 2 - 1
    other = one.clone()
    other[..., 20:28, 20:28] *= -1
    inside = torch.zeros(1, 48, 48, dtype=torch.bool)
    inside[:, 20:28, 20:28] = True
    assert int(grown(inside, 2).sum()) == 12 * 12
    assert ssim_where(one, other, inside) < 0.2
    # SSIM's Gaussian of σ 1.5 reaches 5 px.
    assert ssim_where(one, other, ~grown(inside, 5)) == pytest.approx(1)


def test_a_digit_classifier_learns_what_can_be_told_apart() -> None:
    torch.manual_seed(0)
    labels = torch.arange(10).repeat(40)
    digits = -torch.ones(400, 1, 28, 28)
    for k, label in enumerate(labels.tolist()):
        digits[k, :, 3 + 5 * (label // 4) : 8 + 5 * (label // 4), 2 + 6 * (label % 4) : 8 + 6 * (label % 4)] = 1
    assert accuracy(digit_classifier(digits, labels, epochs=12), digits, labels) > 0.95
    assert accuracy(DigitNet().eval(), digits, labels) < 0.4


def test_better_is_by_a_margin() -> None:
    assert better(0.5, 0.2, "high", 0.3)
    assert not better(0.49, 0.2, "high", 0.3)
    assert better(8.0, 10.0, "low", 0.2)
    assert not better(8.1, 10.0, "low", 0.2)


def test_learned_needs_every_figure_that_counts_against_both_others() -> None:
    assert ROW.learned()
    assert not replace(ROW, identity={"in_target": 0.7, "distance": 20.0}).learned()
    assert not replace(ROW, untrained={"in_target": 0.0, "distance": 11.0}).learned()


def test_rows_are_read_as_they_were_written(tmp_path: Path) -> None:
    gated = {
        "fp16": Precision("passed", 61.2, 55.0, 0.01, []),
        "int8": Precision("refused", None, None, None, ["no convolution"]),
    }
    row = replace(ROW, precision=gated)
    write_row(row, tmp_path)
    assert read_rows(tmp_path) == {"cut": row}
    assert gated["fp16"].said() == "passed (mean 61.2, worst 55.0 dB)"
    assert gated["int8"].said() == "refused (no convolution)"
    (tmp_path / "broken.json").write_text('{"name": "x"}')
    with pytest.raises(DataError, match="no row of evidence"):
        read_rows(tmp_path)


@pytest.mark.parametrize("name", TASKS)
def test_every_task_names_a_recipe_and_settings_that_there_are(name: str, tmp_path: Path) -> None:
    task = TASKS[name].filled(Path("data"), Path("work"))
    assert (RECIPES / f"{task.recipe}.toml").is_file()
    (tmp_path / "recipe.toml").write_text((RECIPES / f"{task.recipe}.toml").read_text())
    recipe = planned(task.recipe, task.settings, tmp_path, minutes=1)
    names = recipe.flat()
    assert set(task.settings) <= set(names)
    assert recipe.train.system in SYSTEMS
    assert "{" not in "".join(map(str, [*task.settings.values(), *task.held_out]))


def test_losses_at_the_ends_of_a_run_are_sums_over_its_first_and_last_tenth(tmp_path: Path) -> None:
    with SummaryWriter(str(tmp_path)) as log:  # type: ignore[no-untyped-call]
        for step in range(20):
            log.add_scalar("G/instance", 20 - step, step)  # type: ignore[no-untyped-call]
            log.add_scalar("G/instance_cycle", 1, step)  # type: ignore[no-untyped-call]
    assert loss_at_ends(tmp_path, ["G/instance", "G/instance_cycle"]) == (20.5, 2.5)


@pytest.mark.parametrize(("kimg", "whole"), [(0.8, False), (0.816, True)])
def test_a_run_is_finished_at_its_last_whole_batch(tmp_path: Path, kimg: float, whole: bool) -> None:
    """0.82 kimg are 51 batches of 16, which are 0.816."""
    system = build_system("vae", {"width": 8})
    save_checkpoint(tmp_path / "checkpoint.safetensors", system, "vae", kimg, shipped_weights(system))
    assert finished(make_recipe({"system": "vae", "batch": 16, "total_kimg": 0.82}), tmp_path) is whole
