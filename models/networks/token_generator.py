"""InstaFormer's generator: a transformer over patches of the content, and over its instances where boxes are given.

Kim et al., "InstaFormer: Instance-Aware Image-to-Image Translation with Transformer", CVPR 2022.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from models.blocks.roi import is_box, paste, roi_align
from models.networks.content_style import style_mlp
from models.networks.resnet import blurred_down, smoothed_up

PATCH = 8  # pixels of the content map, and of a box's features, to a token
SCALE = 1 / 4  # of the content map over the image
ABSENT = -1e4  # added to the score of a token that is not there; beyond what any exponential keeps
EPS = 1e-5


def blurred_encoder(channels: int, width: int, norm_kind: str) -> nn.Sequential:
    """(N, channels, H, W) → (N, 4·width, H/4, W/4), without strided convolutions."""
    return nn.Sequential(
        nn.ReflectionPad2d(3), nn.Conv2d(channels, width, 7),
        nn.InstanceNorm2d(width) if norm_kind == "instance" else nn.Identity(), nn.ReLU(),
        *blurred_down(width, norm_kind), *blurred_down(2 * width, norm_kind),
    )  # fmt: skip


def token_stem(channels: int, dim: int) -> nn.Sequential:
    """(N, channels, h, w) → (N, dim, h/8, w/8): three 3×3 stride-2 convolutions and a 1×1."""
    layers: list[nn.Module] = []
    for inner, outer in pairwise((channels, dim // 2, dim // 2, dim)):
        layers += [nn.Conv2d(inner, outer, 3, 2, 1), nn.ReLU()]
    return nn.Sequential(*layers, nn.Conv2d(dim, dim, 1))


def position_codes(places: Tensor, dim: int) -> Tensor:
    """(…, 4) centre x and y, width and height in pixels → (…, dim): sines and cosines of a quarter for each."""
    half = dim // 8
    frequencies = 10_000.0 ** (-torch.arange(half, dtype=places.dtype, device=places.device) / half)
    angles = places[..., None] * frequencies
    return torch.cat([angles.sin(), angles.cos()], dim=-1).flatten(-2)


def token_adain(tokens: Tensor, there: Tensor | None, style: tuple[Tensor, Tensor]) -> Tensor:
    """AdaIN over the tokens (N, T, D) that are there (N, T), None = all; style: scale and shift, (N, D) each."""
    scale, shift = (part[:, None] for part in style)
    if there is None:
        centred = tokens - tokens.mean(dim=1, keepdim=True)
        variance = centred.square().mean(dim=1, keepdim=True)
    else:
        weight = (there / there.sum(dim=1, keepdim=True))[..., None]
        centred = tokens - (tokens * weight).sum(dim=1, keepdim=True)
        variance = (centred.square() * weight).sum(dim=1, keepdim=True)
    return centred / (variance + EPS).sqrt() * scale + shift


class TokenBlock(nn.Module):
    """Attention and an MLP over tokens (N, T, D), each behind an AdaIN and beside a shortcut."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv, self.project = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.mlp = nn.Sequential(nn.Linear(dim, 4 * dim), nn.GELU(), nn.Linear(4 * dim, dim))

    def forward(self, tokens: Tensor, there: Tensor | None, style: tuple[Tensor, Tensor]) -> Tensor:
        tokens = tokens + self.attend(token_adain(tokens, there, style), there)
        changed: Tensor = self.mlp(token_adain(tokens, there, style))
        return tokens + changed

    def attend(self, tokens: Tensor, there: Tensor | None) -> Tensor:
        """What each token takes of those that are there."""
        count, length, dim = tokens.shape
        parts = self.qkv(tokens).view(count, length, 3, self.heads, dim // self.heads).permute(2, 0, 3, 1, 4)
        query, key, value = parts[0], parts[1], parts[2]
        scores = query @ key.mT * (dim // self.heads) ** -0.5
        if there is not None:
            scores = scores + ABSENT * (1 - there)[:, None, None]
        mixed = scores.softmax(dim=-1) @ value
        projected: Tensor = self.project(mixed.transpose(1, 2).reshape(count, length, dim))
        return projected


class TokenGenerator(nn.Module):
    """image (N, C, H, W), style (N, style_dim) [, boxes (N, S, 5)] → image in [-1, 1]; H and W multiples of 32.

    All blocks are normalised by one and the same scale and shift, as in the released code.
    """

    def __init__(self, channels: int, width: int, dim: int, depth: tuple[int, int], style: tuple[int, int]) -> None:
        super().__init__()
        inner, (blocks, heads), (style_dim, mlp_width) = 4 * width, depth, style
        self.dim = dim
        self.encoder = blurred_encoder(channels, width, "instance")
        self.mlp = style_mlp(style_dim, mlp_width, 2 * dim)
        self.patch_stem, self.box_stem = token_stem(inner, dim), token_stem(inner, dim)
        self.blocks = nn.ModuleList(TokenBlock(dim, heads) for _ in range(blocks))
        self.patch_unfold, self.box_unfold = (nn.ConvTranspose2d(dim, inner, PATCH, PATCH) for _ in range(2))
        self.decoder = nn.Sequential(
            *smoothed_up(inner, "instance"), *smoothed_up(inner // 2, "instance"),
            nn.ReflectionPad2d(3), nn.Conv2d(width, channels, 7), nn.Tanh(),
        )  # fmt: skip

    def forward(self, image: Tensor, style: Tensor, boxes: Tensor | None = None) -> Tensor:
        content = self.encoder(image)
        patches = self.patch_stem(content)
        tokens = patches.flatten(2).mT + self.patch_codes(patches)
        there = None
        if boxes is not None:
            tokens = torch.cat([tokens, self.box_tokens(content, boxes)], dim=1)
            there = torch.cat([torch.ones_like(patches[:, 0]).flatten(1), is_box(boxes)], dim=1)
        shift, scale = self.mlp(style).chunk(2, dim=1)
        for block in self.blocks:
            tokens = block(tokens, there, (scale, shift))
        cells = patches.shape[2] * patches.shape[3]
        mixed = self.patch_unfold(tokens[:, :cells].mT.reshape(patches.shape))
        if boxes is not None:
            mixed = mixed + self.placed(tokens[:, cells:], boxes, mixed)
        translated: Tensor = self.decoder(mixed)
        return translated

    def patch_codes(self, patches: Tensor) -> Tensor:
        """(1, h·w, dim): the position codes of a grid of patches, each a square of its own."""
        side = PATCH / SCALE
        x, y = ((torch.arange(n, device=patches.device) + 0.5) * side for n in (patches.shape[3], patches.shape[2]))
        rows, columns = torch.meshgrid(y, x, indexing="ij")
        size = torch.full_like(rows, side)
        return position_codes(torch.stack([columns, rows, size, size], dim=-1), self.dim).flatten(0, 1)[None]

    def box_tokens(self, content: Tensor, boxes: Tensor) -> Tensor:
        """(N, S, dim): one token for each slot."""
        cut = roi_align(content, boxes, PATCH, SCALE)
        tokens: Tensor = self.box_stem(cut.flatten(0, 1)).view(*boxes.shape[:2], self.dim)
        low, high = boxes[..., :2], boxes[..., 2:4]
        return tokens + position_codes(torch.cat([(low + high) / 2, high - low], dim=-1), self.dim)

    def placed(self, tokens: Tensor, boxes: Tensor, like: Tensor) -> Tensor:
        """What the slots' tokens (N, S, dim) say, in the places of their boxes."""
        maps = self.box_unfold(tokens.reshape(-1, self.dim, 1, 1))
        return paste(maps.view(*boxes.shape[:2], *maps.shape[1:]), boxes, (like.shape[2], like.shape[3]), SCALE)
