"""TUNIT: do the clusters that were found without labels agree with the labels?"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.cluster.vq import kmeans2
from torch import Tensor

from benchmarks.evidence.judges.domains import labelled
from benchmarks.evidence.judges.judge import Case, Figures
from benchmarks.evidence.judges.paired import SHOWN, shipped
from benchmarks.evidence.measures import cluster_accuracy, purity
from benchmarks.evidence.pictures import run, whole
from models.system import System


class ClustersJudge:
    """Clusters of held-out images of classes that the training never named."""

    measured: ClassVar[str] = (
        "held-out images: share whose cluster stands for their hidden class, under the best naming of clusters, each "
        "class named at most once; purity: the same where several clusters may have one name. Identity is "
        "k-means with as many clusters on the pixels"
    )
    best: ClassVar[dict[str, tuple[str, float]]] = {"cluster_accuracy": ("high", 0.05)}

    def __init__(self, case: Case) -> None:
        folders = sorted(path for path in Path(case.task.held_out[0]).iterdir() if path.is_dir())
        images, self.labels = labelled([whole(str(folder), case.recipe.data) for folder in folders])
        self.images, self.clusters = images, case.recipe.system.clusters

    @property
    def count(self) -> int:
        return len(self.images)

    def found(self, system: System | None) -> NDArray[np.int64]:
        """The cluster of each image."""
        if system:
            return run(system.deployables()["cluster"], self.images).argmax(dim=1).numpy()
        points = self.images.flatten(1).double().numpy()
        return np.asarray(kmeans2(points, self.clusters, minit="++", rng=0)[1], np.int64)

    def figures(self, system: System | None) -> Figures:
        clusters, labels = self.found(system), self.labels.numpy()
        return {
            "cluster_accuracy": cluster_accuracy(clusters, labels), "purity": purity(clusters, labels),
            "clusters_used": float(len(np.unique(clusters))),
        }  # fmt: skip

    def context(self) -> Figures:
        return {"clusters": float(self.clusters), "classes": float(len(torch.unique(self.labels)))}

    def rows(self, system: System) -> dict[str, Tensor]:
        """One image of each class, and each in the style of the next one."""
        shown = self.images[:: self.count // SHOWN][:SHOWN]
        reference = shown.roll(1, 0)
        style = run(system.deployables()["style"], reference)
        return {"image": shown, "reference": reference, "in its style": run(shipped(system), shown, style)}
