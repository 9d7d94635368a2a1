"""LPIPS: how far two pictures are apart to people.

Zhang et al., "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric", 2018, version 0.1, read over
SqueezeNet 1.1 (Iandola et al., 2016): seven feature maps, each pixel's channel vector scaled to length one; the squared
differences are weighted per channel by learned non-negative numbers, averaged over the map and summed over the seven.
0 = the same, about 1 = unrelated.
"""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path
from pickle import UnpicklingError

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from models.networks.pretrained import squeezenet_features
from runtime.errors import FrameError, SourceError
from runtime.frames import Array

FEATURES_FILE = "squeezenet1_1_imagenet_fp16.npz"  # torchvision's SqueezeNet 1.1, its own parameter names
HEADS_FILE = "lpips_squeeze_linear_v0.1.pth"  # the authors' linear weights, version 0.1
_TAPS = (1, 4, 7, 9, 10, 11, 12)  # features.N whose output is compared
_WIDTHS = (64, 128, 256, 384, 384, 512, 512)  # their channels
# ImageNet's mean and deviation, in [-1, 1] (the scaling layer of LPIPS 0.1); RGB.
_MEAN = (-0.030, -0.088, -0.188)
_DEVIATION = (0.458, 0.448, 0.450)
_SMALLEST = 31  # pixels; below, the last feature map is empty


class Lpips(nn.Module):
    """The distance, on SqueezeNet features and with one linear head for each of seven maps."""

    def __init__(self, features: nn.Sequential, heads: Sequence[Tensor]) -> None:
        super().__init__()
        self._features = features.eval()
        self._heads = [head.reshape(1, -1, 1, 1) for head in heads]
        self._mean = torch.tensor(_MEAN).reshape(1, 3, 1, 1)
        self._deviation = torch.tensor(_DEVIATION).reshape(1, 3, 1, 1)

    @torch.no_grad()
    def distance(self, one: Array, other: Array) -> float:
        """LPIPS of two pictures, (H, W, 3) BGR or (H, W, 1) gray, uint8, of one size of at least 31×31.

        Raises:
            FrameError: the sizes differ, or are too small, or the type is another.
        """
        if one.shape != other.shape or one.dtype != np.uint8 or other.dtype != np.uint8:
            raise FrameError(f"LPIPS needs two uint8 pictures of one size, not {one.shape} and {other.shape}")
        if min(one.shape[:2]) < _SMALLEST:
            raise FrameError(f"LPIPS needs at least {_SMALLEST}×{_SMALLEST} pixels, not {one.shape[:2]}")
        total = 0.0
        for head, a, b in zip(self._heads, self._maps(one), self._maps(other), strict=True):
            total += float(((a - b).square() * head).sum(dim=1).mean())
        return total

    def _maps(self, picture: Array) -> list[Tensor]:
        """The seven feature maps (1, C, h, w), every pixel's vector of length one."""
        rgb = cv2.cvtColor(picture, cv2.COLOR_GRAY2RGB if picture.shape[2] == 1 else cv2.COLOR_BGR2RGB)
        x = torch.from_numpy(rgb).permute(2, 0, 1)[None].float() / 127.5 - 1
        x = (x - self._mean) / self._deviation
        maps = []
        for index, layer in enumerate(self._features):
            x = layer(x)
            if index in _TAPS:
                maps.append(x / (x.square().sum(dim=1, keepdim=True).sqrt() + 1e-10))
        return maps


def load_lpips(weights: Path) -> Lpips:
    """LPIPS with the two weight files (FEATURES_FILE, HEADS_FILE) of a folder.

    Raises:
        SourceError: a file is missing or is not what its name says.
    """
    features = squeezenet_features()
    try:
        with np.load(weights / FEATURES_FILE) as stored:
            parameters = {name: torch.from_numpy(stored[name].astype(np.float32)) for name in stored.files}
        ours = {k.removeprefix("features."): v for k, v in parameters.items() if k.startswith("features.")}
        features.load_state_dict(ours)
        stored_heads = torch.load(weights / HEADS_FILE, map_location="cpu", weights_only=True)
        heads = [stored_heads[f"lin{tap}.model.1.weight"].reshape(width) for tap, width in enumerate(_WIDTHS)]
    except FileNotFoundError as error:
        raise SourceError(f"LPIPS needs {error.filename}; give the folder that holds it with --weights") from error
    except (OSError, EOFError, RuntimeError, ValueError, KeyError, UnpicklingError, zipfile.BadZipFile) as error:
        raise SourceError(f"the LPIPS weights in {weights} are damaged, or another network's: copy them") from error
    return Lpips(features, heads)
