"""InstaGAN: is the instance changed, and nothing but the instance?"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from benchmarks.evidence.classifiers import LinearOnSqueeze, accuracy, predicted
from benchmarks.evidence.judges.domains import labelled
from benchmarks.evidence.judges.judge import Case, Figures
from benchmarks.evidence.judges.paired import SHOWN, shipped
from benchmarks.evidence.measures import grown, ssim_where
from benchmarks.evidence.pictures import CENTRE, run, whole
from benchmarks.quality.squeeze import Squeeze
from models.data.images import ImageFolder, View, list_images
from models.data.masks import MaskFolder, mask_slots
from models.data.places import sides
from models.system import System

RIM = 6  # px around a mask that count as neither inside nor outside


class InstancesJudge:
    """Defects of held-out images to the other domain, with their masks."""

    measured: ClassVar[str] = (
        "held-out images with a masked defect: SSIM with the source outside the masks (6 px around them left out), how "
        "far the defect stands out afterwards (absolute difference of the means inside and around it, levels of 255), "
        "share that a classifier of the real domains puts into the target; repaired: the first figure times the share "
        "of the source's contrast that is gone (1 = the defect alone has vanished). Identity is the source itself"
    )
    best: ClassVar[dict[str, tuple[str, float]]] = {"in_target": ("high", 0.1), "repaired": ("high", 0.1)}

    def __init__(self, case: Case) -> None:
        data = case.recipe.data
        self.slots = case.recipe.system.slots
        where = Path(case.task.held_out[0])
        self.a, self.b = (whole(folder, data) for folder in case.task.held_out)
        folder, masks = ImageFolder(list_images(where), data.channels), MaskFolder(where)
        view = View(data.size, data.size, flip=False)
        found = [mask_slots(masks.of(p, folder[k].shape), view, CENTRE, 8) for k, p in enumerate(folder.files)]
        self.masks = torch.stack(found)
        self.inside = (self.masks > 0).any(dim=1)
        self.classifier = LinearOnSqueeze(
            Squeeze(case.weights), *labelled([whole(str(side), data) for side in sides(data)])
        )  # fmt: skip

    @property
    def count(self) -> int:
        return len(self.a)

    def translated(self, system: System | None) -> Tensor:
        """All masks, `slots` at a time; a pass without a mask is left out by the network itself."""
        image = self.a
        for first in range(0, self.masks.shape[1], self.slots) if system else ():
            masks = self.masks[:, first : first + self.slots]
            if system and bool((masks > 0).any()):
                image = run(shipped(system), image, masks)
        return image

    def figures(self, system: System | None) -> Figures:
        made = self.translated(system)
        contrast, background = self.contrast(made), ssim_where(made, self.a, ~grown(self.inside, RIM))
        return {
            "in_target": float((predicted(self.classifier, made) == 1).mean()),
            "contrast": contrast, "background_ssim": background,
            "repaired": background * max(0.0, 1 - contrast / self.contrast(self.a)),
        }  # fmt: skip

    def contrast(self, images: Tensor) -> float:
        """Between each defect and its rim."""
        level, rim = (images.mean(dim=1) + 1) * 127.5, grown(self.inside, RIM) & ~grown(self.inside, 1)
        seen = [k for k in range(self.count) if self.inside[k].any()]
        return float(np.mean([abs(float(level[k][self.inside[k]].mean() - level[k][rim[k]].mean())) for k in seen]))

    def context(self) -> Figures:
        return {"classifier_accuracy": accuracy(self.classifier, *labelled([self.a, self.b]))}

    def rows(self, system: System) -> dict[str, Tensor]:
        mask = (self.inside[:, None].float() * 2 - 1).expand_as(self.a)
        rows = {"a": self.a, "masks": mask, "a → b": self.translated(system), "b": self.b}
        return {name: images[:SHOWN] for name, images in rows.items()}
