"""What unconditional generators are fed with."""

from __future__ import annotations

import torch
from torch import Tensor

from models.system import Control


def uniform_noise(like: Tensor, latent: int) -> Tensor:
    """(N, latent) in [-1, 1), as many and where `like` (N, …) is."""
    return torch.rand(len(like), latent, device=like.device) * 2 - 1


def uniform_control(latent: int) -> Control:
    """The input of a shipped generator that was trained on `uniform_noise`."""
    return Control("z", "noise", (1, latent), -1.0, 1.0, distribution="uniform")
