"""Precision and recall of generated pictures (Kynkäänniemi et al., "Improved Precision and Recall Metric for Assessing
Generative Models", NeurIPS 2019).

The manifold of a set is the union of balls around its vectors, each as wide as the distance to the vector's third
nearest neighbour. Precision: share of made pictures in the manifold of the real ones (are they good?). Recall: share of
real pictures in the manifold of the made ones (is all of it made?). The paper reads VGG-16's features.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.quality.frechet import Vectors

NEIGHBOURS = 3


def covered(points: Vectors, manifold: Vectors) -> NDArray[np.bool_]:
    """(N): which of the (N, D) points lie in the manifold of (M, D) vectors, M at least NEIGHBOURS + 1."""
    among = torch.from_numpy(manifold)
    # The nearest of all is the vector itself.
    radii = torch.cdist(among, among).kthvalue(NEIGHBOURS + 1, dim=1).values
    inside: NDArray[np.bool_] = (torch.cdist(torch.from_numpy(points), among) <= radii).any(dim=1).numpy()
    return inside
