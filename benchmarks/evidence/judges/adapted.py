"""Unsupervised adaptation: what a classifier or a segmenter says of the domain whose labels it never read."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from benchmarks.evidence.judges.digits import points, read
from benchmarks.evidence.judges.judge import Case, Figures
from benchmarks.evidence.pictures import CENTRE, run, to_frames, whole
from benchmarks.evidence.prepare import tissue, tissue_levels
from benchmarks.quality.segmentation import counted, scores
from models.data.images import ImageFolder, View, list_images
from models.data.places import sides
from models.data.segmentation import LabelFolder, label_map
from models.system import System

SHOWN = 10


class ClassifiedJudge:
    """Held-out digits of the target, beside their nearest neighbour's class among the source's."""

    measured: ClassVar[str] = (
        "held-out digits of the domain whose labels were not read: share that the classifier reads rightly. Identity "
        "gives each digit the class of the nearest one (in pixels) of the domain with labels"
    )
    best: ClassVar[dict[str, tuple[str, float]]] = {"accuracy": ("high", 0.05)}

    def __init__(self, case: Case) -> None:
        self.source, self.known = read(str(sides(case.recipe.data)[0]), case)
        self.target, self.labels = read(case.task.held_out[0], case)

    @property
    def count(self) -> int:
        return len(self.target)

    def answers(self, system: System | None) -> Tensor:
        """(N,) classes."""
        if system:
            return run(system.deployables()["classifier"], self.target).argmax(dim=1)
        return self.known[torch.cdist(points(self.target), points(self.source)).argmin(dim=1)]

    def figures(self, system: System | None) -> Figures:
        return {"accuracy": float((self.answers(system) == self.labels).float().mean())}

    def context(self) -> Figures:
        return {}

    def rows(self, system: System) -> dict[str, Tensor]:
        wrong = self.target[self.answers(system) != self.labels]
        return {"target": self.target[:SHOWN], "read wrongly": wrong[:SHOWN]}


class SegmentedJudge:
    """Held-out images of the target; the rule by which the source's labels were made is the rival."""

    measured: ClassVar[str] = (
        "held-out dim and noisy X-rays, the classes of their pixels known from the registered clean ones: intersection "
        "over union and share of pixels of the segmenter, which learned from labels of clean ones alone. Identity is "
        "the thresholds that made those labels"
    )
    best: ClassVar[dict[str, tuple[str, float]]] = {"class_iou": ("high", 0.1)}

    def __init__(self, case: Case) -> None:
        data, (target, self.source) = case.recipe.data, map(Path, case.task.held_out)
        self.images, self.names = whole(str(target), data), data.domains
        folder, view = LabelFolder(target, data.domains), View(data.size, data.size, flip=False)
        files = list_images(target)
        planes = [folder.of(path, ImageFolder([path], data.channels)[0].shape) for path in files]
        self.labels = torch.stack([label_map(of_one, view, CENTRE) for of_one in planes])

    @property
    def count(self) -> int:
        return len(self.images)

    def answers(self, system: System | None) -> Tensor:
        """(N, H, W) classes."""
        if system:
            return run(system.deployables()["segmenter"], self.images).argmax(dim=1)
        gray, levels = to_frames(self.images.mean(dim=1, keepdim=True)), tissue_levels(self.source)
        return torch.from_numpy(np.stack([tissue(picture[:, :, 0], levels) for picture in gray]))

    def figures(self, system: System | None) -> Figures:
        pairs = zip(self.answers(system).numpy(), self.labels.numpy(), strict=True)
        counts = np.sum([counted(seen, labels, len(self.names)) for seen, labels in pairs], axis=0)
        found, right = scores(counts), np.diag(counts)
        iou = right / (counts.sum(axis=0) + counts.sum(axis=1) - right)
        of_each = {f"iou_{name}": float(value) for name, value in zip(self.names, iou, strict=True)}
        return {"class_iou": found.class_iou, "pixel_accuracy": found.pixel_accuracy} | of_each

    def context(self) -> Figures:
        return {}

    def rows(self, system: System) -> dict[str, Tensor]:
        def shown(labels: Tensor) -> Tensor:
            levels = labels.clamp_max(len(self.names) - 1).float() / (len(self.names) - 1) * 2 - 1
            return levels[:SHOWN, None].expand(-1, self.images.shape[1], -1, -1)

        return {
            "target": self.images[:SHOWN], "segmented": shown(self.answers(system)),
            "thresholds": shown(self.answers(None)), "truth": shown(self.labels),
        }  # fmt: skip
