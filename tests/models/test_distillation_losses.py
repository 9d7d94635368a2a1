"""The terms of distillation against closed forms, matrices written out, and scikit-image."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from skimage.metrics import structural_similarity
from torch import Tensor

from models.compress.distill.dmad import soft_step
from models.compress.distill.gan_slimming import on_grid, soft_threshold
from models.compress.distill.wavelet import smooth
from models.errors import ConfigError
from models.losses.attention import attention_distance, attention_map
from models.losses.features import channel_distance, feature_distance, gram_matrix, style_distance, unit_distance
from models.losses.kernels import kernel_alignment
from models.losses.structure import ssim
from models.losses.wavelet import detail_distance, details, haar


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_structural_similarity_is_scikit_images() -> None:
    one, other = noise(2, 3, 40, 33).tanh(), noise(2, 3, 40, 33, seed=1).tanh()
    other = 0.6 * one + 0.4 * other
    wanted = []
    for a, b in zip(one.numpy(), other.numpy(), strict=True):
        settings = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "full": True}
        _, maps = structural_similarity(a, b, channel_axis=0, data_range=2, **settings)
        wanted.append(maps[:, 5:-5, 5:-5].mean())  # of the windows that lie inside
    assert float(ssim(one, other)) == pytest.approx(np.mean(wanted), abs=1e-5)
    assert float(ssim(one, one)) == pytest.approx(1)


def test_mixed_precision_leaves_moments_alone() -> None:
    one = 0.01 * noise(1, 3, 40, 40) + 0.9  # nearly flat: variances are far below what bfloat16 keeps of the moments
    other, features = one.flip(3), noise(1, 8, 16, 16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        similarity, products = ssim(one, other), gram_matrix(features.bfloat16())
    torch.testing.assert_close(similarity, ssim(one, other))
    torch.testing.assert_close(products, gram_matrix(features.bfloat16().float()))


def test_structural_similarity_needs_a_window() -> None:
    with pytest.raises(ConfigError, match=r"11×11 px or more, not .*\[8, 32\]"):
        ssim(torch.zeros(1, 3, 8, 32), torch.zeros(1, 3, 8, 32))


def test_gram_matrices_are_mean_products_of_channels() -> None:
    features = noise(2, 3, 4, 5)
    wanted = torch.zeros(2, 3, 3)
    for n, i, j in np.ndindex(2, 3, 3):
        wanted[n, i, j] = (features[n, i] * features[n, j]).sum() / (3 * 4 * 5)
    torch.testing.assert_close(gram_matrix(features), wanted)
    moved = features.roll(2, dims=3)
    assert style_distance([features], [moved]) < 1e-6 < feature_distance([features], [moved])


def test_channels_are_compared_by_their_means() -> None:
    one, other = noise(2, 3, 4, 4), noise(2, 3, 4, 4, seed=1)
    wanted = (one.mean((2, 3)) - other.mean((2, 3))).square().mean()
    torch.testing.assert_close(channel_distance([one, one], [other, other]), 2 * wanted)
    assert channel_distance([one], [one.flip(2)]) < 1e-12


def test_unit_distance_is_twice_one_minus_the_cosine() -> None:
    one, other = noise(2, 5, 3, 3), noise(2, 5, 3, 3, seed=1)
    cosine = torch.cosine_similarity(one, other, dim=1)
    torch.testing.assert_close(unit_distance([one], [other]), (2 - 2 * cosine).mean())
    assert unit_distance([one], [3 * one]) < 1e-10


def haar_matrix(size: int) -> Tensor:
    """One level along one axis: the means of pairs, then their differences, orthonormal."""
    matrix = torch.zeros(size, size)
    for k in range(size // 2):
        matrix[k, 2 * k : 2 * k + 2] = torch.tensor([1.0, 1.0]) / 2**0.5
        matrix[size // 2 + k, 2 * k : 2 * k + 2] = torch.tensor([1.0, -1.0]) / 2**0.5
    return matrix


def test_haar_is_the_orthonormal_matrix_on_both_axes() -> None:
    image = noise(1, 1, 8, 12)
    low, high = haar(image)
    whole = haar_matrix(8) @ image[0, 0] @ haar_matrix(12).T
    torch.testing.assert_close(low[0, 0], whole[:4, :6])
    torch.testing.assert_close(high[0, 0, 0], whole[4:, :6])  # differences down: horizontal edges
    torch.testing.assert_close(high[0, 0, 1], whole[:4, 6:])
    torch.testing.assert_close(high[0, 0, 2], whole[4:, 6:])
    torch.testing.assert_close(low.square().sum() + high.square().sum(), image.square().sum())


def test_detail_is_blind_to_what_is_smooth() -> None:
    image = noise(2, 3, 16, 16)
    shifted = image + noise(2, 3, 2, 2, seed=1).repeat_interleave(8, 2).repeat_interleave(8, 3)
    assert detail_distance(image, shifted, levels=3) < 1e-5 < detail_distance(image, shifted, levels=4)
    assert [tuple(band.shape) for band in details(image, 2)] == [(2, 3, 3, 8, 8), (2, 3, 3, 4, 4)]
    torch.testing.assert_close(smooth(image, 2), torch.nn.functional.avg_pool2d(image, 4))
    with pytest.raises(ConfigError, match="odd side"):
        haar(torch.zeros(1, 1, 5, 4))


def test_kernel_alignment_is_the_cosine_of_the_kernels() -> None:
    one, other = noise(4, 3, 2, 2), noise(4, 5, 3, 3, seed=1)
    x, y = one.flatten(1), other.flatten(1)
    kx, ky = x @ x.T, y @ y.T
    wanted = torch.trace(kx.T @ ky) / torch.sqrt(torch.trace(kx.T @ kx) * torch.trace(ky.T @ ky))
    torch.testing.assert_close(kernel_alignment(one, other), wanted)
    assert float(kernel_alignment(one, 3 * one)) == pytest.approx(1, abs=1e-5)


def test_attention_is_the_mean_square_of_length_one() -> None:
    features = noise(2, 3, 4, 4)
    energy = features.square().mean(1).flatten(1)
    torch.testing.assert_close(attention_map(features, (4, 4)), energy / energy.norm(dim=1, keepdim=True))
    assert attention_distance(features, [5 * features, features]) < 1e-12
    assert attention_distance(features, [features.flip(3)]) > 1e-3


def test_the_soft_step_is_smooth_and_becomes_hard() -> None:
    x = torch.linspace(-2, 2, 401, requires_grad=True)
    y = soft_step(x, 1.0)
    (slope,) = torch.autograd.grad(y.sum(), x)
    torch.testing.assert_close(slope.detach(), (1 - x.detach().abs()).clamp_min(0), atol=2e-3, rtol=0)
    assert [float(soft_step(torch.tensor(v), 1.0)) for v in (-1.5, -0.5, 0.0, 0.5, 1.5)] == [0, 0.125, 0.5, 0.875, 1]
    hard = soft_step(torch.tensor([-0.01, 0.01]), 1e-3)
    assert hard.tolist() == [0, 1]


def test_the_proximal_step_makes_zeros() -> None:
    x = torch.tensor([-0.5, -0.02, 0.0, 0.01, 0.3])
    torch.testing.assert_close(soft_threshold(x, 0.05), torch.tensor([-0.45, 0, 0, 0, 0.25]))


def test_eight_bits_have_their_levels_and_let_gradients_through() -> None:
    x = torch.linspace(-1, 1, 1001, requires_grad=True)
    y = on_grid(x, 1.0, 8)
    assert len(set(y.detach().mul(127).round().int().tolist())) == 255
    torch.testing.assert_close(y.detach().mul(127), y.detach().mul(127).round(), atol=1e-4, rtol=0)
    assert float((y - x).detach().abs().max()) <= 0.5 / 127 + 1e-6
    (gradient,) = torch.autograd.grad(y.sum(), x)
    assert torch.equal(gradient, torch.ones_like(x))
