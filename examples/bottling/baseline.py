"""What a generator has to beat: gamma correction, then OpenCV's non-local means, tuned on training frames.

Tuned means: clean training frames are degraded (so that pairs exist, which the training itself never sees), the curve
is fitted to them, and the strength of the filter is the one whose result is nearest to the clean frames in LPIPS.
Two baselines differ in the curve: `gamma` has one exponent, `gain` an exponent and a gain for every channel, which
undoes the colour cast and nearly inverts the camera.

    python -m examples.bottling.baseline --data WORK      # tunes again; WORK as examples.bottling.prepare made it
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from benchmarks.quality.lpips import load_lpips
from examples.bottling.degrade import degrade
from runtime.errors import DONE, run_command
from runtime.images import list_images, read_image

Picture = NDArray[np.uint8]  # (H, W, 3) BGR
Distance = Callable[[Picture, Picture], float]

WEIGHTS = Path("../shared/data/weights")
EXPONENTS = tuple(round(float(e), 3) for e in np.arange(0.2, 1.301, 0.02))
STRENGTHS = (5.0, 10.0, 20.0, 30.0, 40.0)  # h of fastNlMeansDenoisingColored, levels of 255
_TEMPLATE, _SEARCH = 7, 21  # windows, as OpenCV recommends
_SMOOTHING = 3.0  # sigma of the blur under which curves are fitted: noise must not pull the fit down


@dataclass(frozen=True)
class Baseline:
    """255 · gain · (x / 255) ^ exponent for every channel, then non-local means."""

    exponent: float
    gain: tuple[float, float, float]  # B, G, R
    strength: float

    def brighten(self, frame: Picture) -> Picture:
        """The curve alone."""
        curve = 255.0 * (np.arange(256) / 255.0) ** self.exponent
        table = np.stack([curve * gain for gain in self.gain], axis=1)  # (256, 3)
        levels = np.rint(np.clip(table, 0, 255)).astype(np.uint8)
        return np.asarray(cv2.LUT(frame, levels[None]), dtype=np.uint8)

    def restore(self, frame: Picture) -> Picture:
        """The curve, then the filter, as strong on colour as on brightness."""
        bright = self.brighten(frame)
        restored = cv2.fastNlMeansDenoisingColored(bright, None, self.strength, self.strength, _TEMPLATE, _SEARCH)
        return np.asarray(restored, dtype=np.uint8)


# Tuned on eight training frames; `main` does it again.
TUNED = {
    "gamma + non-local means": Baseline(0.34, (1.0, 1.0, 1.0), 40.0),
    "gain + non-local means": Baseline(0.86, (2.7468, 2.4793, 2.3146), 30.0),
}


def tune(
    dark: Sequence[Picture], clean: Sequence[Picture], distance: Distance, per_channel: bool
) -> Baseline:
    """The baseline that comes nearest to `clean` from `dark`, registered pairs of training frames."""
    exponent, gain = _fit_curve(dark, clean, per_channel)
    candidates = [Baseline(exponent, gain, strength) for strength in STRENGTHS]
    name = "gain" if per_channel else "gamma"
    distances = [
        np.mean([distance(candidate.restore(a), b) for a, b in zip(dark, clean, strict=True)])
        for candidate in tqdm(candidates, desc=f"tuning {name} + non-local means", leave=False)
    ]
    return candidates[int(np.argmin(distances))]


def _fit_curve(
    dark: Sequence[Picture], clean: Sequence[Picture], per_channel: bool
) -> tuple[float, tuple[float, float, float]]:
    """The exponent, and the gains where they are free, of least squared error under a blur."""
    x, y = _smoothed(dark), _smoothed(clean)
    fits = []
    for exponent in EXPONENTS:
        curve = x**exponent
        gain = (curve * y).sum(axis=0) / (curve * curve).sum(axis=0) if per_channel else np.ones(3)
        error = float(np.square(np.clip(gain * curve, 0, 1) - y).mean())
        fits.append((error, exponent, gain))
    _, exponent, gain = min(fits, key=lambda fit: fit[0])
    blue, green, red = (round(float(g), 4) for g in gain)
    return exponent, (blue, green, red)


def _smoothed(frames: Sequence[Picture]) -> NDArray[np.float64]:
    """(pixels, 3) in 0..1, every fourth row and column of the blurred frames."""
    blurred = [cv2.GaussianBlur(frame / 255.0, (0, 0), _SMOOTHING)[::4, ::4].reshape(-1, 3) for frame in frames]
    return np.concatenate(blurred)


def training_pairs(data: Path) -> tuple[list[Picture], list[Picture]]:
    """Eight clean training frames, spread over both clips, and the same degraded."""
    names = list_images(data / "trainB")[8::25]
    clean = [np.asarray(read_image(name, channels=3), dtype=np.uint8) for name in names]
    return [degrade(frame, seed) for seed, frame in enumerate(clean)], clean


def main(arguments: Sequence[str] | None = None) -> int:
    """Tune both baselines and print them, to stand in TUNED."""
    parser = argparse.ArgumentParser(
        prog="python -m examples.bottling.baseline",
        description="Tune the classical baselines on training frames.",
        epilog="example: python -m examples.bottling.baseline --data WORK",
    )
    parser.add_argument("--data", type=Path, required=True, help="folder made by examples.bottling.prepare")
    parser.add_argument("--weights", type=Path, default=WEIGHTS, help="folder of the LPIPS weights (%(default)s)")
    options = parser.parse_args(arguments)
    dark, clean = training_pairs(options.data)
    distance = load_lpips(options.weights).distance
    for name, per_channel in zip(TUNED, (False, True), strict=True):
        print(f"{name}: {tune(dark, clean, distance, per_channel)}")
    return DONE


if __name__ == "__main__":
    raise SystemExit(run_command(main))
