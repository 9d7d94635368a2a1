"""Translation between domains: does a classifier of real images see the target domain, and is the content kept?"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from statistics import fmean
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.evidence.classifiers import LinearOnSqueeze, accuracy, predicted
from benchmarks.evidence.judges.judge import Case, Figures
from benchmarks.evidence.judges.paired import SHOWN, shipped, spread
from benchmarks.evidence.measures import ssim_where, subject
from benchmarks.evidence.pictures import drawn, run, to_frames, whole
from benchmarks.quality.frechet import frechet
from benchmarks.quality.lpips import load_lpips
from benchmarks.quality.pixels import edge_ssim, psnr
from benchmarks.quality.squeeze import Squeeze
from models.data.places import domain_folders, sides
from models.system import System

STYLES = 3  # for each image


def kept(one: Tensor, other: Tensor) -> float:
    """Mean SSIM of the edges."""
    return fmean(edge_ssim(a, b) for a, b in zip(to_frames(one), to_frames(other), strict=True))


def labelled(folders: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Images of several domains, and the index of each one's domain."""
    return torch.cat(folders), torch.repeat_interleave(torch.tensor([len(images) for images in folders]))


class TwoDomainsJudge:
    """A → B of held-out images of A."""

    measured: ClassVar[str] = (
        "held-out images of A: share that a classifier of real A and B (logistic regression on SqueezeNet features) "
        "puts into B, Fréchet distance of these features to B's held-out images (not FID), SSIM of the edges with the "
        "source; with a style, the mean LPIPS between two styles (diversity). Identity is the source itself"
    )
    best: ClassVar[dict[str, tuple[str, float]]] = {"in_target": ("high", 0.3), "distance": ("low", 0.2)}

    def __init__(self, case: Case) -> None:
        data = case.recipe.data
        self.a, self.b = (whole(where, data) for where in case.task.held_out)
        self.classifier = LinearOnSqueeze(
            Squeeze(case.weights), *labelled([whole(str(side), data) for side in sides(data)])
        )  # fmt: skip
        self.lpips = load_lpips(case.weights)

    @property
    def count(self) -> int:
        return len(self.a)

    def translations(self, system: System) -> list[Tensor]:
        """One for each style, or one."""
        part = shipped(system)
        if not part.controls:
            return [run(part, self.a)]
        return [run(part, self.a, z.expand(self.count, -1)) for z in drawn(part.controls[0], STYLES, seed=1)]

    @cached_property
    def real(self) -> Tensor:
        """Features of B's held-out images."""
        found: Tensor = self.classifier.squeeze(self.b)
        return found

    def figures(self, system: System | None) -> Figures:
        versions = self.translations(system) if system else [self.a]
        made = torch.cat(versions)
        found = {
            "in_target": float((predicted(self.classifier, made) == 1).mean()),
            "distance": frechet(self.classifier.squeeze(made).double().numpy(), self.real.double().numpy()),
            "edge_ssim": fmean(kept(images, self.a) for images in versions),
        }
        if len(versions) > 1:
            found["diversity"] = spread(self.lpips, [to_frames(images) for images in versions])
        return found

    def context(self) -> Figures:
        images, labels = labelled([self.a, self.b])
        return {"classifier_accuracy": accuracy(self.classifier, images, labels)}

    def rows(self, system: System) -> dict[str, Tensor]:
        made = {f"a → b {k}": images[:SHOWN] for k, images in enumerate(self.translations(system), 1)}
        return {"a": self.a[:SHOWN], **made, "b": self.b[:SHOWN]}


class DomainsJudge:
    """Every held-out image to each of the other domains."""

    measured: ClassVar[str] = (
        "held-out images, each to every other domain: share that a classifier of the real domains (logistic regression "
        "on SqueezeNet features) puts into the domain that was asked for, SSIM of the edges with the source; where "
        "slices of the same name are registered, PSNR (dB) of the true one and SSIM with it where either is not black. "
        "Identity is the source itself"
    )
    best: ClassVar[dict[str, tuple[str, float]]] = {
        "in_target": ("high", 0.3), "psnr_to_true_slice": ("high", 1.0)
    }  # fmt: skip

    def __init__(self, case: Case) -> None:
        data = case.recipe.data
        self.names, self.registered = data.domains, case.task.images == "mr_contrasts"
        self.images = [whole(str(Path(case.task.held_out[0]) / name), data) for name in self.names]
        train = [whole(str(folder), data) for folder in domain_folders(data)]
        self.classifier = LinearOnSqueeze(Squeeze(case.weights), *labelled(train))

    @property
    def count(self) -> int:
        return sum(map(len, self.images))

    def to_domain(self, system: System, images: Tensor, target: int, seed: int = 1) -> Tensor:
        """Images translated to a domain, with noise where the system takes some."""
        parts, part = system.deployables(), shipped(system)
        label = F.one_hot(torch.tensor(target), len(self.names)).float().expand(len(images), -1)
        if "mapping" in parts:
            noise = drawn(parts["mapping"].controls[0], len(images), seed)
            return run(part, images, run(parts["mapping"], images, noise, label))
        controls = [label if c.kind == "label" else drawn(c, len(images), seed) for c in part.controls]
        return run(part, images, *controls)

    def figures(self, system: System | None) -> Figures:
        landed, edges, like, near = [], [], [], []
        for source, images in enumerate(self.images):
            for target in [k for k in range(len(self.names)) if k != source]:
                made = self.to_domain(system, images, target) if system else images
                landed.append((predicted(self.classifier, made) == target).mean())
                edges.append(kept(made, images))
                if self.registered:
                    truth = self.images[target]
                    like.append(ssim_where(made, truth, subject(images, truth)))
                    near += [psnr(a, b) for a, b in zip(to_frames(made), to_frames(truth), strict=True)]
        found = {"in_target": float(np.mean(landed)), "edge_ssim": fmean(edges)}
        return found | ({"psnr_to_true_slice": fmean(near), "ssim_to_true_slice": fmean(like)} if near else {})

    def context(self) -> Figures:
        return {"classifier_accuracy": accuracy(self.classifier, *labelled(self.images))}

    def rows(self, system: System) -> dict[str, Tensor]:
        source = torch.stack([images[0] for images in self.images])
        made = {f"to {name}": self.to_domain(system, source, k) for k, name in enumerate(self.names)}
        return {"source": source, **made}
