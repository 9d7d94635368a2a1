"""Closed channels: what is left computes the same, costs what the budget says, and can be exported."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from models.compress.gated import GatedGenerator, Slimmed, lowest_threshold, strongest
from models.compress.student import StudentConfig
from models.errors import ConfigError


@pytest.fixture
def image() -> Tensor:
    return torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1


def gated(scaled: bool = False, **settings: object) -> GatedGenerator:
    """With weights and statistics off the start."""
    torch.manual_seed(1)
    made = GatedGenerator(StudentConfig(width=16, blocks=3, **settings), scaled)  # type: ignore[arg-type]
    for name, parameter in made.named_parameters():
        nn.init.normal_(parameter, 1.0 if "strength" in name else 0.0, 0.1)
    for _ in range(5):
        made.train()(torch.randn(2, 3, 32, 32))
    return made.eval()


@pytest.mark.parametrize("norm", ["none", "batch", "instance"])
@pytest.mark.parametrize(("branched", "tone_norm", "skip"), [(True, True, False), (False, False, True)])
def test_what_is_left_equals_the_network_with_closed_gates(
    norm: str, branched: bool, tone_norm: bool, skip: bool, image: Tensor
) -> None:
    network = gated(True, norm=norm, branched=branched, tone_norm=tone_norm, skip=skip)
    everything = network(image)
    torch.testing.assert_close(Slimmed(network)(image), everything, atol=1e-5, rtol=1e-4)
    random = torch.Generator().manual_seed(2)
    network.keep([(torch.rand(16, generator=random) < 0.5).float() for _ in range(4)])
    assert all(0 < width < 16 for width in network.widths())
    closed = network(image)
    torch.testing.assert_close(Slimmed(network).eval()(image), closed, atol=1e-5, rtol=1e-4)
    assert (closed - everything).abs().max() > 1e-3


def test_gates_can_be_set_for_a_while(image: Tensor) -> None:
    network = gated()
    masks = [(torch.arange(16) < 8).float() for _ in network.gates()]
    before = network(image)
    with network.set_to(masks):
        half = network(image)
    assert torch.equal(network(image), before)
    network.keep(masks)
    torch.testing.assert_close(network(image), half)


def test_gmac_is_what_the_convolutions_multiply() -> None:
    network = gated()
    macs = 0

    def count(module: nn.Module, given: object, output: Tensor) -> None:
        nonlocal macs
        assert isinstance(module, nn.Conv2d)
        macs += module.weight[0].numel() * output[0].numel()

    plain = GatedGenerator(StudentConfig(width=16, blocks=3, branched=False))
    for module in plain.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(count)
    plain(torch.zeros(1, 3, 64, 64))
    assert network.gmac(network.widths(), 64) == pytest.approx(macs / 1e9)


def test_a_threshold_is_the_lowest_that_meets_the_budget() -> None:
    network = gated(True)
    strengths = [gate.values().detach() for gate in network.gates()[1:]]

    def gmac(threshold: float) -> float:
        return network.gmac([16, *(int(mask.sum()) for mask in strongest(strengths, threshold, step=4))])

    budget = 0.7 * gmac(0)
    found = lowest_threshold(2.0, lambda threshold: gmac(threshold) <= budget)
    assert gmac(found) <= budget < gmac(found - 1e-4)
    assert lowest_threshold(2.0, lambda _: True) == 0
    for mask in strongest(strengths, 100.0, step=4):
        assert int(mask.sum()) == 4  # no layer is closed


def test_only_compact_students_have_gates() -> None:
    with pytest.raises(ConfigError, match="compact"):
        GatedGenerator(StudentConfig(generator="mobile_resnet9"))
