"""The checkerboard penalty counts grids, and only grids."""

import torch

from models.losses.checkerboard import checkerboard


def test_a_grid_is_counted_whole_whatever_lies_under_it():
    grid = torch.tensor([0.1, -0.1]).repeat(16, 16).repeat(1, 1, 2, 1)  # columns of +0.1 and −0.1, mean 0
    assert grid.shape == (1, 1, 32, 32)
    assert torch.isclose(checkerboard(grid), torch.tensor(0.1), atol=1e-6)
    assert torch.isclose(checkerboard(grid + 0.7), torch.tensor(0.1), atol=1e-6)


def test_flat_pictures_cost_nothing_and_noise_little():
    assert checkerboard(torch.full((1, 3, 64, 64), 0.3)) < 1e-6
    noise = torch.randn(1, 3, 128, 128, generator=torch.Generator().manual_seed(0)) * 0.1
    # The mean of WINDOW² = 25 independent values has a fifth of their deviation.
    assert checkerboard(noise) < 0.1 / 5


def test_the_penalty_reaches_the_image():
    image = torch.rand(1, 3, 32, 32, requires_grad=True)
    checkerboard(image).backward()
    assert image.grad is not None
    assert image.grad.abs().sum() > 0
