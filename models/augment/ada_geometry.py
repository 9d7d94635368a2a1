"""ADA's geometry: pixel blits without interpolation, then one affine map of all other moves, anti-aliased.

Paper: Karras et al., "Training Generative Adversarial Networks with Limited Data", NeurIPS 2020, appendix B.
Differs from the paper: blits are exact gathers instead of a part of the affine map, and images for which no move was
drawn pass as they are. Images that are not square are turned by half turns only.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from models.augment.diffaugment import Op

# The symlet of 12 taps: orthonormal under shifts by two, so that doubling and halving alone change nothing.
SYM6 = (
    0.015404109327027373, 0.0034907120842174702, -0.11799011114819057, -0.048311742585633, 0.4910559419267466,
    0.787641141030194, 0.3379294217276218, -0.07263752278646252, -0.021060292512300564, 0.04472490177066578,
    0.0017677118642428036, -0.007800708325034148,
)  # fmt: skip
DELAY = sum(k * tap for k, tap in enumerate(SYM6)) / sum(SYM6)  # of low frequencies, in samples
PAD = len(SYM6) // 2
SHIFT, SCALE = 0.125, 0.2  # share of the side; octaves


def fires(count: int, p: float, device: torch.device) -> Tensor:
    """(count) bool: for which images an operation of probability p is carried out."""
    return torch.rand(count, device=device) < p


def reflected(position: Tensor, last: int) -> Tensor:
    """Positions on a line → inside [0, last], mirrored at both ends as often as needed."""
    if last == 0:
        return torch.zeros_like(position)
    return last - (position.remainder(2 * last) - last).abs()


def draw_blit(images: Tensor, p: float) -> Op:
    """Mirroring, quarter turns and shifts by whole pixels, up to an eighth of a side; each with probability p."""
    n, _, height, width = images.shape
    device = images.device
    mirror = fires(n, p, device) & fires(n, 0.5, device)
    turns = torch.randint(4, (n,), device=device) * fires(n, p, device)
    if height != width:
        turns = turns // 2 * 2
    shift = (torch.rand(n, 2, device=device) * 2 - 1) * SHIFT * fires(n, p, device)[:, None]
    sides = torch.tensor([height, width], device=device)
    dy, dx = (shift * sides).round().long().unbind(dim=1)
    y = torch.arange(height, device=device).view(1, -1, 1) - dy.view(n, 1, 1)
    x = torch.arange(width, device=device).view(1, 1, -1) - dx.view(n, 1, 1)
    y, x = (place.expand(n, height, width) for place in (reflected(y, height - 1), reflected(x, width - 1)))
    turns = turns.view(n, 1, 1)
    y, x = torch.where(turns % 2 == 1, x, y), torch.where(turns % 2 == 1, width - 1 - y, x)
    half = turns >= 2
    y, x = torch.where(half, height - 1 - y, y), torch.where(half, width - 1 - x, x)
    x = torch.where(mirror.view(n, 1, 1), width - 1 - x, x)
    sample = torch.arange(n, device=device).view(n, 1, 1)
    return lambda image: image.permute(0, 2, 3, 1)[sample, y, x].permute(0, 3, 1, 2)


def draw_geometry(images: Tensor, p: float) -> Op:
    """Scales, turns and a shift by parts of pixels, each with probability p; edges are mirrored."""
    n, _, height, width = images.shape
    device = images.device
    turn_p = 1 - math.sqrt(1 - min(p, 1.0))  # two turns: any of them with probability p

    def octaves() -> Tensor:
        return (SCALE * torch.randn(n, device=device) * fires(n, p, device)).exp2()

    def turn() -> Tensor:
        return math.pi * (torch.rand(n, device=device) * 2 - 1) * fires(n, turn_p, device)

    scale, before, stretch, behind = octaves(), turn(), octaves(), turn()
    moved = torch.randn(n, 2, device=device) * SHIFT * fires(n, p, device)[:, None]
    ones = torch.ones_like(scale)
    # From where an output pixel is taken: all moves undone, the last one first.
    unstretched = torch.diag_embed(torch.stack([ones / stretch, stretch], dim=1))
    linear = rotation(-before) @ unstretched @ rotation(-behind) / scale.view(n, 1, 1)
    offset = -(linear @ (moved * torch.tensor([width, height], device=device)).unsqueeze(2)).squeeze(2)
    still = torch.eye(2, device=device).expand_as(linear)
    moves = ((linear != still).flatten(1).any(dim=1) | (offset != 0).any(dim=1)).nonzero().squeeze(1)

    def warp(image: Tensor) -> Tensor:
        if not len(moves):
            return image
        return image.index_copy(0, moves, warped(image[moves], linear[moves], offset[moves]))

    return warp


def rotation(angle: Tensor) -> Tensor:
    """(N) radians → (N, 2, 2) on (x, y)."""
    cos, sin = angle.cos(), angle.sin()
    return torch.stack([torch.stack([cos, -sin], dim=1), torch.stack([sin, cos], dim=1)], dim=1)


def warped(images: Tensor, linear: Tensor, offset: Tensor) -> Tensor:
    """Images (N, C, H, W) of which the output pixel at o is taken from linear · o + offset.

    Positions (x, y) are in pixels from the image's centre; linear (N, 2, 2), offset (N, 2). The image is read and the
    result written on lattices of half a pixel with the symlet as low-pass, so that neither scale aliases.
    """
    height, width = images.shape[2:]
    with torch.autocast(images.device.type, enabled=False):
        fine = doubled(_mirrored(images.float()))
        x, y = (_lattice(side, images.device) - (side - 1) / 2 for side in (width, height))
        rows, columns = torch.meshgrid(y, x, indexing="ij")
        places = torch.stack([columns, rows], dim=2).flatten(0, 1)  # (P, 2)
        source = places @ linear.mT + offset[:, None]
        sides = ((source[:, :, 0], width, fine.shape[3]), (source[:, :, 1], height, fine.shape[2]))
        grid = torch.stack([_index(where, side, size) for where, side, size in sides], dim=2)
        grid = grid.view(len(images), len(y), len(x), 2)
        return halved(F.grid_sample(fine, grid, align_corners=True)).to(images.dtype)


def doubled(images: Tensor) -> Tensor:
    """(N, C, H, W) → (N, C, 2H + 10, 2W + 10): pixel n of the image is centred at 2n + DELAY."""
    taps = _taps(images) * 2
    flat = images.flatten(0, 1).unsqueeze(1)
    flat = F.conv_transpose2d(flat, taps.view(1, 1, -1, 1), stride=(2, 1))
    flat = F.conv_transpose2d(flat, taps.view(1, 1, 1, -1), stride=(1, 2))
    return flat.view(*images.shape[:2], *flat.shape[2:])


def halved(images: Tensor) -> Tensor:
    """The adjoint of `doubled`, and its inverse: (N, C, 2H + 10, 2W + 10) → (N, C, H, W)."""
    taps = _taps(images)
    flat = images.flatten(0, 1).unsqueeze(1)
    flat = F.conv2d(flat, taps.view(1, 1, -1, 1), stride=(2, 1))
    flat = F.conv2d(flat, taps.view(1, 1, 1, -1), stride=(1, 2))
    return flat.view(*images.shape[:2], *flat.shape[2:])


def _taps(like: Tensor) -> Tensor:
    taps = torch.tensor(SYM6, dtype=like.dtype, device=like.device)
    return taps / taps.sum()


def _mirrored(images: Tensor) -> Tensor:
    """Padded by PAD pixels, also where the image is smaller than that."""
    height, width = images.shape[2:]
    y, x = (reflected(torch.arange(-PAD, side + PAD, device=images.device), side - 1) for side in (height, width))
    return images[:, :, y][:, :, :, x]


def _lattice(side: int, device: torch.device) -> Tensor:
    """Where `halved` wants its samples, in pixels of the image."""
    return (torch.arange(2 * side + len(SYM6) - 2, device=device) - DELAY) / 2


def _index(where: Tensor, side: int, size: int) -> Tensor:
    """Positions from the centre → grid_sample's coordinates in a doubled image of `size`."""
    inside = reflected(where + (side - 1) / 2, side - 1)
    return (2 * (inside + PAD) + DELAY) * (2 / (size - 1)) - 1
