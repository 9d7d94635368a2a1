"""Figures that need no network: closed forms on numbers and vectors."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

Vectors = NDArray[np.float64]


def mutual_information(counts: Vectors) -> float:
    """Bits that one class says of the other, from how often each two came together: (C, C)."""
    return entropy(counts.sum(axis=0)) + entropy(counts.sum(axis=1)) - entropy(counts.ravel())


def entropy(shares: Vectors) -> float:
    """Of a distribution, in bits; counts will do."""
    p = shares[shares > 0] / shares.sum()
    return float(-(p * np.log2(p)).sum())


def cluster_accuracy(clusters: NDArray[np.int64], labels: NDArray[np.int64]) -> float:
    """Share of samples whose cluster stands for their label, under the one-to-one naming of clusters that is best."""
    counts = np.zeros((int(clusters.max()) + 1, int(labels.max()) + 1), np.int64)
    np.add.at(counts, (clusters, labels), 1)
    rows, columns = linear_sum_assignment(-counts)
    return float(counts[rows, columns].sum() / len(labels))
