"""Weight initialisations of the papers."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

LINEAR = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)


def _initialise(network: nn.Module, weight_: Callable[[Tensor], object]) -> None:
    for module in network.modules():
        if isinstance(module, LINEAR):
            weight_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm2d) and module.affine:
            nn.init.normal_(module.weight, 1.0, 0.02)
            nn.init.zeros_(module.bias)


def init_normal(network: nn.Module, std: float = 0.02) -> None:
    """N(0, std) weights, zero biases, batch-norm scales N(1, 0.02): DCGAN, Pix2Pix, CycleGAN."""
    _initialise(network, lambda w: nn.init.normal_(w, 0.0, std))


def init_xavier(network: nn.Module, gain: float = 0.02) -> None:
    """Xavier-normal weights, zero biases: CUT, BicycleGAN, GcGAN."""
    _initialise(network, lambda w: nn.init.xavier_normal_(w, gain))


def init_kaiming(network: nn.Module, slope: float = 0.0) -> None:
    """Kaiming-normal (fan-in) weights, zero biases: UNIT, MUNIT, StarGAN v2, compact generators."""
    _initialise(network, lambda w: nn.init.kaiming_normal_(w, slope))


def start_alike(*twins: nn.ModuleDict) -> None:
    """Every network of a dictionary begins with the weights of its first."""
    for networks in twins:
        first, *others = networks.values()
        for other in others:
            other.load_state_dict(first.state_dict())
