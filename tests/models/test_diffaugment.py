"""DiffAugment's published properties."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from models.augment.augment import no_augment
from models.augment.diffaugment import POLICIES, DiffAugment, draw_color, draw_cutout, draw_translation
from models.errors import ConfigError
from models.system import Batch, System
from models.trainer import Trainer

ALL = "color,translation,cutout"


@pytest.mark.parametrize("policy", [*POLICIES, ALL])
def test_gradients_are_exact_and_not_zero(policy: str) -> None:
    image = torch.rand(1, 2, 8, 8, dtype=torch.float64, requires_grad=True)

    def augmented(x: Tensor) -> Tensor:
        torch.manual_seed(0)
        return DiffAugment(policy)(x)

    assert torch.autograd.gradcheck(augmented, image)
    (gradient,) = torch.autograd.grad(augmented(image).sum(), image)
    assert gradient.abs().sum() > 0


def test_real_and_fake_get_different_draws() -> None:
    image = torch.rand(1, 3, 32, 32)
    augment = DiffAugment(ALL)
    assert not torch.equal(augment(image), augment(image))


def test_every_sample_has_its_own_draw() -> None:
    image = torch.rand(1, 3, 32, 32).expand(8, 3, 32, 32)
    assert len({float(x.sum()) for x in DiffAugment(ALL)(image)}) == 8


def test_colour_is_brightness_then_saturation_then_contrast_in_range() -> None:
    image = torch.rand(64, 3, 8, 8) * 2 - 1
    torch.manual_seed(0)
    result = draw_color(image)(image)
    torch.manual_seed(0)
    brightness, saturation, contrast = (
        torch.rand(64, 1, 1, 1) * (high - low) + low for low, high in ((-0.5, 0.5), (0, 2), (0.5, 1.5))
    )
    x = image + brightness
    x = (x - x.mean(1, keepdim=True)) * saturation + x.mean(1, keepdim=True)
    x = (x - x.mean((1, 2, 3), keepdim=True)) * contrast + x.mean((1, 2, 3), keepdim=True)
    torch.testing.assert_close(result, x)


def test_translation_shifts_by_up_to_an_eighth_and_fills_with_zeros() -> None:
    torch.manual_seed(0)
    image = torch.zeros(400, 1, 32, 48)
    image[:, :, 16, 24] = 1
    shifted = draw_translation(image)(image)
    places = shifted.flatten(1).argmax(1)
    rows, columns = places // 48 - 16, places % 48 - 24
    assert (int(rows.min()), int(rows.max())) == (-4, 4)
    assert (int(columns.min()), int(columns.max())) == (-6, 6)
    ones = torch.ones(400, 1, 32, 48)
    assert set(draw_translation(ones)(ones).unique().tolist()) == {0.0, 1.0}


def test_cutout_zeroes_a_square_of_half_the_side_that_may_overlap_the_border() -> None:
    torch.manual_seed(0)
    ones = torch.ones(500, 3, 32, 32)
    holes = (draw_cutout(ones)(ones)[:, 0] == 0).flatten(1).sum(1)
    assert int(holes.max()) == 16 * 16
    assert int(holes.min()) >= 8 * 8
    assert (holes < 256).float().mean() > 0.5


def test_a_pair_shares_geometry_and_only_the_image_is_coloured() -> None:
    torch.manual_seed(0)
    image = torch.rand(4, 3, 32, 32) + 0.1
    condition, augmented = DiffAugment("translation,cutout").pair(image, image)
    assert torch.equal(condition, augmented)
    condition, augmented = DiffAugment("color").pair(image, image)
    assert torch.equal(condition, image)
    assert not torch.equal(augmented, image)


def test_policies_are_applied_in_the_order_listed() -> None:
    ones = torch.ones(1, 1, 32, 32)
    torch.manual_seed(0)
    last_cut = DiffAugment("color,cutout")(ones)
    assert (last_cut == 0).any()  # colour first: the hole stays zero
    torch.manual_seed(0)
    assert not (DiffAugment("cutout,color")(ones) == 0).any()


def test_an_unknown_policy_is_refused_with_the_list() -> None:
    with pytest.raises(ConfigError, match="no policy 'colour'; it has color, translation, cutout"):
        DiffAugment("colour")


class Cutting:
    """Cuts all to zero: what it touches is unmistakable."""

    def __call__(self, image: Tensor) -> Tensor:
        return image * 0

    def pair(self, condition: Tensor, image: Tensor) -> tuple[Tensor, Tensor]:
        return condition * 0, image * 0


def test_augmentation_stands_in_front_of_critics_only(tiny_system: Callable[..., tuple[System, Batch]]) -> None:
    """Cycle, identity and L1 terms, and the pictures of the sample grid, never see it."""
    for name, untouched in (("cyclegan", ("cycle_a", "identity_b")), ("pix2pix", ("l1",)), ("cut", ("nce",))):
        values = []
        for augment in (no_augment, Cutting()):
            system, batch = tiny_system(name)
            system.augment = augment
            torch.manual_seed(1)
            phase = next(phase for phase in system.phases() if phase.name == "G")
            losses = phase.losses(batch, None)  # type: ignore[arg-type]
            rows = system.eval().samples(batch)
            values.append([*(losses[key].detach() for key in untouched), *rows.values()])
            adversarial = {key: float(loss.detach()) for key, loss in losses.items() if key.startswith("gan")}
            assert adversarial
        for plain, cut in zip(*values, strict=True):
            assert torch.equal(plain, cut), name


def test_the_trainer_augments_as_the_recipe_says(tiny_trainer: Callable[..., Trainer]) -> None:
    augment = tiny_trainer("cut").system.augment
    assert isinstance(augment, DiffAugment)
    assert augment.names == ("color", "translation", "cutout")
    assert tiny_trainer("cut", augment="").system.augment is no_augment
