"""A convolution in branches ships as one, and the published student has its published size."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from models.blocks.branched_conv import BranchedConv, fold_branches
from models.networks.compact import CompactGenerator
from models.networks.mobile_resnet import mobile_resnet_generator


@pytest.mark.parametrize("batch_norm", [True, False])
@pytest.mark.parametrize(("outer", "stride"), [(6, 1), (10, 1), (6, 2)])
def test_folded_equals_the_branches(batch_norm: bool, outer: int, stride: int) -> None:
    torch.manual_seed(0)
    conv = BranchedConv(6, outer, stride, batch_norm)
    image = torch.randn(4, 6, 12, 16)
    for parameter in conv.parameters():  # off the start, where some are equal
        nn.init.normal_(parameter)
    for _ in range(20):
        conv.train()(2 * image + 1)  # statistics that are not 0 and 1
    conv.eval()
    torch.testing.assert_close(conv(image), conv.branches(image), atol=1e-4, rtol=1e-4)


def test_without_batch_norm_the_fold_has_the_branches_gradients() -> None:
    torch.manual_seed(0)
    conv, image = BranchedConv(5, 5), torch.randn(2, 5, 9, 9)
    gradients = []
    for output in (conv(image), conv.branches(image)):
        gradients.append(torch.autograd.grad(output.square().sum(), list(conv.parameters())))
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, atol=1e-3, rtol=1e-4)


def test_branches_start_with_the_variance_of_one_convolution() -> None:
    torch.manual_seed(0)
    image = torch.randn(4, 64, 32, 32)
    for batch_norm in (True, False):
        conv = BranchedConv(64, 64, batch_norm=batch_norm).train()
        assert 0.6 < conv(image).var() < 2.5  # Kaiming's own is 1.9


@pytest.mark.parametrize("norm", ["none", "batch", "instance"])
def test_a_folded_generator_is_the_same_without_branches(norm: str) -> None:
    torch.manual_seed(0)
    generator = CompactGenerator(width=8, blocks=2, norm_kind=norm, branched=True, deep_blocks=1, tone_norm=True)
    image = torch.rand(2, 3, 32, 32) * 2 - 1
    for _ in range(5):
        generator.train()(image)
    generator.eval()
    folded = fold_branches(generator)
    assert not any(isinstance(module, BranchedConv) for module in folded.modules())
    assert any(isinstance(module, BranchedConv) for module in generator.modules())
    torch.testing.assert_close(folded(image), generator(image), atol=1e-5, rtol=1e-4)


def test_a_compact_generator_without_branches_has_the_weights_it_always_had() -> None:
    names = set(CompactGenerator(width=8, blocks=1).state_dict())
    places = ("stem.0", "body.0.body.0", "body.0.body.3", "head.0")
    assert names == {f"{place}.{kind}" for place in places for kind in ("weight", "bias")}


# OMGD's and GAN Compression's student without affine norms: parameters in millions, exact GMAC at 256².
@pytest.mark.parametrize(
    ("width", "parameters", "gmac"), [(64, 1.987, 11.07), (32, 0.514, 3.117), (16, 0.137, 0.955), (8, 0.039, 0.326)]
)
def test_mobile_resnet_has_the_published_size(width: int, parameters: float, gmac: float) -> None:
    macs = 0

    def count(module: nn.Module, given: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        nonlocal macs
        assert isinstance(module, (nn.Conv2d, nn.ConvTranspose2d))
        per_pixel = module.weight[0].numel()
        pixels = given[0] if isinstance(module, nn.ConvTranspose2d) else output
        macs += per_pixel * pixels[0].numel()

    with torch.device("meta"):
        network = mobile_resnet_generator(width=width)
        for module in network.modules():
            if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
                module.register_forward_hook(count)
        network(torch.zeros(1, 3, 256, 256))
    assert sum(p.numel() for p in network.parameters()) / 1e6 == pytest.approx(parameters, abs=6e-4)
    assert macs / 1e9 == pytest.approx(gmac, abs=6e-3)
