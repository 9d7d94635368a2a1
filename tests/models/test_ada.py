"""ADA's pipe against OpenCV, closed forms and the promises of its paper."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from models.augment.ada import CLASSES, SHARED, Ada, strengths
from models.augment.ada_geometry import (
    DELAY,
    SYM6,
    doubled,
    draw_blit,
    draw_geometry,
    halved,
    reflected,
    rotation,
    warped,
)  # fmt: skip
from models.augment.ada_signal import POWER, bands, draw_color, draw_cutout, draw_filter, draw_noise
from models.errors import ConfigError

ALL = ",".join(CLASSES)


def smooth(size: int = 48, count: int = 1) -> Tensor:
    """Smooth images (count, 3, size, size) in [-1, 1]."""
    random = np.random.default_rng(0)
    small = random.uniform(-1, 1, (count, 5, 5, 3)).astype(np.float32)
    large = np.stack([cv2.resize(each, (size, size), interpolation=cv2.INTER_CUBIC) for each in small])
    return torch.from_numpy(large.transpose(0, 3, 1, 2).copy())


def by_opencv(image: Tensor, linear: Tensor, offset: Tensor) -> Tensor:
    """(1, 3, H, W) warped as `warped` says, by OpenCV's bicubic interpolation."""
    height, width = image.shape[2:]
    centre = np.array([(width - 1) / 2, (height - 1) / 2])
    matrix = linear[0].double().numpy()
    shift = offset[0].double().numpy() + centre - matrix @ centre
    pixels = image[0].permute(1, 2, 0).numpy()
    how = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    result = cv2.warpAffine(
        pixels, np.column_stack([matrix, shift]), (width, height), flags=how, borderMode=cv2.BORDER_REFLECT_101
    )
    return torch.from_numpy(result.transpose(2, 0, 1)[None].copy())


def test_the_symlet_is_orthonormal_so_doubling_and_halving_change_nothing() -> None:
    taps = np.array(SYM6)
    assert taps.sum() == pytest.approx(math.sqrt(2), abs=1e-9)
    for shift in range(6):
        assert taps[2 * shift :] @ taps[: len(taps) - 2 * shift] == pytest.approx(float(shift == 0), abs=1e-9)
    image = torch.rand(2, 3, 20, 24, dtype=torch.float64)
    # Away from the borders, where half of the lattice is missing.
    torch.testing.assert_close(halved(doubled(image)), image, atol=1e-9, rtol=0)
    assert 4 < DELAY < 6


@pytest.mark.parametrize(
    ("angle", "scale", "stretch", "offset"),
    [(0.0, 1.0, 1.0, (0.0, 0.0)), (0.5, 1.0, 1.0, (0.0, 0.0)), (math.pi, 1.0, 1.0, (0.0, 0.0)),
     (0.0, 1.25, 1.0, (0.0, 0.0)), (0.0, 0.8, 1.0, (0.0, 0.0)), (0.0, 1.0, 1.2, (0.0, 0.0)),
     (0.0, 1.0, 1.0, (3.25, -1.5)), (-2.2, 0.9, 1.1, (-2.3, 4.1))],
)  # fmt: skip
def test_the_warp_is_opencvs_affine_map(
    angle: float, scale: float, stretch: float, offset: tuple[float, float]
) -> None:
    image = smooth()
    linear = rotation(torch.tensor([angle])) @ torch.diag(torch.tensor([scale * stretch, scale / stretch]))
    shift = torch.tensor([offset])
    ours, theirs = warped(image, linear, shift), by_opencv(image, linear, shift)
    error = (ours - theirs)[:, :, 4:-4, 4:-4].abs()
    assert float(error.mean()) < 0.005  # below a level of 255; OpenCV rounds positions to a 32nd of a pixel
    assert float(error.max()) < 0.04


def test_shrinking_does_not_alias() -> None:
    """A grid of one pixel becomes gray when it is made 0.7 times as large; plain interpolation leaves beats."""
    y, x = torch.meshgrid(torch.arange(64), torch.arange(64), indexing="ij")
    grid = ((x + y) % 2 * 2.0 - 1).expand(1, 3, 64, 64)
    linear = torch.eye(2)[None] / 0.7
    ours = warped(grid.contiguous(), linear, torch.zeros(1, 2))[:, :, 16:48, 16:48]
    plain = by_opencv(grid, linear, torch.zeros(1, 2))[:, :, 16:48, 16:48]
    assert float(ours.square().mean()) < 0.1 * float(plain.square().mean())


def test_reflection_is_numpys() -> None:
    image = np.arange(7.0)
    positions = torch.arange(-20, 27)
    expected = np.pad(image, 20, mode="reflect")
    assert np.array_equal(image[reflected(positions, 6).numpy()], expected)


