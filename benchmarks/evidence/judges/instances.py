"""InstaGAN: is the instance changed, and nothing but the instance?"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from skimage.metrics import structural_similarity
from torch import Tensor

from benchmarks.evidence.classifiers import LinearOnSqueeze, accuracy, predicted
from benchmarks.evidence.judges.domains import labelled
from benchmarks.evidence.judges.judge import Case, Figures
from benchmarks.evidence.judges.paired import SHOWN, shipped
from benchmarks.evidence.pictures import CENTRE, run, to_frames, whole
from benchmarks.quality.squeeze import Squeeze
from models.data.images import ImageFolder, View, list_images
from models.data.masks import MaskFolder, mask_slots
from models.data.places import sides
from models.system import System

RIM = 6  # px around a mask that count as neither inside nor outside
Inside = NDArray[np.bool_]


def ssim_where(one: Tensor, other: Tensor, where: Tensor) -> float:
    """Mean over N images (N, C, H, W) of the SSIM map's mean over the pixels of `where` (N, H, W)."""
    found = []
    for a, b, kept in zip(to_frames(one), to_frames(other), where.numpy(), strict=True):
        _, map_ = structural_similarity(  # type: ignore[no-untyped-call]
            a, b, channel_axis=2, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, full=True
        )
        found.append(float(map_.mean(axis=2)[kept].mean()))
    return float(np.mean(found))


def grown(inside: Tensor, by: int) -> Tensor:
    """(N, H, W) bool, `by` px wider on all sides."""
    wide = torch.nn.functional.max_pool2d(inside[:, None].float(), 2 * by + 1, 1, by)
    return wide[:, 0] > 0


class InstancesJudge:
    """Defects of held-out images to the other domain, with their masks."""

    measured: ClassVar[str] = (
        "held-out images with a masked defect: SSIM with the source outside the masks (6 px around them left out), how "
        "far the defect stands out afterwards (absolute difference of the means inside and around it, levels of 255), "
        "share that a classifier of the real domains puts into the target. Identity is the source itself"
    )
    best: ClassVar[dict[str, tuple[str, float]]] = {"in_target": ("high", 0.1), "contrast": ("low", 0.3)}

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
        return {
            "in_target": float((predicted(self.classifier, made) == 1).mean()),
            "contrast": self.contrast(made),
            "background_ssim": ssim_where(made, self.a, ~grown(self.inside, RIM)),
        }

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
