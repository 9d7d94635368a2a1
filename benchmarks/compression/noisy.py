"""Gray pictures and the same with noise of σ = 25 levels, in PNG: what a denoiser is measured and a student trained on.

    python -m benchmarks.compression.content --data ../shared/data --out work/content
    python -m benchmarks.compression.noisy work/content --out work/noisy

OUT/trainA and trainB hold the tiles with and without noise, testA and testB the held-out pictures, calibrationA and
calibrationB every fortieth picture that the tiles were cut from, as large as the held-out ones. As a camera would, the
files hold whole levels from 0 to 255, where the papers' noise is neither rounded nor clipped. A picture's noise is
drawn by its name, so a second run gives the same bytes.
"""

from __future__ import annotations

import argparse
import zlib
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from models.data.images import list_images
from runtime.errors import DONE, run_command
from runtime.frames import Array

SIGMA = 25.0  # levels of 255
PARTS = {"train": ("tiles", 1), "calibration": ("train", 40), "test": ("test", 1)}  # folder, and every how many


def noisy(clean: Array, name: str, sigma: float = SIGMA) -> Array:
    """(H, W) levels with Gaussian noise, rounded and clipped."""
    noise = np.random.default_rng(zlib.crc32(name.encode())).normal(0, sigma, clean.shape)
    return np.clip(np.rint(clean + noise), 0, 255).astype(np.uint8)


def main() -> int:
    """Write the folders."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.compression.noisy", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("content", type=Path, help="folder that benchmarks.compression.content wrote")
    parser.add_argument("--out", type=Path, required=True, help="folder to write trainA, trainB … into")
    args = parser.parse_args()
    for part, (source, step) in PARTS.items():
        with_noise, without = (args.out / f"{part}{side}" for side in "AB")
        for folder in (with_noise, without):
            folder.mkdir(parents=True, exist_ok=True)
        for path in tqdm(list_images(args.content / source)[::step], desc=f"writing {without}", unit="picture"):
            clean = np.asarray(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE), np.uint8)
            cv2.imwrite(str(without / path.name), clean)
            cv2.imwrite(str(with_noise / path.name), noisy(clean, path.name))
    print(args.out)
    return DONE


if __name__ == "__main__":
    raise SystemExit(run_command(main))