def test_blits_are_exact_and_each_as_frequent_as_said() -> None:
    """Mirrored p/2, each quarter turn p/4; the sum of all pixels is kept where nothing is shifted in."""
    torch.manual_seed(0)
    marked = torch.arange(9.0).view(1, 1, 3, 3).expand(8000, 1, 3, 3)
    p = 0.8
    results = draw_blit(marked, p)(marked)  # shifts by an eighth of 3 px round to none
    group = {}
    for turns in range(4):
        for mirror in (False, True):
            image = marked[:1].flip(3) if mirror else marked[:1]
            key = tuple(torch.rot90(image, turns, (2, 3)).flatten().tolist())
            group[key] = (p / 2 if mirror else 1 - p / 2) * (1 - 3 * p / 4 if turns == 0 else p / 4)
    counts: dict[tuple[float, ...], int] = {}
    for result in results.flatten(1).tolist():
        counts[tuple(result)] = counts.get(tuple(result), 0) + 1
    assert counts.keys() <= group.keys()
    for key, share in group.items():
        assert counts.get(key, 0) / 8000 == pytest.approx(share, abs=0.015)


def test_turning_leaks_nothing_below_p_1_and_all_at_p_1() -> None:
    """What a generator must match is the augmented distribution; it determines the real one if the augmentation, as an
    operator on distributions over the group, can be inverted: its eigenvalues are 1 and 1 - p (three times)."""
    torch.manual_seed(0)
    marked = torch.tensor([[1.0, 2], [3, 4]]).expand(20000, 1, 2, 2)
    turns = [tuple(torch.rot90(marked[:1], k, (2, 3)).flatten().tolist()) for k in range(4)]
    for p in (0.5, 0.8, 1.0):
        results = [tuple(x) for x in draw_blit(marked, p)(marked).flatten(1).tolist()]
        shares = np.array([results.count(turn) for turn in turns], float)  # mirrored ones are other pictures
        eigenvalues = np.abs(np.fft.fft(shares / shares.sum()))  # of the circulant matrix
        assert eigenvalues == pytest.approx([1, 1 - p, 1 - p, 1 - p], abs=0.03)


def test_integer_shifts_stay_within_an_eighth() -> None:
    torch.manual_seed(1)
    image = torch.zeros(600, 1, 32, 32)
    image[:, :, 16, 16] = 1
    places = draw_blit(image, 1.0)(image).flatten(1).argmax(1)
    rows, columns = places // 32, places % 32
    # Turned and mirrored pixels of the centre are at 15 or 16; shifts add up to 4.
    assert (int(rows.min()), int(rows.max())) == (11, 20)
    assert (int(columns.min()), int(columns.max())) == (11, 20)


def test_geometry_at_p_0_2_moves_the_share_that_the_paper_says() -> None:
    """Four independent draws of p, two turns that together have p: (1 - p)⁴ of the images stay."""
    torch.manual_seed(0)
    images = smooth(16).expand(3000, 3, 16, 16).contiguous()
    moved = (draw_geometry(images, 0.2)(images) != images).flatten(1).any(1).float().mean()
    assert float(moved) == pytest.approx(1 - 0.8**4, abs=0.03)


def test_colour_keeps_grays_gray_and_is_the_products_of_its_parts() -> None:
    torch.manual_seed(0)
    gray = torch.linspace(-1, 1, 64).view(1, 1, 8, 8).expand(200, 3, 8, 8).contiguous()
    op = draw_color(gray, 1.0)
    result = op(gray)
    torch.testing.assert_close(result[:, 0], result[:, 1], atol=2e-5, rtol=1e-4)
    torch.testing.assert_close(result[:, 1], result[:, 2], atol=2e-5, rtol=1e-4)
    torch.testing.assert_close(result[:, :1], op(gray[:, :1]), atol=2e-5, rtol=1e-4)  # one channel: the same map
    span = result[:, 0].flatten(1)[:, -1] - result[:, 0].flatten(1)[:, 0]  # 2 · contrast, its sign the inversion
    assert (span < 0).float().mean() == pytest.approx(0.5, abs=0.1)
    assert float((span.abs() / 2).log2().std()) == pytest.approx(0.5, rel=0.2)


def test_hue_turns_colours_about_the_grays() -> None:
    """Without saturation and contrast every colour keeps its distance to the gray axis and its luminance."""
    colour = torch.tensor([0.5, -0.2, 0.1]).view(1, 3, 1, 1).expand(4000, 3, 1, 1)
    torch.manual_seed(0)
    result = draw_color(colour, 0.3)(colour)[:, :, 0, 0]
    red, mean = colour[0, :, 0, 0], float(colour[0].mean())
    distance = (result - result.mean(1, keepdim=True)).norm(dim=1)
    still = torch.isclose(result.mean(1), torch.tensor(mean), atol=1e-6)  # neither brighter nor of other contrast
    only_turned = still & torch.isclose(distance, (red - mean).norm(), atol=1e-5) & (result - red).norm(dim=1).gt(1e-3)
    assert only_turned.float().mean() == pytest.approx(0.3 * 0.7**3 * 0.85, abs=0.03)


