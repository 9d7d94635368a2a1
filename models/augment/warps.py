"""Smooth warps of images that also say where a point went: what teaches landmarks to move with their image."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

TURN, STRETCH, SHIFT, BEND = 0.35, 0.15, 0.15, 0.06  # rad; share of the size; the others in half sides


class Warp(NamedTuple):
    """position → matrix · (position, 1) + bend · sin(π · (the other coordinate) + phase): where a pixel comes from."""

    matrix: Tensor  # (N, 2, 3)
    bend: Tensor  # (N, 2)
    phase: Tensor  # (N, 2)

    def origin(self, positions: Tensor) -> Tensor:
        """Positions (N, P, 2) of the warped image → the positions in the image that are shown there."""
        linear = positions @ self.matrix[:, :, :2].mT + self.matrix[:, None, :, 2]
        waves = (math.pi * positions.flip(2) + self.phase[:, None]).sin()
        return linear + self.bend[:, None] * waves

    def image(self, images: Tensor) -> Tensor:
        """(N, C, H, W) warped; edges are reflected."""
        height, width = images.shape[2:]
        x, y = (torch.linspace(-1, 1, n, device=images.device) for n in (width, height))
        rows, columns = torch.meshgrid(y, x, indexing="ij")
        places = torch.stack([columns, rows], dim=2).flatten(0, 1).expand(len(images), -1, -1)
        grid = self.origin(places).view(len(images), height, width, 2).to(images.dtype)
        return F.grid_sample(images, grid, padding_mode="reflection", align_corners=True)


def random_warp(images: Tensor, strength: float = 1.0) -> Warp:
    """A warp for each image: turned up to 20°, scaled and shifted by up to 15 %, bent, all times `strength`."""
    count, device = len(images), images.device

    def drawn(*shape: int) -> Tensor:
        return (torch.rand(count, *shape, device=device) * 2 - 1) * strength

    angle, scale = TURN * drawn(), 1 + STRETCH * drawn()
    cos, sin, shift = scale * angle.cos(), scale * angle.sin(), SHIFT * drawn(2)
    matrix = torch.stack([torch.stack([cos, -sin], 1), torch.stack([sin, cos], 1), shift], dim=2)
    return Warp(matrix, BEND * drawn(2), math.pi * torch.rand(count, 2, device=device))
