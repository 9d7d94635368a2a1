"""INIT's checkable properties: two granularities, styles from coarse to fine only, MUNIT where there is no box."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from models.data.batches import TwoBoxed
from models.errors import ConfigError
from models.registry import build_system
from models.system import Clock
from models.systems.init import Init, covered
from models.systems.munit import Munit

CLOCK = Clock()
Tiny = Callable[..., tuple[Init, TwoBoxed]]


def without_boxes(batch: TwoBoxed) -> TwoBoxed:
    return TwoBoxed(batch.a, batch.b, torch.zeros_like(batch.boxes_a), torch.zeros_like(batch.boxes_b))


def test_parameters_are_munits_at_both_levels() -> None:
    with torch.device("meta"):
        system, plain = build_system("init"), build_system("munit")

    def count(network: nn.Module) -> float:
        return sum(p.numel() for p in network.parameters()) / 1e6

    for name in ("coder_a", "coder_b", "objects_a", "objects_b"):
        assert count(system.get_submodule(name)) == pytest.approx(15.03, rel=1e-3)
    assert count(system.deployables()["ab"].module) == pytest.approx(12.26, rel=1e-3)
    assert count(system) == pytest.approx(2 * count(plain))


def test_an_object_has_a_style_of_its_own_place(tiny_system: Tiny) -> None:
    system, batch = tiny_system("init")
    objects = system.cut(batch.a, batch.boxes_a)
    assert objects.crops.shape[1:] == (3, 16, 16)
    assert objects.image.tolist() == sorted(objects.image.tolist())
    own, whole = system.objects_a.style(objects.crops), system.coder_a.style(batch.a)
    assert own.shape == (len(objects.crops), 4)
    assert (own - whole[objects.image]).abs().min() > 1e-6
    # Pixels far from the box do not reach the style of what is in it.
    image = batch.a.clone().requires_grad_()
    first = system.cut(image, batch.boxes_a)
    (gradient,) = torch.autograd.grad(system.objects_a.style(first.crops[:1]).sum(), image)
    inside = covered(batch.boxes_a[:1, :1], batch.a[:1]) > 0
    around = nn.functional.max_pool2d(inside.float(), 3, 1, 1) > 0
    assert gradient[:1].abs().sum() > 0
    assert not (gradient[:1] * ~around).any()


def test_no_style_of_an_object_reaches_a_whole_image(tiny_system: Tiny) -> None:
    system, batch = tiny_system("init")
    styles: dict[str, list[Tensor]] = {"whole": [], "object": []}
    for kind, coders in (("whole", (system.coder_a, system.coder_b)), ("object", (system.objects_a, system.objects_b))):
        for coder in coders:
            coder.decoder.register_forward_pre_hook(lambda _, given, kind=kind: styles[kind].append(given[1]))
    system.g_losses(batch, CLOCK)
    encoders = [*system.objects_a.style.parameters(), *system.objects_b.style.parameters()]
    found = dict.fromkeys(styles, False)
    for kind, given in styles.items():
        for style in given:
            if style.requires_grad:
                gradients = torch.autograd.grad(style.sum(), encoders, retain_graph=True, allow_unused=True)
                found[kind] |= any(gradient is not None for gradient in gradients)
    assert found == {"whole": False, "object": True}
    # Coarse styles do reach objects: image's and background's, on either way.
    assert sum(not style.requires_grad for style in styles["object"]) == 2 + 4  # two drawn ones


def test_without_boxes_the_losses_are_exactly_munits(tiny_system: Tiny) -> None:
    system, batch = tiny_system("init")
    plain, _ = tiny_system("munit")
    assert isinstance(plain, Munit)
    plain.load_state_dict({name: tensor for name, tensor in system.state_dict().items() if "object" not in name})
    for losses in ("d_losses", "g_losses"):
        torch.manual_seed(5)
        wanted = getattr(plain, losses)(batch, CLOCK)
        torch.manual_seed(5)
        found = getattr(system, losses)(without_boxes(batch), CLOCK)
        for name, loss in wanted.items():
            assert torch.equal(found.pop(name), loss), name
        assert found
        assert not torch.stack(list(found.values())).any()


def test_objects_of_one_domain_alone_meet_no_untrained_critic(tiny_system: Tiny) -> None:
    system, batch = tiny_system("init")
    half = TwoBoxed(batch.a, batch.b, batch.boxes_a, torch.zeros_like(batch.boxes_b))
    losses = system.g_losses(half, CLOCK)
    assert not losses["object_gan_ab"]
    assert losses["object_image_ab"] > 0
    assert not losses["object_image_ba"]
    assert not system.d_losses(half, CLOCK)["object_gan_b"]


def test_the_background_style_does_not_see_the_objects(tiny_system: Tiny) -> None:
    system, batch = tiny_system("init")
    changed = torch.where(covered(batch.boxes_a, batch.a) == 1, torch.rand_like(batch.a), batch.a)
    before = system.coarse_styles(system.coder_a, batch.a, batch.boxes_a)
    after = system.coarse_styles(system.coder_a, changed, batch.boxes_a)
    assert torch.equal(before["coarse_background"], after["coarse_background"])
    assert not torch.equal(before["coarse_image"], after["coarse_image"])


def test_the_whole_image_does_not_learn_from_objects(tiny_system: Tiny) -> None:
    system, batch = tiny_system("init")
    losses = {name: loss for name, loss in system.g_losses(batch, CLOCK).items() if name.startswith(("obj", "coarse"))}
    whole = [*system.coder_a.parameters(), *system.coder_b.parameters()]
    gradients = torch.autograd.grad(torch.stack(list(losses.values())).sum(), whole, allow_unused=True)
    assert all(gradient is None for gradient in gradients)


def test_what_ships_takes_no_boxes(tiny_system: Tiny) -> None:
    system, batch = tiny_system("init")
    parts = system.deployables()
    assert [control.kind for control in parts["ab"].controls] == ["style"]
    style = torch.randn(2, 4)
    expected = system.coder_b.decoder(system.coder_a.content(batch.a), style)
    assert torch.equal(parts["ab"].module(batch.a, style), expected)


def test_an_object_size_that_the_coders_cannot_take_is_told() -> None:
    with pytest.raises(ConfigError, match="object_size = 30 must be a multiple of 4"):
        build_system("init", {"object_size": 30})
