"""Train a system for minutes on real images and say what it learned, beside networks that know nothing. Example:

    python -m benchmarks.evidence pix2pix cut --data ../shared/data --out work/evidence

OUT/ROW/ then holds the run (as models.train leaves it) and grid.png, to be looked at; the figures are written to
benchmarks/results/systems/ROW.json (--results), beside them ROW.jpg where the grid is made of the clips, which may be
shown. A run that is there already is measured anew, not trained again.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import cv2
import torch
from tqdm import tqdm

from benchmarks.evidence.judges import JUDGES
from benchmarks.evidence.judges.judge import Case
from benchmarks.evidence.prepare import prepare
from benchmarks.evidence.rows import FOLDER, Row, read_rows, write_row
from benchmarks.evidence.tasks import TASKS, Task
from benchmarks.evidence.training import finished, loss_at_ends, minutes_spent, planned, trained
from models.checkpoint import load_system
from models.errors import ConfigError, run_command
from models.grid import write_grid
from models.registry import system_class
from models.system import System
from models.train import STOPPED

SHOWABLE = "video"  # the only shared images that may be published


def prepared(name: str, data: Path, out: Path) -> Task:
    """A row's task with its data at hand; raises ConfigError for a row that there is not."""
    if name not in TASKS:
        raise ConfigError(f"there is no row {name!r}; there are {', '.join(TASKS)}")
    task = TASKS[name].filled(data, out)
    for value in map(str, [*task.settings.values(), *task.held_out]):
        if found := re.match(re.escape(str(out)) + r"/(\w+)", value):
            prepare(found[1], data, out)
    return task


def judged(name: str, case: Case, folder: Path, rows: Path) -> Row:
    """Measure the run in `folder` beside an untrained network and the identity; write its grid."""
    task, recipe = case.task, case.recipe
    judge = JUDGES[task.judge](case)
    system, _ = load_system(folder / "checkpoint.safetensors")
    torch.manual_seed(recipe.train.seed)
    untrained = system_class(recipe.train.system)(recipe.system).eval()
    of_trained, of_untrained, of_identity = [
        judge.figures(one) for one in tqdm((system, untrained, None), desc=f"judging {name}", leave=False)
    ]
    if task.falls:
        of_untrained["instance_loss"], of_trained["instance_loss"] = loss_at_ends(folder, task.falls)
    grid = write_grid(folder / "grid.png", judge.rows(system))
    if task.images == SHOWABLE:
        rows.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(rows / f"{name}.jpg"), grid[:, :, ::-1])
    before, spent = read_rows(rows).get(name), minutes_spent(folder)
    gated = before.precision if before and before.cpu_minutes == float(f"{spent:.4g}") else {}  # of this very run
    return Row(
        name, recipe.train.system, task.recipe, TASKS[name].settings, task.images, recipe.data.size,
        recipe.train.total_kimg, recipe.train.steps, recipe.train.batch,
        recipe.train.seed, spent, _parameters(system), judge.measured, judge.count, judge.best,
        of_trained, of_untrained, of_identity, judge.context(), before.seen if before else "",
        gated,
    )  # fmt: skip


def _parameters(system: System) -> int:
    part = next(iter(system.deployables().values()))
    return sum(parameter.numel() for parameter in part.module.parameters())


def _report(row: Row) -> str:
    lines = [f"{row.name}: {row.kimg} kimg in {row.cpu_minutes:.1f} CPU minutes; {row.measured}"]
    for name in row.trained:
        values = [getattr(row, which).get(name) for which in ("trained", "untrained", "identity")]
        lines.append(f"  {name:<18} " + "  ".join("–" if value is None else f"{value:.4g}" for value in values))
    context = ", ".join(f"{name} {value:.4g}" for name, value in row.context.items())
    return "\n".join([*lines, f"  {context}", f"  learned: {row.learned()}"])


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.evidence", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("rows", nargs="+", metavar="ROW", help=", ".join(TASKS))
    parser.add_argument("--data", type=Path, required=True, help="folder of the real images")
    parser.add_argument("--out", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--minutes", type=float, help="CPU minutes of training (default: the task's own)")
    parser.add_argument("--results", type=Path, default=FOLDER, help="folder of the rows (default: %(default)s)")
    args = parser.parse_args()
    torch.set_num_threads(1)
    for name in args.rows:
        task, folder = prepared(name, args.data, args.out), args.out / name
        recipe = planned(task.recipe, task.settings, folder, args.minutes or task.minutes)
        trained(recipe, folder)
        if not finished(recipe, folder):
            return STOPPED
        row = judged(name, Case(task, recipe, args.data / "weights"), folder, args.results)
        write_row(row, args.results)
        print(_report(row), flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(run_command(main))
