"""TransGaGa: do landmarks move with what is in the image, and with nothing else?"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from benchmarks.evidence.judges.judge import Case, Figures
from benchmarks.evidence.pictures import run, whole
from models.augment.diffaugment import draw_color
from models.augment.warps import random_warp
from models.blocks.landmarks import rendered
from models.system import System

SHOWN = 6


class LandmarksJudge:
    """Landmarks of held-out images of A, of the same images warped, and of the same in other colours."""

    measured: ClassVar[str] = (
        "held-out images of A: mean distance (px) of a warped image's landmarks, put back by the warp, from the "
        "image's own; how far they move when brightness, saturation and contrast change; how far they differ between "
        "images (a landmark that stands still has 0). Identity is landmarks that stand still where the network has them"
    )
    best: ClassVar[dict[str, tuple[str, float]]] = {"warp_px": ("low", 0.3)}

    def __init__(self, case: Case) -> None:
        self.images = whole(case.task.held_out[0], case.recipe.data)
        torch.manual_seed(0)
        self.warp = random_warp(self.images)
        self.warped, self.coloured = self.warp.image(self.images), draw_color(self.images)(self.images).clamp(-1, 1)
        self.half = self.images.shape[2] / 2
        self.known: Tensor | None = None  # of the trained network, which is judged first

    @property
    def count(self) -> int:
        return len(self.images)

    def landmarks(self, system: System, images: Tensor) -> Tensor:
        """(N, K, 2) in [-1, 1]."""
        return run(system.deployables()["landmarks_a"], images)

    def apart(self, one: Tensor, other: Tensor) -> float:
        """Mean distance in px."""
        return float((one - other).norm(dim=2).mean() * self.half)

    def figures(self, system: System | None) -> Figures:
        if system is None:
            assert self.known is not None, "the trained network is judged before the identity"
            still = self.apart(self.warp.origin(self.known), self.known)
            return {"warp_px": still, "colour_px": 0.0, "between_px": 0.0}
        own = self.landmarks(system, self.images)
        self.known = own if self.known is None else self.known
        return {
            "warp_px": self.apart(self.warp.origin(self.landmarks(system, self.warped)), own),
            "colour_px": self.apart(self.landmarks(system, self.coloured), own),
            "between_px": self.apart(own, own.mean(dim=0, keepdim=True)),
        }

    def context(self) -> Figures:
        return {}

    def rows(self, system: System) -> dict[str, Tensor]:
        def marked(images: Tensor) -> Tensor:
            shown = images[:SHOWN]
            spots = rendered(self.landmarks(system, shown), (shown.shape[2], shown.shape[3]), 0.03)
            return torch.lerp(shown, torch.ones_like(shown), spots.amax(dim=1, keepdim=True))

        made = run(system.deployables()["ab"], self.images[:SHOWN])
        seen = {"image": self.images, "warped": self.warped, "coloured": self.coloured}
        return {name: marked(images) for name, images in seen.items()} | {"a → b": made}
