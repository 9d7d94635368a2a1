"""INIT, DUNIT and InstaFormer: do the instances arrive in the other domain, and not the image alone?"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.evidence.judges.domains import STYLES, TwoDomainsJudge
from benchmarks.evidence.judges.judge import Case, Figures
from benchmarks.evidence.judges.paired import shipped
from benchmarks.evidence.pictures import CENTRE, drawn, run
from benchmarks.quality.frechet import Vectors, frechet
from models.data.boxes import BoxFolder, box_slots
from models.data.images import ImageFolder, View, list_images
from models.data.places import DataConfig
from models.system import Control, Deployable, System

CROP = 64  # px, to which what a box holds is resized


def boxes_of(where: Path, cfg: DataConfig) -> Tensor:
    """(N, slots, 5): the boxes as the centre of each image of a folder shows them."""
    folder, boxes = ImageFolder(list_images(where), cfg.channels), BoxFolder(where)
    seen = View(cfg.size, cfg.size, flip=False), CENTRE
    shapes = [(path, folder[k].shape) for k, path in enumerate(folder.files)]
    return torch.stack([box_slots(boxes.of(path, shape), shape, seen, cfg.instances) for path, shape in shapes])


def crops(images: Tensor, boxes: Tensor) -> Tensor:
    """(M, C, CROP, CROP): what each box holds."""
    cut = []
    for image, of_image in zip(images, boxes, strict=True):
        for x1, y1, x2, y2, there in of_image.tolist():
            if there:
                part = image[:, int(y1) : max(int(y2), int(y1) + 1), int(x1) : max(int(x2), int(x1) + 1)]
                cut.append(F.interpolate(part[None], (CROP, CROP), mode="bilinear", antialias=True)[0])
    return torch.stack(cut)


class BoxedJudge(TwoDomainsJudge):
    """A → B of held-out images of A with their boxes, and what the boxes hold afterwards."""

    measured: ClassVar[str] = TwoDomainsJudge.measured.replace(
        "; with a style",
        "; instance_distance: such a distance of what the boxes hold to what B's boxes hold; instance_loss: how "
        "inconsistent instances are by the training's own loss, over its last tenth and (as untrained) its first; with "
        "a style",
    )
    best: ClassVar[dict[str, tuple[str, float]]] = {
        "in_target": ("high", 0.3), "instance_distance": ("low", 0.0), "instance_loss": ("low", 0.1)
    }  # fmt: skip

    def __init__(self, case: Case) -> None:
        super().__init__(case)
        data = case.recipe.data
        self.boxes, of_b = (boxes_of(Path(folder), data) for folder in case.task.held_out)
        self.instances = self.features(self.b, of_b)

    def features(self, images: Tensor, boxes: Tensor) -> Vectors:
        """Of what the boxes hold, (M, D)."""
        found: Vectors = self.classifier.squeeze(crops(images, boxes)).double().numpy()
        return found

    @staticmethod
    def part(system: System) -> Deployable:
        """With boxes where there is one of its own."""
        return system.deployables().get("with_boxes", shipped(system))

    def translations(self, system: System) -> list[Tensor]:
        part = self.part(system)
        style = next(control for control in part.controls if control.kind != "boxes")
        return [self.translated(part, z.expand(self.count, -1)) for z in drawn(style, STYLES, seed=1)]

    def translated(self, part: Deployable, style: Tensor) -> Tensor:
        """The controls in the part's order."""

        def given(control: Control) -> Tensor:
            return self.boxes if control.kind == "boxes" else style

        return run(part, self.a, *map(given, part.controls))

    def figures(self, system: System | None) -> Figures:
        versions = self.translations(system) if system else [self.a]
        found = np.concatenate([self.features(images, self.boxes) for images in versions])
        return super().figures(system) | {"instance_distance": frechet(found, self.instances)}
