"""PatchGANs of one image at several scales (BicycleGAN's): each has half the size and half the width of the last.

Zhu et al., "Toward Multimodal Image-to-Image Translation", NIPS 2017.
"""

from __future__ import annotations

from torch import Tensor, nn

from models.networks.patch_critic import patch_critic


class MultiscaleCritic(nn.Module):
    """(N, channels, H, W) → one map of logits per scale."""

    def __init__(
        self, channels: int = 3, width: int = 64, field: int = 70, norm_kind: str = "instance", scales: int = 2
    ) -> None:
        super().__init__()
        self.critics = nn.ModuleList()
        for scale in range(scales):
            critic = patch_critic(channels, max(1, width >> scale), field, norm_kind)
            critic.least_size <<= scale  # of the whole image
            self.critics.append(critic)
        self.halve = nn.AvgPool2d(3, stride=2, padding=1, count_include_pad=False)

    def forward(self, image: Tensor) -> list[Tensor]:
        maps = []
        for critic in self.critics:
            maps.append(critic(image))
            image = self.halve(image)
        return maps
