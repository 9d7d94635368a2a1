"""The digit table of UNIT's paper: classifiers for digits of a domain whose labels nobody reads. Example:

    python -m benchmarks.digits --data digits --seeds 3 --out runs/digits

DIGITS holds t10k-images-idx3-ubyte.gz with its labels and usps.h5. MNIST's 10 000 test images are split, 8 000 to learn
from and 2 000 to be tested on; USPS is taken as it is. A finished run is not repeated, an interrupted one goes on.
OUT/report.html, .md and .json have the accuracy of the weights at the end of each run: none is chosen by the test set.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks.digits_report import write_table
from benchmarks.machine import describe_machine, package_versions
from models.checkpoint import load_system
from models.data.batches import LabelledImage
from models.data.datasets import DataConfig, open_dataset, stack
from models.errors import ConfigError, DataError, ModelsError, run_command
from models.recipe import Recipe, read_recipe
from models.train import STOPPED, train
from runtime.errors import SinkError

RECIPES = Path(__file__).resolve().parents[1] / "models" / "recipes"
DIGITS = tuple("0123456789")
MNIST, USPS = "t10k-images-idx3-ubyte.gz", "usps.h5"
TEST_BATCH = 250


@dataclass(frozen=True)
class Way:
    """From which digits to which."""

    source: str  # with labels
    target: str  # without
    test: str  # of the target


WAYS = {
    "USPS → MNIST": Way(f"{USPS}#train", f"{MNIST}#0:8000", f"{MNIST}#8000:10000"),
    "MNIST → USPS": Way(f"{MNIST}#0:8000", f"{USPS}#train", f"{USPS}#test"),
}


@dataclass(frozen=True)
class Method:
    """A row of the table."""

    paper: str  # recipe in models/recipes
    short: str  # and the one for a CPU …
    settings: tuple[str, ...] = ()  # … with these settings laid over it, for a core and a few minutes
    always: tuple[str, ...] = ()  # of both


SHORT_DANN = ("batch=32", "shrink=2", "total_kimg=48")
METHODS = {
    "source only": Method("dann", "dann_compact", SHORT_DANN, ("lambda_domain=0.0",)),
    "DANN": Method("dann", "dann_compact", SHORT_DANN),
    "CoGAN": Method("cogan_adaptation", "cogan_compact", (
        "batch=16", "width=16", "critic_channels=[16, 32, 256]", "lr=1e-3", "ema=0.99", "total_kimg=64",
    )),
    "UNIT": Method("unit_adaptation", "unit_adaptation_compact", (
        "width=8", "critic_width=16", "alike=true", "lambda_feature=1e-3", "total_kimg=32",
    )),
}  # fmt: skip
# UNIT's paper, table 2; trained on MNIST's 60 000 images, USPS's parted at random.
PUBLISHED = {
    "CoGAN": {"MNIST → USPS": 0.9565, "USPS → MNIST": 0.9315}, "UNIT": {"MNIST → USPS": 0.9597, "USPS → MNIST": 0.9358},
}  # fmt: skip


@dataclass(frozen=True)
class Run:
    """One training of the table."""

    method: str
    way: str
    seed: int

    def recipe(self, data: Path, paper: bool) -> Recipe:
        """What it is trained with."""
        method, way = METHODS[self.method], WAYS[self.way]
        settings = [*(() if paper else method.settings), *method.always, "channels=1", f"seed={self.seed}",
                    f"data_a={data / way.source}", f"data_b={data / way.target}", f"domains={json.dumps(DIGITS)}",
                    "save_every_kimg=5", "grid_every_kimg=1000000"]  # fmt: skip
        return read_recipe(RECIPES / f"{method.paper if paper else method.short}.toml", settings)

    def folder(self, out: Path) -> Path:
        """Where it is kept."""
        source, _, target = self.way.partition(" → ")
        return out / "runs" / f"{self.method.replace(' ', '_')}-{source}-{target}-{self.seed}".lower()


def runs(methods: list[str], ways: list[str], seeds: int) -> list[Run]:
    """All of a table; the first seed of everything comes first."""
    return [Run(method, way, seed) for seed in range(seeds) for way in ways for method in methods]


@torch.no_grad()
def accuracy(checkpoint: Path, recipe: Recipe, test: Path) -> float:
    """Share of the test images that the shipped classifier reads rightly."""
    system, _ = load_system(checkpoint)
    classifier = system.deployables()["classifier"].module
    cfg = recipe.data
    dataset = open_dataset("labelled", DataConfig(data_a=str(test), size=cfg.size, load_size=cfg.load_size, flip=False,
                                                  channels=1, domains=DIGITS), 0)  # fmt: skip
    right = 0
    for start in range(0, dataset.images, TEST_BATCH):
        last = min(start + TEST_BATCH, dataset.images)
        batch = stack([dataset.sample(k) for k in range(start, last)])
        assert isinstance(batch, LabelledImage)
        right += int((classifier(batch.image).argmax(dim=1) == batch.label).sum())
    return right / dataset.images


def result_of(run: Run, data: Path, out: Path, paper: bool) -> dict[str, Any] | None:
    """The outcome of a run, trained now if it has not been; None when it was stopped."""
    recipe, folder = run.recipe(data, paper), run.folder(out)
    kept = folder / "result.json"
    if kept.is_file():
        known: dict[str, Any] = json.loads(kept.read_text(encoding="utf-8"))
        return known
    start = time.process_time()
    if not train(recipe, folder):
        return None
    cfg = recipe.train
    result = {
        "method": run.method, "way": run.way, "seed": run.seed, "kimg": cfg.total_kimg, "batch": cfg.batch,
        "accuracy": accuracy(folder / "checkpoint.safetensors", recipe, data / WAYS[run.way].test),
        "cpu_s": time.process_time() - start,
    }  # fmt: skip
    kept.write_text(json.dumps(result) + "\n", encoding="utf-8")
    return result


def table_of(results: list[dict[str, Any]], paper: bool) -> dict[str, Any]:
    """What the report says."""
    return {
        "title": "Digits of a domain without labels",
        "command": f"python -m benchmarks.digits{' --paper' * paper} --data DIGITS --out OUT",
        "created": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "machine": describe_machine() | package_versions(("torch", "numpy")), "published": PUBLISHED,
        "recipes": {
            name: method.paper if paper else " ".join([method.short, *method.settings, *method.always])
            for name, method in METHODS.items()
        },
        "results": results,
    }  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.digits", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, metavar="DIGITS", help="folder of both data sets")
    parser.add_argument("--out", type=Path, required=True, help="folder of the runs and of the report")
    parser.add_argument("--seeds", type=int, default=3, help="runs of each cell (default: %(default)s)")
    parser.add_argument("--only", action="append", choices=[*METHODS], help="only this method; may be repeated")
    parser.add_argument("--way", action="append", choices=[*WAYS], help="only this direction; may be repeated")
    parser.add_argument("--paper", action="store_true", help="as published: 640 to 12 800 kimg a run, for a GPU")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads (default: %(default)s)")
    args = parser.parse_args()
    if args.seeds < 1:
        raise ConfigError(f"--seeds is 1 or more, not {args.seeds}")
    if missing := [name for name in (MNIST, USPS) if not (args.data / name).is_file()]:
        raise DataError(f"there is no file {args.data / missing[0]}; --data names a folder of {MNIST} and {USPS}")
    torch.set_num_threads(args.threads)
    results: list[dict[str, Any]] = []
    wanted = runs(args.only or [*METHODS], args.way or [*WAYS], args.seeds)
    for number, run in enumerate(wanted, 1):
        print(f"run {number} of {len(wanted)}: {run.method}, {run.way}, seed {run.seed}", file=sys.stderr)
        result = result_of(run, args.data, args.out, args.paper)
        if result is None:
            return STOPPED
        results.append(result)
        try:
            report = write_table(args.out, table_of(results, args.paper))
        except SinkError as error:
            raise ModelsError(str(error)) from error
    print(report)
    return 0


if __name__ == "__main__":
    raise SystemExit(run_command(main))
