"""StarGAN's critic: is it real, and of which class (Choi et al., CVPR 2018)."""

from __future__ import annotations

from torch import Tensor, nn

from models.errors import ConfigError

SLOPE = 0.01


class ClassifyingCritic(nn.Module):
    """image (N, channels, size, size) → (N, 1, h, w) scores of patches, (N, classes) logits; no norm."""

    def __init__(self, channels: int, size: int, width: int, layers: int, classes: int) -> None:
        super().__init__()
        left = size >> layers
        if left < 1 or size % (1 << layers):
            raise ConfigError(f"size = {size} is not a multiple of 2^critic_layers = {1 << layers}")
        trunk: list[nn.Module] = []
        for depth in range(layers):
            trunk += [nn.Conv2d(channels, width << depth, 4, 2, 1), nn.LeakyReLU(SLOPE)]
            channels = width << depth
        self.trunk = nn.Sequential(*trunk)
        self.score = nn.Conv2d(channels, 1, 3, padding=1, bias=False)
        self.classes = nn.Conv2d(channels, classes, left, bias=False)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        features = self.trunk(image)
        return self.score(features), self.classes(features).flatten(1)
