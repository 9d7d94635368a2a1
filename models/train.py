"""Train any system from a recipe; resumes when the run's folder holds one. Examples:

    python -m models.train --recipe models/recipes/cyclegan.toml --set data=photos --set size=256 --out runs/day2night
    torchrun --nproc-per-node 2 -m models.train --recipe … --out …        (one process per GPU)

RUN/ then holds checkpoint.safetensors (what ships), training.pt (to go on), recipe.toml, samples/*.png and
TensorBoard's logs (`tensorboard --logdir RUN`).
"""

from __future__ import annotations

import argparse
import json
import signal
from contextlib import closing, suppress
from pathlib import Path
from types import FrameType

import torch
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from models.data.enough import check_enough
from models.errors import ModelsError, run_command
from models.grid import write_grid
from models.recipe import Recipe, read_recipe
from models.trainer import Trainer

STOPPED = 130


class StopRequest:
    """Within the block, Ctrl-C and SIGTERM ask for a stop after the present step; a second one stops at once."""

    def __enter__(self) -> StopRequest:
        self.asked = False
        self._before = {number: signal.signal(number, self._ask) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True


class Journal:
    """What a run leaves while it goes on: scalars and sample grids (first process only) and checkpoints."""

    def __init__(self, trainer: Trainer) -> None:
        self.trainer = trainer
        self.writer = SummaryWriter(str(trainer.folder)) if trainer.fabric.is_global_zero else None
        cfg = trainer.recipe.train
        self.log_every = cfg.log_every
        self.save_every, self.grid_every = (
            max(1, round(kimg * 1000 / cfg.batch)) for kimg in (cfg.save_every_kimg, cfg.grid_every_kimg)
        )

    def record(self, losses: dict[str, Tensor]) -> dict[str, float]:
        """Write what is due after a step; returns the losses when they were due."""
        step = self.trainer.step
        values = self.scalars(losses) if step % self.log_every == 0 else {}
        if step % self.grid_every == 0:
            self.grid()
        if step % self.save_every == 0:
            self.trainer.save()
        return values

    def scalars(self, losses: dict[str, Tensor]) -> dict[str, float]:
        values = {name: float(value) for name, value in losses.items()}
        if self.writer:
            for name, value in values.items():
                self.writer.add_scalar(name, value, self.trainer.step)
            self.writer.add_scalar("skipped steps", self.trainer.guard.skipped, self.trainer.step)
        return values

    def grid(self) -> None:
        if self.writer:
            path = self.trainer.folder / "samples" / f"{self.trainer.clock.kimg:09.3f}kimg.png"
            picture = write_grid(path, self.trainer.samples())
            self.writer.add_image("samples", picture, self.trainer.step, dataformats="HWC")

    def close(self) -> None:
        if self.writer:
            self.writer.close()


def write_provenance(trainer: Trainer, folder: Path) -> None:
    """Where images from elsewhere come from, for the data sets that ask for it: data.json."""
    provenance: dict[str, str] = getattr(trainer.dataset, "provenance", {})
    if provenance:
        text = json.dumps(provenance, indent=2, ensure_ascii=False) + "\n"
        (folder / "data.json").write_text(text, encoding="utf-8")


def train(recipe: Recipe, folder: Path) -> bool:
    """Train until the recipe's end or a stop request; True when the end was reached. Progress is saved either way."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ModelsError(f"cannot write to {folder}: {error.strerror}") from error
    try:
        trainer = Trainer(recipe, folder)
        check_enough(trainer.dataset, recipe.data)
        resumed = trainer.resume()
    except ModelsError:
        with suppress(OSError):
            folder.rmdir()  # when it is empty: a refused run leaves nothing behind
        raise
    if trainer.fabric.is_global_zero:
        (folder / "recipe.toml").write_text(recipe.to_toml(), encoding="utf-8")
        write_provenance(trainer, folder)
    with closing(Journal(trainer)) as journal, StopRequest() as stop, tqdm(
        total=trainer.total_steps, initial=trainer.step, unit="step", disable=not trainer.fabric.is_global_zero,
        desc=f"{'resuming' if resumed else 'training'} {recipe.train.system}",
    ) as bar:  # fmt: skip
        for batch in trainer.batches():
            losses = trainer.train_step(batch)
            bar.update()
            if values := journal.record(losses):
                bar.set_postfix_str(" ".join(f"{name} {value:.3f}" for name, value in values.items()))
            if trainer.any_process(stop.asked):
                break
        trainer.save()
        journal.grid()
    return trainer.step >= trainer.total_steps


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m models.train", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--recipe", type=Path, help="flat TOML file")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="override a setting")
    parser.add_argument("--out", type=Path, required=True, metavar="RUN", help="folder of the run")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads (default: all cores)")
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    recipe = read_recipe(args.recipe, args.set)
    finished = train(recipe, args.out)
    print(args.out / "checkpoint.safetensors")
    return 0 if finished else STOPPED


if __name__ == "__main__":
    raise SystemExit(run_command(main))