def test_the_bands_sum_to_the_identity_and_each_passes_its_own_frequencies() -> None:
    kernels = bands(torch.device("cpu"))
    identity = torch.zeros(43)
    identity[21] = 1
    torch.testing.assert_close(kernels.sum(0), identity)
    response = torch.fft.rfft(kernels.double(), 512).abs().numpy()  # 257 frequencies up to the highest
    centres = [0, 48, 96, 200]  # in [0, 1/8], [1/8, 1/4], [1/4, 1/2], [1/2, 1] of them
    assert [int(response[:, centre].argmax()) for centre in centres] == [0, 1, 2, 3]
    assert sum(POWER) == pytest.approx(1)


def test_the_filter_changes_the_bands_and_leaves_what_did_not_fire() -> None:
    torch.manual_seed(0)
    images = torch.rand(40, 3, 48, 48) * 2 - 1
    torch.testing.assert_close(draw_filter(images, 0.0)(images), images, atol=1e-5, rtol=0)
    changed = draw_filter(images, 1.0)(images)
    # One gain for all three channels: the same filter on each.
    torch.manual_seed(7)
    first = draw_filter(images, 1.0)(images)
    torch.manual_seed(7)
    torch.testing.assert_close(first[:, :1], draw_filter(images, 1.0)(images[:, :1]), atol=1e-5, rtol=1e-4)
    assert float((changed - images).abs().mean()) > 0.01


def test_noise_and_the_hole_are_as_strong_as_said() -> None:
    torch.manual_seed(0)
    zeros, ones = torch.zeros(500, 1, 32, 32), torch.ones(500, 1, 32, 32)
    stds = draw_noise(zeros, 1.0)(zeros).flatten(1).std(1)
    assert float(stds.square().mean().sqrt()) == pytest.approx(0.1, rel=0.1)
    holes = (draw_cutout(ones, 1.0)(ones) == 0).flatten(1).sum(1)
    assert int(holes.max()) <= 16 * 16
    assert int(holes.min()) >= 7 * 7


@pytest.mark.parametrize("name", CLASSES)
def test_gradients_pass_exactly(name: str) -> None:
    image = torch.rand(1, 3, 14, 14, requires_grad=True)
    weight = torch.rand(1, 3, 14, 14)

    def value(x: Tensor) -> Tensor:
        torch.manual_seed(4)
        return (Ada({name: 1.0}, 1.0)(x) * weight).sum()

    (gradient,) = torch.autograd.grad(value(image), image)
    step = torch.randn_like(image)
    step = step / step.norm()
    # Every class is affine in the image: the directional difference is exact up to rounding.
    difference = value(image.detach() + step) - value(image.detach())
    assert float((gradient * step).sum()) == pytest.approx(float(difference), abs=2e-3)
    assert float(gradient.abs().sum()) > 0


def test_at_p_0_nothing_is_drawn_and_the_image_is_the_same_object() -> None:
    image = torch.rand(2, 3, 16, 16)
    before = torch.get_rng_state()
    ada = Ada(strengths(ALL), 0.0)
    assert ada(image) is image
    assert ada.pair(image, image)[1] is image
    assert torch.equal(before, torch.get_rng_state())


def test_a_class_of_strength_0_draws_nothing_either() -> None:
    image = torch.rand(2, 3, 16, 16)
    assert Ada(strengths("blit:0,color:0"), 0.7)(image) is image


@pytest.mark.parametrize("name", CLASSES)
def test_a_condition_shares_the_geometry_and_nothing_else(name: str) -> None:
    torch.manual_seed(0)
    image = smooth(32, 4)
    condition, shown = Ada({name: 1.0}, 1.0).pair(image, image)
    if name in SHARED:
        torch.testing.assert_close(condition, shown)
    else:
        assert torch.equal(condition, image)
    assert not torch.equal(shown, image)


@pytest.mark.parametrize("shape", [(2, 1, 28, 28), (2, 3, 18, 26), (2, 3, 96, 64)])
def test_gray_small_and_oblong_images_keep_their_shape(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    result = Ada(strengths(ALL), 1.0)(torch.rand(shape) * 2 - 1)
    assert result.shape == shape
    assert torch.isfinite(result).all()


@pytest.mark.parametrize("text", ["colour", "blit,color:2", "blit:x"])
def test_an_unknown_class_is_refused_with_the_list(text: str) -> None:
    with pytest.raises(ConfigError, match="there are blit, geometry, color, filter, noise, cutout, each with a"):
        strengths(text)


def test_strengths_are_read() -> None:
    assert strengths(" blit, color:0.5 ") == {"blit": 1.0, "color": 0.5}
    assert strengths("") == {}
