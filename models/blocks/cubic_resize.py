"""Bicubic resizing by two constant matrices, as MATLAB's imresize: a = -0.5, the filter widened where it shrinks.

Resize operators of ONNX and its backends differ in a, in the widening and in what they do at edges; a product of
matrices is the same everywhere.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def resized(x: Tensor, size: tuple[int, int]) -> Tensor:
    """(N, C, H, W) → (N, C, *size), not clamped."""
    height, width = x.shape[2:]
    rows, columns = (
        torch.tensor(cubic_matrix(*sides), dtype=x.dtype, device=x.device)
        for sides in ((height, size[0]), (width, size[1]))
    )
    return rows @ (x @ columns.mT)


@lru_cache(maxsize=256)
def cubic_matrix(inner: int, outer: int) -> NDArray[np.float32]:
    """(outer, inner): each row's weights sum to one; what would lie beyond the edge is left out."""
    stretch = max(1.0, inner / outer)
    centres = (np.arange(outer) + 0.5) * inner / outer - 0.5
    weights = _cubic((centres[:, None] - np.arange(inner)) / stretch)
    normalised: NDArray[np.float32] = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
    return normalised


def _cubic(distance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Keys's kernel (1981)."""
    d = np.abs(distance)
    near, far = (1.5 * d - 2.5) * d**2 + 1, ((-0.5 * d + 2.5) * d - 4) * d + 2
    return np.where(d <= 1, near, np.where(d < 2, far, 0.0))
