"""What a training of the study came to, on held-out images, and how much its critic had memorised."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from statistics import fmean

import torch
from torch import Tensor

from benchmarks.evidence.pictures import run as translate
from benchmarks.evidence.pictures import to_frames, whole
from benchmarks.limited_data.study import TASKS, Run
from benchmarks.quality.frechet import frechet
from benchmarks.quality.kernel import kernel_distance
from benchmarks.quality.lpips import Lpips, load_lpips
from benchmarks.quality.pixels import edge_ssim, psnr, ssim
from benchmarks.quality.squeeze import Squeeze, evened
from models.augment.augment import no_augment
from models.augment.overfitting import sureness
from models.data.batches import Pair, TwoImages
from models.losses.verdicts import witnessed
from models.recipe import Recipe
from models.system import Batch, Clock, System
from models.trainer import Trainer

Figures = dict[str, float]
# In the order of the table: what counts first, and whether high or low is better.
BEST = {
    "paired": {"lpips": "low", "ssim": "high", "psnr": "high", "critic_gap": "low"},
    "unpaired": {"kid_squeezenet": "low", "fd_squeezenet": "low", "edge_ssim": "high", "critic_gap": "low"},
}


class Judge:
    """Held-out images of one task."""

    def __init__(self, task: str, recipe: Recipe, root: Path, weights: Path) -> None:
        self.task, self.weights = task, weights
        folder = root / TASKS[task].images
        sides = ("testA", "testB", "trainB")
        self.a, self.b, self.known = (whole(str(folder / side), recipe.data) for side in sides)

    @cached_property
    def lpips(self) -> Lpips:
        return load_lpips(self.weights)

    @cached_property
    def squeeze(self) -> Squeeze:
        return Squeeze(self.weights)

    @cached_property
    def reference(self) -> Tensor:
        """Features of all real images of B, whatever few were trained on (the protocol of APA and ADA)."""
        return evened(self.squeeze(torch.cat([self.b, self.known])))

    def figures(self, recipe: Recipe, folder: Path) -> Figures:
        """Of the run in a folder, with the averaged weights, which ship."""
        trainer = Trainer(recipe, folder)
        trainer.resume()
        gap = self.critic_gap(trainer.system, recipe)
        trainer.system.eval()
        assert trainer.ema
        with trainer.ema.applied(trainer.system):
            made = translate(next(iter(trainer.system.deployables().values())), self.a)
        return self.of(made) | {"critic_gap": gap}

    def of(self, made: Tensor) -> Figures:
        """Figures of translations of A's held-out images; of those images themselves, what doing nothing is worth."""
        return self.against_truth(made) if self.task == "paired" else self.against_domain(made)

    def against_truth(self, made: Tensor) -> Figures:
        """Means over registered pairs."""
        pairs = list(zip(to_frames(made), to_frames(self.b), strict=True))
        return {
            "lpips": fmean(self.lpips.distance(*pair) for pair in pairs),
            "ssim": fmean(ssim(*pair) for pair in pairs), "psnr": fmean(psnr(*pair) for pair in pairs),
        }  # fmt: skip

    def against_domain(self, made: Tensor) -> Figures:
        """Distances to all real images of the domain; edges against the source."""
        vectors, real = (x.double().numpy() for x in (evened(self.squeeze(made)), self.reference))
        frames = zip(to_frames(made), to_frames(self.a), strict=True)
        return {
            "kid_squeezenet": kernel_distance(vectors, real), "fd_squeezenet": frechet(vectors, real),
            "edge_ssim": fmean(edge_ssim(one, other) for one, other in frames),
        }  # fmt: skip

    @torch.no_grad()
    def critic_gap(self, system: System, recipe: Recipe) -> float:
        """How much surer the critic is of the real images it was trained on than of others: 0 to 2."""
        data = recipe.data
        seen = [whole(f"{data.data}/{side}", data) for side in ("trainA", "trainB")]
        return self.sure(system, *seen) - self.sure(system, self.a, self.b)

    def sure(self, system: System, a: Tensor, b: Tensor) -> float:
        """The critic's mean sign on real images of B."""
        system.augment = no_augment
        system.eval()
        count = min(len(a), len(b), 50)
        batch = _batch(self.task, a[:count], b[:count])
        phase = next(phase for phase in system.phases() if phase.name == "D")
        with witnessed() as verdicts:
            phase.losses(batch, Clock())
        return float(sureness(verdicts))


def _batch(task: str, a: Tensor, b: Tensor) -> Batch:
    return Pair(a, b) if task == "paired" else TwoImages(a, b)


def judged(run: Run, judge: Judge, recipe: Recipe, folder: Path) -> Figures:
    """The figures of a finished run."""
    torch.manual_seed(run.seed)
    return {name: float(f"{value:.5g}") for name, value in judge.figures(recipe, folder).items()}
