"""How far a picture is from the true one, pixel by pixel, and whether its edges stayed where they were.

PSNR and SSIM are those of the gate (calibration/fidelity.py). Pictures are (H, W, C), uint8 or uint16, of one shape.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torchmetrics.functional.image import multiscale_structural_similarity_index_measure

from calibration.fidelity import psnr, ssim
from runtime.errors import FrameError
from runtime.frames import Array

__all__ = ["edge_ssim", "edges", "luminance_psnr", "ms_ssim", "pixel_accuracy", "psnr", "rmse", "ssim"]

_SMALLEST_MS_SSIM = 176  # px: five scales, each half of the one before, of at least the window's 11


def ms_ssim(one: Array, other: Array) -> float:
    """Multi-scale SSIM (Wang et al. 2003): five scales, Gaussian window of sigma 1.5, mean of the channels; at most 1.

    Raises:
        FrameError: the pictures differ in shape, or are smaller than 176×176.
    """
    if one.shape != other.shape or one.dtype != other.dtype:
        raise FrameError(f"MS-SSIM needs two pictures of one size, not {one.shape} and {other.shape}")
    if min(one.shape[:2]) < _SMALLEST_MS_SSIM:
        least = f"{_SMALLEST_MS_SSIM}×{_SMALLEST_MS_SSIM}"
        raise FrameError(f"MS-SSIM needs {least} pixels or more, not {one.shape[1]}×{one.shape[0]}: use ssim")
    images = [torch.from_numpy(picture.astype(np.float32)).permute(2, 0, 1)[None] for picture in (one, other)]
    peak = float(np.iinfo(one.dtype).max)
    return float(multiscale_structural_similarity_index_measure(images[0], images[1], data_range=peak))


def rmse(one: Array, other: Array) -> float:
    """Root mean square difference over pixels and channels, in levels of 255."""
    difference = (one.astype(np.float64) - other) * (255 / np.iinfo(other.dtype).max)
    return float(np.sqrt(np.square(difference).mean()))


def pixel_accuracy(one: Array, other: Array, tolerance: int) -> float:
    """Share of pixels none of whose channels is `tolerance` levels of 255 off, or more: of maps (Fu et al.,
    "Geometry-Consistent GAN", CVPR 2019, with 5 and 10)."""
    difference = np.abs(one.astype(np.float64) - other).max(axis=2) * (255 / np.iinfo(other.dtype).max)
    return float((difference < tolerance).mean())


def luminance_psnr(one: Array, other: Array, border: int = 4) -> float:
    """PSNR of two BGR uint8 pictures as super-resolution reports it, in dB: BT.601 luminance in studio range (MATLAB's
    rgb2ycbcr, not rounded), without `border` pixels at each side."""
    weights = np.array([24.966, 128.553, 65.481]) / 255  # B, G, R
    inside = (slice(border, -border or None),) * 2
    difference = (one[inside].astype(np.float64) - other[inside].astype(np.float64)) @ weights
    error = float(np.square(difference).mean())
    return float("inf") if error == 0 else 10 * float(np.log10(255**2 / error))


def edge_ssim(one: Array, other: Array) -> float:
    """SSIM of the edges of two pictures (H, W, C) uint8: whether things are where they were, whatever their colour."""
    return ssim(edges(one), edges(other))


def edges(picture: Array) -> Array:
    """(H, W, C) uint8 → (H, W, 1) uint8: the length of the luminance's gradient (Scharr), 255 = its 99th percentile."""
    gray = picture[:, :, 0] if picture.shape[2] == 1 else cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)
    across, down = (cv2.Scharr(gray.astype(np.float32), cv2.CV_32F, dx, 1 - dx) for dx in (1, 0))
    length = np.hypot(across, down)
    scaled = length * (255 / max(1e-6, float(np.percentile(length, 99))))
    return np.asarray(scaled.clip(0, 255).round(), np.uint8)[:, :, None]
