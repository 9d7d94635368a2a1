"""Landmarks as a few numbers, and between two species: principal components, a small network, and back to heat-maps."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.blocks.landmarks import rendered, soft_argmax
from models.networks.resnet import ResidualBlock, smoothed_up, strided_down

FLOOR = 1e-3  # least deviation of a component
LIMIT = 3.0  # deviations that a shape may lie from the mean (Cootes et al., "Active Shape Models", 1995)


def landmark_network(channels: int, width: int, blocks: int, landmarks: int) -> nn.Sequential:
    """(N, channels, H, W) → logits (N, landmarks, H/2, W/2), whose softmax says where each landmark is."""
    return nn.Sequential(
        nn.ReflectionPad2d(3), nn.Conv2d(channels, width, 7), nn.InstanceNorm2d(width), nn.ReLU(),
        *strided_down(width, "instance"), *strided_down(2 * width, "instance"),
        *(ResidualBlock(4 * width) for _ in range(blocks)),
        *smoothed_up(4 * width, "instance"), nn.Conv2d(2 * width, landmarks, 1),
    )  # fmt: skip


class ShapeSpace(nn.Module):
    """Positions (N, K, 2) ↔ codes (N, components) of mean 0 and deviation 1.

    `mean` and `second` are running moments: gradient descent on the squared distance to a batch's moments is a moving
    average. `fit` turns them into principal components, which are all that the codes need.
    """

    centre: Tensor
    basis: Tensor
    spread: Tensor

    def __init__(self, landmarks: int, components: int) -> None:
        super().__init__()
        size = 2 * landmarks
        self.mean, self.second = nn.Parameter(torch.zeros(size)), nn.Parameter(torch.eye(size))
        self.register_buffer("centre", torch.zeros(size))
        self.register_buffer("basis", torch.eye(size)[:components].clone())
        self.register_buffer("spread", torch.ones(components))

    def loss(self, positions: Tensor) -> Tensor:
        """Half the squared distance of the moments to the batch's."""
        flat = positions.detach().flatten(1)
        second = flat.mT @ flat / len(flat)
        return 0.5 * ((self.mean - flat.mean(dim=0)).square().sum() + (self.second - second).square().sum())

    @torch.no_grad()
    def fit(self) -> None:
        """The principal components of the moments, the greatest first."""
        values, vectors = torch.linalg.eigh(self.second - torch.outer(self.mean, self.mean))
        count = len(self.spread)
        self.centre.copy_(self.mean)
        self.basis.copy_(vectors.mT.flip(0)[:count])
        self.spread.copy_(values.flip(0)[:count].clamp(min=FLOOR**2).sqrt())

    def encode(self, positions: Tensor) -> Tensor:
        """Positions → codes."""
        flat = positions.flatten(1) - self.centre
        return (flat[:, None] * self.basis).sum(dim=2) / self.spread

    def decode(self, codes: Tensor) -> Tensor:
        """Codes → positions. Beyond the limit landmarks would leave the image, and a network gets empty heat-maps."""
        flat = ((codes.clamp(-LIMIT, LIMIT) * self.spread)[..., None] * self.basis).sum(dim=1) + self.centre
        return flat.view(len(flat), -1, 2)


class SummedLinear(nn.Linear):
    """A linear layer as products and a sum: TensorRT for RTX has no full-precision matrix product on Turing (SM75)."""

    def forward(self, x: Tensor) -> Tensor:
        assert self.bias is not None
        return (x[:, None] * self.weight).sum(dim=2) + self.bias


class CodeTransformer(nn.Module):
    """Codes (N, D) of one domain → codes of the other: the code and what three linear layers add."""

    def __init__(self, dim: int, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            SummedLinear(dim, width), nn.ReLU(), SummedLinear(width, width), nn.ReLU(), SummedLinear(width, dim)
        )

    def forward(self, code: Tensor) -> Tensor:
        moved: Tensor = code + self.layers(code)
        return moved


class GeometryPath(nn.Module):
    """What ships between two networks: logits of one domain's landmarks → heat-maps of the other's, at twice the size.

    It is called `fp32` where it stands, which keeps every node of it in full precision (calibration/fp16.py).
    """

    def __init__(self, own: ShapeSpace, transformer: nn.Module, other: ShapeSpace, sigma: float) -> None:
        super().__init__()
        self.own, self.transformer, self.other, self.sigma = own, transformer, other, sigma

    def forward(self, logits: Tensor) -> Tensor:
        positions, _ = soft_argmax(logits)
        moved = self.other.decode(self.transformer(self.own.encode(positions)))
        return rendered(moved, (2 * logits.shape[2], 2 * logits.shape[3]), self.sigma)


class Positions(nn.Module):
    """Logits of landmarks → positions (N, K, 2); called `fp32` where it stands, as `GeometryPath`."""

    def forward(self, logits: Tensor) -> Tensor:
        return soft_argmax(logits)[0]
