"""Paired translation: how near to the registered truth, and how different by z; and enlarging."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.evidence.judges.judge import Case, Figures
from benchmarks.evidence.pictures import drawn, run, to_frames, whole
from benchmarks.quality import diversity
from benchmarks.quality.lpips import Lpips, load_lpips
from benchmarks.quality.pixels import luminance_psnr, psnr, ssim
from models.data.datasets import reduced
from models.system import Deployable, System
from runtime.frames import Array

SHOWN = 6
STYLES = 4  # z for each source
COMPARED = 12  # pictures whose versions are compared, which takes LPIPS a while


def shipped(system: System) -> Deployable:
    """The default part."""
    return next(iter(system.deployables().values()))


def spread(lpips: Lpips, versions: Sequence[Sequence[Array]]) -> float:
    """Mean LPIPS between two of the versions of a picture; versions[k][n] is version k of picture n."""
    few = [pictures[:COMPARED] for pictures in versions]
    return fmean(diversity.spread(lpips, of_one) for of_one in zip(*few, strict=True))


class PairedJudge:
    """Translations of held-out sources beside their true targets."""

    measured: ClassVar[str] = (
        "held-out pairs: PSNR (dB), SSIM and LPIPS (SqueezeNet) against the true target; with z, the mean over 4 z and "
        "the mean LPIPS between two of them (diversity). Identity is the source itself"
    )
    best: ClassVar[dict[str, tuple[str, float]]] = {
        "psnr": ("high", 1.0), "ssim": ("high", 0.02), "lpips": ("low", 0.1)
    }  # fmt: skip

    def __init__(self, case: Case) -> None:
        size = case.task.test_size
        self.source, self.target = (whole(where, case.recipe.data, size) for where in case.task.held_out)
        self.truth, self.lpips = to_frames(self.target), load_lpips(case.weights)

    @property
    def count(self) -> int:
        return len(self.source)

    def translations(self, system: System) -> list[Tensor]:
        """One for each z, or one."""
        part = shipped(system)
        if not part.controls:
            return [run(part, self.source)]
        latents = drawn(part.controls[0], STYLES, seed=1)
        return [run(part, self.source, z.expand(self.count, -1)) for z in latents]

    def figures(self, system: System | None) -> Figures:
        versions = [to_frames(made) for made in (self.translations(system) if system else [self.source])]
        compared = [pair for frames in versions for pair in zip(frames, self.truth, strict=True)]
        found = {
            "psnr": fmean(psnr(a, b) for a, b in compared),
            "ssim": fmean(ssim(a, b) for a, b in compared),
            "lpips": fmean(self.lpips.distance(a, b) for a, b in compared),
        }
        return found | ({"diversity": spread(self.lpips, versions)} if len(versions) > 1 else {})

    def context(self) -> Figures:
        return {}

    def rows(self, system: System) -> dict[str, Tensor]:
        made = {f"made {k}": images[:SHOWN] for k, images in enumerate(self.translations(system), 1)}
        return {"source": self.source[:SHOWN], **made, "target": self.target[:SHOWN]}


class EitherJudge:
    """Translations with z where each source has two true targets."""

    measured: ClassVar[str] = (
        "held-out T1 slices, translated with 16 z each, beside their T2 and their FLAIR slice, either of which was the "
        "target in training: PSNR (dB) that the best z reaches to the one that is reached worse (both_psnr: a network "
        "that gives one answer fails the other), share of z that give the contrast which that slice gets less often "
        "(0 = always the same one, 0.5 = evenly), PSNR to the nearer one, SSIM with it, mean LPIPS between two of them "
        "(diversity). Identity is the source itself"
    )
    best: ClassVar[dict[str, tuple[str, float]]] = {"both_psnr": ("high", 1.0), "rarer_contrast": ("high", 0.1)}

    def __init__(self, case: Case) -> None:
        self.source, *targets = (whole(where, case.recipe.data) for where in case.task.held_out)
        self.targets, self.truths = targets, [to_frames(images) for images in targets]
        self.lpips = load_lpips(case.weights)

    @property
    def count(self) -> int:
        return len(self.source)

    def translations(self, system: System | None, count: int = 16) -> list[Tensor]:
        """One for each z; the source itself where there is no system."""
        if system is None:
            return [self.source]
        part = shipped(system)
        return [run(part, self.source, z.expand(self.count, -1)) for z in drawn(part.controls[0], count, seed=1)]

    def figures(self, system: System | None) -> Figures:
        versions = [to_frames(images) for images in self.translations(system)]
        near = np.array([
            [[psnr(a, b) for a, b in zip(of_z, truth, strict=True)] for truth in self.truths] for of_z in versions
        ])  # fmt: skip
        which = near.argmax(axis=1)  # (z, slice) → the contrast that it is nearer to
        second = which.mean(axis=0)
        nearer = zip(versions, which, strict=True)
        like = [ssim(of_z[n], self.truths[k][n]) for of_z, chosen in nearer for n, k in enumerate(chosen)]
        found = {
            "both_psnr": float(near.max(axis=0).min(axis=0).mean()),
            "rarer_contrast": float(np.minimum(second, 1 - second).mean()),
            "psnr": float(near.max(axis=1).mean()), "ssim": fmean(like),
        }  # fmt: skip
        return found | ({"diversity": spread(self.lpips, versions[:STYLES])} if len(versions) > 1 else {})

    def context(self) -> Figures:
        return {}

    def rows(self, system: System) -> dict[str, Tensor]:
        made = {f"z {k}": images[:SHOWN] for k, images in enumerate(self.translations(system, 5), 1)}
        return {"T1": self.source[:SHOWN], **made, "T2": self.targets[0][:SHOWN], "FLAIR": self.targets[1][:SHOWN]}


class EnlargedJudge:
    """Held-out images, reduced by four and enlarged again."""

    measured: ClassVar[str] = (
        "held-out images, reduced four times (bicubic) and enlarged again: PSNR of the luminance (dB, 4 px cut off) "
        "and LPIPS against the image. Identity is bicubic enlarging"
    )
    best: ClassVar[dict[str, tuple[str, float]]] = {"y_psnr": ("high", 0.2), "lpips": ("low", 0.1)}

    def __init__(self, case: Case) -> None:
        size, scale = case.task.test_size, case.recipe.data.scale
        self.target = whole(case.task.held_out[0], case.recipe.data, size)
        self.source = torch.stack([reduced(image, scale) for image in self.target])
        self.truth, self.lpips = to_frames(self.target), load_lpips(case.weights)

    @property
    def count(self) -> int:
        return len(self.target)

    def enlarged(self, system: System | None) -> Tensor:
        """(N, C, H, W)."""
        if system:
            return run(shipped(system), self.source).clamp(-1, 1)
        return F.interpolate(self.source, self.target.shape[2:], mode="bicubic").clamp(-1, 1)

    def figures(self, system: System | None) -> Figures:
        compared = [*zip(to_frames(self.enlarged(system)), self.truth, strict=True)]
        return {
            "y_psnr": fmean(luminance_psnr(a, b) for a, b in compared),
            "lpips": fmean(self.lpips.distance(a, b) for a, b in compared),
        }

    def context(self) -> Figures:
        return {}

    def rows(self, system: System) -> dict[str, Tensor]:
        """The middle of four images."""
        shown = slice(0, None, max(1, self.count // 4))
        side = self.target.shape[2] // 2
        rows = {"bicubic": self.enlarged(None), "enlarged": self.enlarged(system), "image": self.target}
        return {name: images[shown, :, side - 96 : side + 96, side - 96 : side + 96] for name, images in rows.items()}


class DiverseJudge(EitherJudge):
    """Whether z makes a difference at all, for a loss that asks for no more than that."""

    best: ClassVar[dict[str, tuple[str, float]]] = {"psnr": ("high", 1.0), "diversity": ("high", 0.02)}


class PerceivedJudge(EnlargedJudge):
    """The adversarial stage, which gives up PSNR for what looks sharp."""

    best: ClassVar[dict[str, tuple[str, float]]] = {"lpips": ("low", 0.1)}
