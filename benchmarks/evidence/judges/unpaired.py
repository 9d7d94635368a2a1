"""Translation learned without pairs, of pictures that have some, judged by the true ones."""

from __future__ import annotations

from statistics import fmean
from typing import ClassVar

from benchmarks.evidence.judges.judge import Case, Figures
from benchmarks.evidence.judges.paired import PairedJudge, spread
from benchmarks.evidence.measures import ssim_where, subject
from benchmarks.evidence.pictures import to_frames
from benchmarks.quality.pixels import psnr
from models.system import System


class UnpairedJudge(PairedJudge):
    """SSIM counts where it is not black: seven eighths of a slice are air, where a level more or less decides it."""

    measured: ClassVar[str] = (
        "held-out pairs, of which the training saw the two sides unpaired: PSNR (dB; tone counts most in it), SSIM "
        "where source or target is not black, and LPIPS (SqueezeNet) against the true target; with z, means over 4 z "
        "and the mean LPIPS between two of them (diversity). Identity is the source itself"
    )
    # LPIPS of 64 px sees outlines, which the two sides share: the source itself has 0.1 already.
    best: ClassVar[dict[str, tuple[str, float]]] = {"psnr": ("high", 1.0), "ssim_in_subject": ("high", 0.02)}

    def __init__(self, case: Case) -> None:
        super().__init__(case)
        self.subject = subject(self.source, self.target)

    def figures(self, system: System | None) -> Figures:
        versions = self.translations(system) if system else [self.source]
        frames = [to_frames(made) for made in versions]
        compared = [pair for of_one in frames for pair in zip(of_one, self.truth, strict=True)]
        found = {
            "psnr": fmean(psnr(a, b) for a, b in compared),
            "ssim_in_subject": fmean(ssim_where(made, self.target, self.subject) for made in versions),
            "lpips": fmean(self.lpips.distance(a, b) for a, b in compared),
        }
        return found | ({"diversity": spread(self.lpips, frames)} if len(frames) > 1 else {})
