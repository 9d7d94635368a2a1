"""SinCUT: one image in the look of another."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.evidence.judges.domains import kept
from benchmarks.evidence.judges.judge import Case, Figures
from benchmarks.evidence.judges.paired import shipped
from benchmarks.evidence.pictures import run
from benchmarks.quality.frechet import frechet
from benchmarks.quality.squeeze import Squeeze
from models.data.images import ImageFolder, list_images, to_tensor
from models.system import System

LAYERS = 4  # of SqueezeNet: its first convolution, and the first fire module behind the pool


class OneImageJudge:
    """The whole image, of which the training saw crops."""

    measured: ClassVar[str] = (
        "the whole source image: Fréchet distance of SqueezeNet's early features, pixel by pixel, to the target image "
        "(in the way of SIFID, but not it), SSIM of the edges with the source. Identity is the source itself"
    )
    best: ClassVar[dict[str, tuple[str, float]]] = {"distance": ("low", 0.2)}

    def __init__(self, case: Case) -> None:
        self.squeeze, multiple = Squeeze(case.weights), 4
        found = []
        for where in case.task.held_out:
            pixels = ImageFolder(list_images(Path(where)), case.recipe.data.channels)[0]
            image = to_tensor(pixels)[None]
            scale = case.recipe.data.load_size / min(image.shape[2:])
            size = [round(side * scale / multiple) * multiple for side in image.shape[2:]]
            found.append(F.interpolate(image, size, mode="bicubic", antialias=True).clamp(-1, 1))
        self.a, self.b = found

    @property
    def count(self) -> int:
        return 1

    def translated(self, system: System | None) -> Tensor:
        return run(shipped(system), self.a) if system else self.a

    @torch.no_grad()
    def vectors(self, image: Tensor) -> Tensor:
        """(pixels, 128)."""
        frozen = self.squeeze.frozen
        found: Tensor = frozen.layers[:LAYERS](((image + 1) / 2 - frozen.mean) / frozen.deviation)
        return found[0].flatten(1).T.double()

    def figures(self, system: System | None) -> Figures:
        made = self.translated(system)
        distance = frechet(*(self.vectors(image).numpy() for image in (made, self.b)))
        return {"distance": distance, "edge_ssim": kept(made, self.a)}

    def context(self) -> Figures:
        return {}

    def rows(self, system: System) -> dict[str, Tensor]:
        return {"a": self.a, "a → b": self.translated(system), "b": self.b}
