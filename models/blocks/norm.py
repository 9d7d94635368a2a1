"""Normalisation by name."""

from __future__ import annotations

from torch import nn

from models.errors import ConfigError

NORMS = ("instance", "batch", "layer", "none")


def norm(kind: str, channels: int) -> nn.Module:
    """Instance norm without affine or running statistics, batch norm, layer norm over (C, H, W), or nothing."""
    match kind:
        case "instance":
            return nn.InstanceNorm2d(channels)
        case "batch":
            return nn.BatchNorm2d(channels)
        case "layer":
            return nn.GroupNorm(1, channels)
        case "none":
            return nn.Identity()
    raise ConfigError(f"there is no norm {kind!r}; there are {', '.join(NORMS)}")
