"""GcGAN's checkable properties and its parameter counts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from models.data.batches import TwoImages
from models.errors import ConfigError
from models.registry import build_system
from models.system import Clock
from models.systems.gcgan import FLIP, GEOMETRIES, ROTATION, GcGan

CLOCK = Clock()
Tiny = Callable[..., tuple[GcGan, TwoImages]]


def count(network: nn.Module) -> float:
    return sum(p.numel() for p in network.parameters()) / 1e6


def test_parameters_are_those_of_the_official_networks() -> None:
    with torch.device("meta"):
        system = build_system("gcgan")
    assert count(system.get_submodule("generator")) == pytest.approx(11.378, rel=1e-3)
    assert count(system.get_submodule("critic")) == pytest.approx(2.765, rel=1e-3)
    assert count(system) == pytest.approx(11.378 + 2 * 2.765, rel=1e-3)


@pytest.mark.parametrize(("turn", "turn_back"), [ROTATION, FLIP])
def test_a_geometry_and_its_inverse_are_the_identity(
    turn: Callable[[Tensor], Tensor], turn_back: Callable[[Tensor], Tensor]
) -> None:
    image = torch.rand(2, 3, 6, 6)
    assert torch.equal(turn_back(turn(image)), image)
    assert torch.equal(turn(turn_back(image)), image)
    assert not torch.equal(turn(image), image)


def test_a_quarter_turn_brings_the_right_column_to_the_top() -> None:
    image = torch.rand(1, 1, 4, 4)
    assert torch.equal(ROTATION[0](image)[0, 0, 0], image[0, 0, :, -1])


class Scale(nn.Module):
    """A pointwise map: it commutes with every geometry."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(0.5))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.gain * image


class Ramp(Scale):
    """Brighter to the right: it commutes with no turn."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.gain * image * torch.linspace(0, 1, image.shape[3])


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_an_equivariant_generator_has_no_geometry_loss(geometry: str, tiny_system: Tiny) -> None:
    system, batch = tiny_system("gcgan", geometry=geometry)
    system.generator = Scale()
    losses = system.g_losses(batch, CLOCK)
    assert losses["geometry"] == losses["geometry_turned"] == 0


def test_targets_are_detached(tiny_system: Tiny) -> None:
    """In cross mode each term moves only the generator whose output is compared, never the one of its target."""
    system, batch = tiny_system("gcgan", cross=True)
    system.generator, system.second = Ramp(), Ramp()
    gains = (system.generator.gain, system.second.gain)
    losses = system.g_losses(batch, CLOCK)
    for key, moved, still in (("geometry", 0, 1), ("geometry_turned", 1, 0)):
        gradients = torch.autograd.grad(losses[key], gains, allow_unused=True, retain_graph=True)
        assert gradients[moved] is not None, key
        assert gradients[still] is None, key


def test_there_are_two_critics_and_one_generator_or_two_with_cross(tiny_system: Tiny) -> None:
    for cross, networks in ((False, 3), (True, 4)):
        system, _ = tiny_system("gcgan", cross=cross)
        assert len({net for phase in system.phases() for net in phase.updates}) == networks
        assert (system.generator is system.generator_turned) == (not cross)
        assert system.critic is not system.critic_turned
        assert system.shipped() == (system.generator,)


def test_a_mixture_draws_turns_and_flips_and_undoes_each_by_its_own_inverse(tiny_system: Tiny) -> None:
    system, batch = tiny_system("gcgan", geometry="mixture")
    seen: list[str] = []
    torch.manual_seed(0)
    for _ in range(20):
        turn, turn_back = system.draw()
        seen.append(turn.__name__)
        assert torch.equal(turn_back(turn(batch.a)), batch.a)
    assert 4 < seen.count("turned") < 16
    assert set(seen) == {"turned", "upside_down"}


def test_the_second_critic_judges_turned_images(tiny_system: Tiny) -> None:
    system, batch = tiny_system("gcgan")
    seen: list[torch.Tensor] = []
    system.g_losses(batch, CLOCK)
    system.critic_turned.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    system.phases()[2].losses(batch, CLOCK)
    assert torch.equal(seen[0], batch.b.rot90(1, (2, 3)))


def test_square_crops_are_enforced_for_turns(small: Callable[[str], dict[str, Any]]) -> None:
    oblong = TwoImages(torch.rand(1, 3, 32, 64), torch.rand(1, 3, 32, 64))
    with pytest.raises(ConfigError, match="square crops, not 32×64"):
        build_system("gcgan", small("gcgan")).prepare(oblong)
    build_system("gcgan", small("gcgan") | {"geometry": "flip"}).prepare(oblong)
    with pytest.raises(ConfigError, match="no geometry 'shear'; there are rotation, flip"):
        build_system("gcgan", small("gcgan") | {"geometry": "shear"})


def test_weights_are_20_and_5(tiny_system: Tiny) -> None:
    system, batch = tiny_system("gcgan")
    system.generator = Scale()
    losses = system.g_losses(batch, CLOCK)
    torch.testing.assert_close(losses["identity"], 5 * 0.5 * batch.b.abs().mean())
    system.generator = Ramp()
    fake, back = system.generator(batch.a), ROTATION[1](system.generator(ROTATION[0](batch.a)))
    torch.testing.assert_close(system.g_losses(batch, CLOCK)["geometry"], 20 * (fake - back).abs().mean())
