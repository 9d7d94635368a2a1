"""Held-out images as a system takes them, and what it makes of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from models.data.arrays import open_pictures
from models.data.datasets import DataConfig
from models.data.images import Crop, View, to_tensor
from models.system import Control, Deployable
from runtime.frames import Array

CENTRE = Crop(0.5, 0.5, False)
BATCH = 10


def whole(where: str, cfg: DataConfig, size: int = 0) -> Tensor:
    """All images of a folder or file, their shorter side resized to `size` px (0 = the training's), the middle square:
    (N, C, size, size) in [-1, 1], not mirrored."""
    pictures = open_pictures(Path(where), cfg.channels, 64)
    view = View(size or cfg.size, size or cfg.size, flip=False)
    return torch.stack([to_tensor(view.take(pictures[k], CENTRE)) for k in range(len(pictures))])


def to_frames(images: Tensor) -> list[Array]:
    """(N, C, H, W) in [-1, 1] → N pictures (H, W, C) uint8, BGR or gray, as a file would hold them."""
    pixels = ((images.float().clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()
    return [np.ascontiguousarray(picture[:, :, ::-1]) for picture in pixels]


@torch.no_grad()
def run(part: Deployable, images: Tensor, *controls: Tensor) -> Tensor:
    """The first output of a part, image by image where it takes images; a control is (N, …), one for each."""
    inputs = (images, *controls) if part.channels_in else controls
    made = []
    for start in range(0, len(inputs[0]), BATCH):
        output = part.module(*(x[start : start + BATCH] for x in inputs))
        made.append(output[0] if isinstance(output, tuple) else output)
    return torch.cat(made)


def drawn(control: Control, count: int, seed: int) -> Tensor:
    """Noise or styles of a control's own distribution: (count, …)."""
    generator = torch.Generator().manual_seed(seed)
    shape = (count, *control.shape[1:])
    if control.distribution == "uniform":
        return torch.rand(shape, generator=generator) * 2 - 1
    return torch.randn(shape, generator=generator)


Restyle = Callable[[Tensor, int], Tensor]  # images, seed of the style → images
