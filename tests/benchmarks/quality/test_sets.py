"""Distances of sets against closed forms and other implementations."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.linalg import sqrtm
from scipy.spatial.distance import cdist
from scipy.stats import mannwhitneyu
from torchmetrics.image.inception import InceptionScore
from torchmetrics.image.kid import poly_mmd

from benchmarks.quality.bootstrap import mean_interval, set_interval
from benchmarks.quality.frechet import few, frechet
from benchmarks.quality.inception_score import inception_score
from benchmarks.quality.kernel import kernel_distance, kernel_interval
from benchmarks.quality.manifold import covered
from benchmarks.quality.memorisation import COPIED, copying_score, nearest, nearest_index, spacing


def sets(seed: int, sizes: tuple[int, int] = (60, 45), width: int = 7) -> list[NDArray[np.float64]]:
    """Two clouds that are unlike."""
    rng = np.random.default_rng(seed)
    return [rng.normal(size=(sizes[0], width)), rng.normal(0.4, 1.3, size=(sizes[1], width))]


def test_frechet_distance_of_gaussians_with_equal_axes_is_that_of_means_and_deviations() -> None:
    rng = np.random.default_rng(0)
    points = rng.normal(size=(4000, 3))
    points = (points - points.mean(0)) @ np.linalg.inv(np.linalg.cholesky(np.cov(points, rowvar=False))).T
    one, other = points * [1, 2, 3], points * [2, 2, 1] + [1, 0, 2]
    # (μ₁ - μ₂)² + (σ₁ - σ₂)² for each axis
    assert frechet(one, other) == pytest.approx((1 + 4) + (1 + 0 + 4), rel=1e-6)
    assert frechet(one, one) == pytest.approx(0, abs=1e-6)


def test_frechet_distance_does_not_depend_on_the_axes() -> None:
    rng = np.random.default_rng(1)
    one, other = rng.normal(size=(200, 4)), rng.normal(size=(150, 4)) @ rng.normal(size=(4, 4)) + 1
    turned, _ = np.linalg.qr(rng.normal(size=(4, 4)))
    assert frechet(one @ turned, other @ turned) == pytest.approx(frechet(one, other), rel=1e-8)
    assert frechet(other, one) == pytest.approx(frechet(one, other), rel=1e-8)


@pytest.mark.parametrize("width", [7, 80])  # more vectors than dimensions, and fewer
def test_frechet_distance_is_that_of_the_matrix_square_root(width: int) -> None:
    one, other = sets(3, width=width)
    first, second = (np.cov(x, rowvar=False) for x in (one, other))
    root = np.real(sqrtm(first @ second + 1e-12 * np.eye(width)))
    expected = np.square(one.mean(0) - other.mean(0)).sum() + np.trace(first + second - 2 * root)
    assert frechet(one, other) == pytest.approx(expected, rel=1e-3)


def test_a_frechet_distance_over_few_pictures_says_that_it_is_biased() -> None:
    assert "48 pictures for 1280 dimensions" in few(48, 1280)
    assert few(2560, 1280) == ""
    rng = np.random.default_rng(0)
    alike = [frechet(*(rng.normal(size=(n, 64)) for _ in range(2))) for n in (32, 128, 512)]
    assert alike[0] > 2 * alike[1] > 4 * alike[2]  # of one distribution, so 0 is right


def test_kernel_distance_is_torchmetrics_and_is_unbiased() -> None:
    one, other = sets(4)
    # torchmetrics divides both sums within sets by the size of one: only for sets of one size is that unbiased.
    equal = float(poly_mmd(torch.from_numpy(one[:45]), torch.from_numpy(other)))
    assert kernel_distance(one[:45], other) == pytest.approx(equal, rel=1e-9)
    assert kernel_distance(one, other) == pytest.approx(by_hand(one, other), rel=1e-9)
    rng = np.random.default_rng(1)
    alike = [kernel_distance(rng.normal(size=(12, 20)), rng.normal(size=(12, 20))) for _ in range(200)]
    assert abs(np.mean(alike)) < 3 * np.std(alike) / math.sqrt(200)


def by_hand(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    def kernel(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
        return float((x @ y / len(x) + 1) ** 3)

    n, m = len(one), len(other)
    within = sum(kernel(one[i], one[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
    within += sum(kernel(other[i], other[j]) for i in range(m) for j in range(m) if i != j) / (m * (m - 1))
    return within - 2 * sum(kernel(x, y) for x in one for y in other) / (n * m)


def test_precision_and_recall_are_the_papers_by_brute_force() -> None:
    real, made = sets(5)
    distances = cdist(real, real)
    radii = np.sort(distances, axis=1)[:, 3]  # [:, 0] is the vector itself
    expected = (cdist(made, real) <= radii).any(axis=1)
    assert covered(made, real).tolist() == expected.tolist()
    assert 0 < expected.mean() < 1
    assert covered(real, real).all()
    assert not covered(made + 50, real).any()


def test_inception_score_of_sure_and_even_classes_is_their_number() -> None:
    logits = np.where(np.eye(6, dtype=bool), 60.0, 0.0)
    assert inception_score(np.repeat(logits, 4, axis=0)) == pytest.approx(6)
    assert inception_score(np.repeat(logits[:1], 9, axis=0)) == pytest.approx(1)
    assert inception_score(np.zeros((9, 6))) == pytest.approx(1)


@pytest.mark.filterwarnings("ignore:Metric `InceptionScore` will save", "ignore:std")
def test_inception_score_is_torchmetrics() -> None:
    logits = np.random.default_rng(6).normal(0, 2, (50, 10))

    class Given(torch.nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return torch.from_numpy(logits)

    other = InceptionScore(feature=Given(), splits=1)
    other.update(torch.zeros(1, 3, 8, 8, dtype=torch.uint8))
    assert inception_score(logits) == pytest.approx(float(other.compute()[0]), rel=1e-5)


def test_nearest_is_the_root_mean_square_difference() -> None:
    among = np.array([[0.0, 0.0, 0.0, 0.0], [1.0, 1.0, 1.0, 1.0]])
    points = np.array([[0.0, 0.0, 0.0, 1.0], [1.0, 1.0, 1.0, 1.0]])
    assert nearest(points, among) == pytest.approx([math.sqrt(1 / 4), 0])
    assert nearest_index(points, among).tolist() == [0, 1]


def test_spacing_is_the_distance_to_the_nearest_other() -> None:
    points = np.random.default_rng(10).normal(size=(20, 6))
    distances = cdist(points, points) + 1e9 * np.eye(20)
    assert spacing(points) == pytest.approx(distances.min(axis=1) / math.sqrt(6), rel=1e-6)
    assert spacing(np.ones((5, 3))).max() == 0


def test_copying_score_is_the_mann_whitney_statistic_and_finds_copies() -> None:
    rng = np.random.default_rng(7)
    train, held_out = rng.normal(size=(80, 5)), rng.normal(size=(50, 5))
    fresh, copies = rng.normal(size=(60, 5)), train[:60] + rng.normal(0, 0.02, (60, 5))
    apart, of_fresh, of_copies = (nearest(x, train) for x in (held_out, fresh, copies))
    expected = mannwhitneyu(of_fresh, apart, method="asymptotic", use_continuity=False, alternative="less").pvalue
    assert 0.5 * math.erfc(-copying_score(of_fresh, apart) / math.sqrt(2)) == pytest.approx(expected, rel=1e-6)
    assert abs(copying_score(of_fresh, apart)) < 2.5
    assert copying_score(of_copies, apart) < COPIED


def test_interval_of_a_mean_is_the_normal_one() -> None:
    values = np.random.default_rng(8).normal(5, 2, 400).tolist()
    low, high = mean_interval(values, 0, 2000)
    half = 1.96 * float(np.std(values)) / 20
    assert low == pytest.approx(np.mean(values) - half, abs=0.05)
    assert high == pytest.approx(np.mean(values) + half, abs=0.05)
    assert mean_interval(values, 0, 2000) == (low, high)  # the seed says it all
    assert mean_interval([3.0, 3.0], 0, 100) == (3, 3)
    assert all(map(math.isnan, mean_interval([3.0], 0, 100)))


def test_intervals_of_set_distances_hold_what_other_samples_give() -> None:
    """Nineteen in twenty should; of forty, at least thirty must."""
    rng = np.random.default_rng(9)
    pairs = [(rng.normal(size=(80, 6)), rng.normal(0.5, 1, (80, 6))) for _ in range(40)]
    distances = [frechet(*pair) for pair in pairs]
    kernels = [kernel_distance(*pair) for pair in pairs]
    held = [0, 0]
    for (one, other), value in zip(pairs, distances, strict=True):
        low, high = set_interval(lambda a, b, x=one, y=other: frechet(x[a], y[b]), (80, 80), value, 0, 60)
        held[0] += low <= np.mean(distances) <= high
        low, high = kernel_interval(one, other, 0, 60)
        held[1] += low <= np.mean(kernels) <= high
    assert min(held) >= 30
