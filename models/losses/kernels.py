"""How alike two layers see a batch, whatever their widths."""

from __future__ import annotations

import torch
from torch import Tensor

EPS = 1e-12


def kernel_alignment(features: Tensor, wanted: Tensor) -> Tensor:
    """⟨XXᵀ, YYᵀ⟩ / (‖XXᵀ‖ ‖YYᵀ‖) over the batch (CAT, Jin et al., CVPR 2021); from 0 to 1, 1 for equal kernels.

    X and Y are the features of N images, (N, …), flattened; a batch of one has nothing to align, and gives 1.
    """
    kernels = [flat @ flat.T for flat in (features.flatten(1), wanted.flatten(1))]
    first, second = (kernel / (torch.linalg.matrix_norm(kernel) + EPS) for kernel in kernels)
    alignment: Tensor = (first * second).sum()
    return alignment
