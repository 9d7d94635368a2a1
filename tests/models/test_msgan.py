"""MSGAN's checkable properties: the mode-seeking loss, and what it does to a paired GAN."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from models.data.batches import Pair
from models.losses.mode_seeking import mode_seeking
from models.registry import build_system
from models.system import Clock
from models.systems.msgan import MsGan

CLOCK = Clock()
Tiny = Callable[..., tuple[MsGan, Pair]]


def test_the_loss_falls_as_pictures_part_and_is_bounded() -> None:
    z, other = torch.zeros(2, 3), torch.ones(2, 3)
    picture = torch.zeros(2, 3, 4, 4)
    losses = [float(mode_seeking(picture, picture + step, z, other)) for step in (0.0, 0.1, 1.0, 2.0)]
    assert losses == sorted(losses, reverse=True)
    assert losses[0] == pytest.approx(1e5)
    assert losses[2] == pytest.approx(1 / (1 + 1e-5))


def test_it_is_a_ratio_of_means_and_not_a_mean_of_ratios() -> None:
    first, second = torch.zeros(2, 1), torch.tensor([[1.0], [3.0]])
    z, other = torch.zeros(2, 1), torch.tensor([[1.0], [1.0]])
    assert float(mode_seeking(first, second, z, other)) == pytest.approx(1 / (2 + 1e-5))
    other = torch.tensor([[1.0], [3.0]])
    assert float(mode_seeking(first, second, z, other)) == pytest.approx(1 / (1 + 1e-5))


def test_gradients_reach_both_pictures() -> None:
    first, second = torch.rand(2, 3).requires_grad_(), torch.rand(2, 3).requires_grad_()
    mode_seeking(first, second, torch.zeros(2, 1), torch.ones(2, 1)).backward()
    assert first.grad is not None
    assert second.grad is not None
    assert torch.equal(first.grad, -second.grad)
    assert first.grad.abs().min() > 0


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_it_is_in_full_precision_where_the_rest_is_not(kind: torch.dtype) -> None:
    same = torch.rand(2, 3, 4, 4).to(kind)
    with torch.autocast("cpu", torch.bfloat16):
        loss = mode_seeking(same, same.clone(), torch.zeros(2, 1, dtype=kind), torch.ones(2, 1, dtype=kind))
    assert loss.dtype == torch.float32
    assert float(loss) == pytest.approx(1e5)  # beyond float16's largest number


def test_a_generator_that_ignores_z_pays_the_most(tiny_system: Tiny) -> None:
    system, batch = tiny_system("msgan")

    class Deaf(nn.Module):
        def forward(self, source: Tensor, _: Tensor) -> Tensor:
            return source.clone()

    system.generator = Deaf()  # type: ignore[assignment]
    assert float(system.g_losses(batch, CLOCK)["mode_seeking"]) == pytest.approx(1e5)


def test_without_it_l1_takes_the_effect_of_z_away_and_with_it_z_keeps_one(tiny_system: Tiny) -> None:
    def effect(weight: float) -> float:
        torch.manual_seed(1)
        system, batch = tiny_system("msgan", lambda_mode_seeking=weight, lambda_gan=0.0)
        for parameter in system.generator.parameters():
            parameter.data.mul_(20)  # the published start is so small that no z is heard yet
        adam = torch.optim.Adam(system.generator.parameters(), 5e-3)
        for _ in range(12):
            adam.zero_grad()
            torch.stack(list(system.g_losses(batch, CLOCK).values())).sum().backward()
            adam.step()
        latents = torch.randn(8, 4)
        with torch.no_grad():
            pictures = torch.stack([system.generator(batch.source, z.expand(2, -1)) for z in latents])
        return float(pictures.std(dim=0).mean())

    assert effect(10.0) > 2 * effect(0.0)


def test_the_critic_is_conditional_and_sees_two_fakes_and_the_real_twice(
    tiny_system: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    system, batch = tiny_system("msgan")
    other = Pair(batch.source.flip(0), batch.target)
    assert not torch.equal(system.judge(batch, batch.target)[0], system.judge(other, batch.target)[0])
    seen: list[Tensor] = []
    judge = system.judge
    monkeypatch.setattr(system, "judge", lambda batch, image: seen.append(image) or judge(batch, image))
    system.d_losses(batch, CLOCK)
    assert [torch.equal(image, batch.target) for image in seen] == [True, False, True, False]
    assert not torch.equal(seen[1], seen[3])


def test_the_host_is_the_published_one() -> None:
    with torch.device("meta"):
        system = build_system("msgan")
    assert isinstance(system, MsGan)
    assert len(system.critic.critics) == 2
    first = next(m for m in system.generator.modules() if isinstance(m, nn.Conv2d))
    innermost = [m for m in system.generator.modules() if isinstance(m, nn.Conv2d)][-1]
    assert first.in_channels == 3 + 8
    assert innermost.in_channels == 512 + 8
