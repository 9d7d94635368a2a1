"""Image → image generators by name, so that a recipe can give any system a compact one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from models.blocks.init import init_normal
from models.errors import ConfigError
from models.networks.compact import CompactGenerator
from models.networks.mobile_resnet import mobile_resnet_generator
from models.networks.resnet import resnet_generator
from models.networks.style_convs import unit_style_generator
from models.networks.unet import unet_generator


@dataclass(frozen=True)
class GeneratorConfig:
    """Settings that every image → image system shares; a system's Config inherits them and may change defaults."""

    generator: str = "resnet9"
    width: int = 64
    blocks: int = 6  # of the compact generator, at 1/4 resolution
    deep_width: int = 0  # … at 1/8 resolution; 0 = 2 × width
    deep_blocks: int = 0
    norm: str = "instance"
    skip: bool = False  # compact only: output = input, scaled and shifted, + residual
    skip_pool: int = 1  # … of the input's n×n means, for noisy inputs
    skip_clip: bool = False  # … the residual bounded by a clip, which costs nothing, instead of tanh
    branched: bool = False  # compact only: 3×3 convolutions trained as three branches, folded when they ship
    tone_norm: bool = False  # compact only: instance norm behind the stem and before the head
    stem_kernel: int = 4  # compact only: 8 = overlapping patches
    head_kernel: int = 3  # compact only
    channels: int = 3  # of both domains: 3 = colour, 1 = gray


def _compact(cfg: GeneratorConfig) -> nn.Module:
    return CompactGenerator(
        cfg.channels, cfg.channels, width=cfg.width, blocks=cfg.blocks, deep_width=cfg.deep_width,
        deep_blocks=cfg.deep_blocks, norm_kind=cfg.norm, skip=cfg.skip, skip_pool=cfg.skip_pool,
        skip_clip=cfg.skip_clip, branched=cfg.branched, tone_norm=cfg.tone_norm, stem_kernel=cfg.stem_kernel,
        head_kernel=cfg.head_kernel,
    )  # fmt: skip


def _mobile(cfg: GeneratorConfig) -> nn.Module:
    return mobile_resnet_generator(cfg.channels, cfg.channels, cfg.width, 9, cfg.norm)


def _unet(cfg: GeneratorConfig, levels: int) -> nn.Module:
    return unet_generator(cfg.channels, cfg.channels, cfg.width, levels, cfg.norm)


def _resnet(cfg: GeneratorConfig, blocks: int, antialias: bool = False) -> nn.Module:
    return resnet_generator(cfg.channels, cfg.channels, cfg.width, blocks, cfg.norm, antialias)


# Name → constructor and the multiple that H and W must be of.
GENERATORS: dict[str, tuple[Callable[[GeneratorConfig], nn.Module], int]] = {
    "resnet9": (lambda cfg: _resnet(cfg, 9), 4),
    "resnet6": (lambda cfg: _resnet(cfg, 6), 4),
    "resnet9_antialiased": (lambda cfg: _resnet(cfg, 9, antialias=True), 4),
    "resnet6_antialiased": (lambda cfg: _resnet(cfg, 6, antialias=True), 4),
    "mobile_resnet9": (_mobile, 4),
    "unet256": (lambda cfg: _unet(cfg, 8), 256),
    "unet128": (lambda cfg: _unet(cfg, 7), 128),
    "unit_style": (lambda cfg: unit_style_generator(cfg.channels, cfg.width, cfg.blocks), 2),
    "compact": (_compact, 8),
}


def build_generator(cfg: GeneratorConfig, init: Callable[[nn.Module], None] = init_normal) -> nn.Module:
    """The generator a config names, with the paper's `init` (the compact one has its own).

    Raises:
        ConfigError: an unknown name, with the list of names.
    """
    network = _entry(cfg)[0](cfg)
    if not isinstance(network, CompactGenerator):
        init(network)
    return network


def size_multiple(cfg: GeneratorConfig) -> int:
    """H and W of the generator's input must be multiples of this."""
    if cfg.generator == "compact" and not cfg.deep_blocks:
        return 4
    return _entry(cfg)[1]


def feature_layers(network: nn.Module) -> list[nn.Module]:
    """The layers of a generator that pass one tensor on, in order, so that features can be taken behind any of them.

    Raises:
        ConfigError: for a U-Net, whose skip connections leave no single tensor.
    """
    if isinstance(network, CompactGenerator):
        return [*network.stem, *network.body]
    if isinstance(network, nn.Sequential):
        return [*network]
    raise ConfigError("features are taken from resnet and compact generators; a U-Net has skip connections")


def _entry(cfg: GeneratorConfig) -> tuple[Callable[[GeneratorConfig], nn.Module], int]:
    if cfg.generator not in GENERATORS:
        raise ConfigError(f"there is no generator {cfg.generator!r}; there are {', '.join(GENERATORS)}")
    return GENERATORS[cfg.generator]
