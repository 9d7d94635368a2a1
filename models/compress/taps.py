"""What a network computes on the way: features taken behind layers, while it runs, without changing it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.blocks.branched_conv import BranchedConv
from models.errors import ConfigError
from models.networks.generators import feature_layers

CONVOLUTIONS = (nn.Conv2d, nn.ConvTranspose2d, BranchedConv)


@contextmanager
def recording(layers: Sequence[nn.Module]) -> Iterator[list[Tensor]]:
    """Within the block, a list that holds the outputs of `layers` in their order, once the network has run."""
    features: list[Tensor] = [torch.empty(0)] * len(layers)

    def keep(index: int) -> Callable[..., None]:
        def hook(module: nn.Module, given: Any, output: Tensor) -> None:
            features[index] = output

        return hook

    handles = [layer.register_forward_hook(keep(index)) for index, layer in enumerate(layers)]
    try:
        yield features
    finally:
        for handle in handles:
            handle.remove()


def choose_layers(network: nn.Module, image: Tensor, names: Sequence[str], count: int) -> list[nn.Module]:
    """The layers of these names, or `count` of them, evenly spaced where the network's map is smallest.

    For a ResNet and four layers: behind the last halving and behind blocks 3, 6 and 9, as GAN Compression has it. A
    network whose layers do not pass one tensor on (U-Net) gives evenly spaced convolutions.

    Raises:
        ConfigError: there is no layer of a name, or the network cannot be looked into.
    """
    if names:
        modules = dict(network.named_modules())
        if unknown := [name for name in names if name not in modules]:
            raise ConfigError(f"the network has no layer {unknown[0]!r}; its first are {', '.join([*modules][1:6])}")
        return [modules[name] for name in names]
    candidates = _candidates(network)
    _, features = glance(network, candidates, image)
    maps = zip(candidates, features, strict=True)
    ran = [(layer, feature.shape[2] * feature.shape[3]) for layer, feature in maps if feature.ndim == 4]
    if not ran:
        raise ConfigError(
            f"{type(network).__name__} cannot be looked into (TorchScript, or no convolutions of its own): give it as "
            "a checkpoint or a module, or set the weights of the terms that compare its features to 0"
        )
    if not any(isinstance(layer, CONVOLUTIONS) for layer, _ in ran):
        smallest = min(area for _, area in ran)
        ran = [(layer, area) for layer, area in ran if area == smallest]
    picks = torch.linspace(0, len(ran) - 1, min(count, len(ran))).round().int().tolist()
    return [ran[pick][0] for pick in dict.fromkeys(picks)]


def _candidates(network: nn.Module) -> list[nn.Module]:
    """Blocks and activations of a network that is a chain; else its convolutions."""
    try:
        chain = feature_layers(network)
    except ConfigError:
        chain = []
    found = [layer for layer in chain if any(layer.children()) or isinstance(layer, (nn.ReLU, nn.LeakyReLU))]
    return found or [layer for layer in network.modules() if isinstance(layer, CONVOLUTIONS)]


@torch.no_grad()
def glance(network: nn.Module, layers: Sequence[nn.Module], image: Tensor) -> tuple[Tensor, list[Tensor]]:
    """What an image becomes, and the outputs of `layers` (empty where one does not run); the network is as it was."""
    training = network.training
    network.eval()
    with recording(layers) as features:
        output = network(image)
    network.train(training)
    return output, features


def resized_as(features: Tensor, wanted: Tensor) -> Tensor:
    """A map at the size of another: averaged over where it is larger, interpolated where it is smaller."""
    size = (wanted.shape[2], wanted.shape[3])
    if features.shape[2:] == wanted.shape[2:]:
        return features
    if features.shape[2] > size[0]:
        return F.adaptive_avg_pool2d(features, size)
    return F.interpolate(features, size, mode="bilinear")
