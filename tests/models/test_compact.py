"""The compact generator: its skip, its start, its size."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.errors import ConfigError
from models.networks.compact import BilinearShuffle, CompactGenerator


@pytest.fixture
def image() -> Tensor:
    torch.manual_seed(0)
    return torch.rand(2, 3, 24, 40) * 2 - 1


def generator(**settings: object) -> CompactGenerator:
    torch.manual_seed(1)
    made = CompactGenerator(width=8, blocks=2, **settings)  # type: ignore[arg-type]
    for parameter in made.parameters():  # off the neutral start
        nn.init.normal_(parameter, std=0.1)
    return made


def test_the_convolution_enlarges_as_bilinear_interpolation_does(image: Tensor) -> None:
    enlarged = F.pixel_shuffle(BilinearShuffle(3)(image), 4)
    torch.testing.assert_close(enlarged, F.interpolate(image, scale_factor=4, mode="bilinear"), atol=1e-6, rtol=0)


@pytest.mark.parametrize("clip", [False, True])
@pytest.mark.parametrize("pool", [1, 4])
def test_the_skip_adds_the_scaled_input_to_a_bounded_residual(image: Tensor, pool: int, clip: bool) -> None:
    made = generator(skip=True, skip_pool=pool, skip_clip=clip)
    nn.init.uniform_(made.head[0].bias, -4, 4)
    base = F.interpolate(F.avg_pool2d(image, pool), scale_factor=pool, mode="bilinear")
    free = made.head(made.body(made.stem(image)))
    residual = torch.clip(free, -2, 2) if clip else 2 * torch.tanh(free / 2)
    assert not torch.equal(residual, free)
    torch.testing.assert_close(made(image), base * made.gain + made.offset + residual, atol=1e-6, rtol=0)


def test_without_a_skip_the_output_ends_in_tanh(image: Tensor) -> None:
    made = generator()
    torch.testing.assert_close(made(image), torch.tanh(made.head(made.body(made.stem(image)))))


@pytest.mark.parametrize("pool", [1, 4])
def test_it_can_start_as_the_map_of_one_domain_s_colours_to_the_other_s(image: Tensor, pool: int) -> None:
    made = CompactGenerator(width=8, blocks=2, skip=True, skip_pool=pool)
    nn.init.zeros_(made.head[0].weight)
    nn.init.zeros_(made.head[0].bias)
    target = image * torch.tensor([0.5, 1.5, 1.0]).view(1, 3, 1, 1) + 0.2
    made.match_domains(image, target)
    mean = made(image).mean((0, 2, 3))
    torch.testing.assert_close(mean, target.mean((0, 2, 3)), atol=0.02, rtol=0)
    if pool == 1:
        torch.testing.assert_close(made(image), target, atol=1e-5, rtol=0)


def test_it_starts_without_a_checkerboard(image: Tensor) -> None:
    torch.manual_seed(0)
    picture = CompactGenerator(width=8, blocks=2)(image)
    nn_blocks = picture.unflatten(3, (-1, 4)).unflatten(2, (-1, 4))
    assert nn_blocks.std((3, 5)).max() < 1e-6 < picture.std()


def test_its_size_follows_from_width_and_depth() -> None:
    width, deep = 16, 24
    made = CompactGenerator(width=width, blocks=4, deep_width=deep, deep_blocks=2)
    conv = [(3, width, 16), *[(width, width, 9)] * 8, (width, deep, 9), *[(deep, deep, 9)] * 4,
            (deep, 4 * width, 9), (width, 48, 9)]  # fmt: skip
    assert sum(p.numel() for p in made.parameters()) == sum(i * o * k + o for i, o, k in conv)


def test_an_overlapping_stem_and_a_wider_head_keep_the_size(image: Tensor) -> None:
    made = generator(stem_kernel=8, head_kernel=5, deep_blocks=1)
    assert made(image).shape == image.shape
    assert made.stem[0].kernel_size == (8, 8)
    assert made.head[0].kernel_size == (5, 5)


@pytest.mark.parametrize("kernels", [{"stem_kernel": 5}, {"stem_kernel": 2}, {"head_kernel": 4}])
def test_kernels_that_would_shift_the_picture_are_refused(kernels: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match="the stem's is even"):
        generator(**kernels)


def test_a_skip_of_another_scale_is_refused() -> None:
    with pytest.raises(ConfigError, match="skip_pool = 2"):
        CompactGenerator(skip=True, skip_pool=2)
