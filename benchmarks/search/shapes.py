"""The shapes of the compact family, the parts a shape is made of, and which shapes are timed to know all of them.

Nothing here needs torch: a device that times probes has none.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

WIDTHS = (32, 48, 64, 96, 128)  # multiples of 16: others lose 10 to 25 % in INT8
DEEP_WIDTHS = (64, 96, 128, 192, 256)
SCALE = 4  # as models.networks.compact has it
STEMS = (4, 8)  # kernels of the stem, stride 4: apart, or overlapping
HEADS = (3, 5)  # kernels in front of the pixel shuffle
DEEPEST, DEEP_DEEPEST = 8, 4  # residual blocks at 1/4 and at 1/8 resolution


@dataclass(frozen=True, order=True)
class Shape:
    """One student: `blocks` residual blocks of `width` channels at 1/4 resolution, and perhaps deep ones at 1/8."""

    width: int
    blocks: int
    deep_width: int = 0
    deep_blocks: int = 0
    stem: int = 4
    head: int = 3

    @property
    def name(self) -> str:
        """Such as w64b4, w48b2-d128b2, w64b4-s8h5."""
        deep = f"-d{self.deep_width}b{self.deep_blocks}" if self.deep_blocks else ""
        ends = f"-s{self.stem}h{self.head}" if (self.stem, self.head) != (4, 3) else ""
        return f"w{self.width}b{self.blocks}{deep}{ends}"

    @property
    def settings(self) -> dict[str, Any]:
        """As in a recipe."""
        ends = {"stem_kernel": self.stem, "head_kernel": self.head}
        depths = {"blocks": self.blocks, "deep_width": self.deep_width, "deep_blocks": self.deep_blocks}
        return {"generator": "compact", "width": self.width, **depths, **ends}

    @property
    def parts(self) -> dict[str, float]:
        """How many times each timed part stands in it. A residual block is timed for its width; what surrounds the
        blocks costs per channel, and a change of resolution per pair of channels."""
        found = {"frame": 1.0, "ends per channel": float(self.width), f"block {self.width} at 1/4": float(self.blocks)}
        if self.deep_blocks:
            found["1/8 and back per 1000 channel pairs"] = self.width * self.deep_width / 1000
            found[f"block {self.deep_width} at 1/8"] = float(self.deep_blocks)
        if self.stem != 4:
            found[f"stem {self.stem} per channel"] = float(self.width)
        if self.head != 3:
            found[f"head {self.head} per channel"] = float(self.width)
        return found

    def macs(self, height: int, width: int, channels: int) -> int:
        """Multiply-accumulates of a frame."""
        pixels = height * width // SCALE**2
        ends = channels * self.width * (self.stem**2 + SCALE**2 * self.head**2)
        flat = 2 * self.blocks * 9 * self.width**2
        change = 5 * 9 * self.width * self.deep_width if self.deep_blocks else 0  # one down, four times as many up
        deep = 2 * self.deep_blocks * 9 * self.deep_width**2
        return pixels * (ends + flat) + pixels // 4 * (change + deep)

    def parameters(self, channels: int) -> int:
        """Weights of its convolutions."""
        ends = channels * self.width * (self.stem**2 + SCALE**2 * self.head**2)
        change = 5 * 9 * self.width * self.deep_width if self.deep_blocks else 0
        return ends + 18 * (self.blocks * self.width**2 + self.deep_blocks * self.deep_width**2) + change


REFERENCE = Shape(64, 4)  # timed in turn with every other


def probes() -> list[Shape]:
    """What is timed: every part in at least two surroundings."""
    flat = [Shape(width, blocks) for width in WIDTHS for blocks in (2, 5)]
    deep = [
        Shape(width, 2, deep, blocks)
        for index, deep in enumerate(DEEP_WIDTHS)
        for width, blocks in ((WIDTHS[index % 3], 1), (WIDTHS[(index + 1) % 3], 4))
    ]
    ends = [Shape(width, 2, stem=stem, head=head) for width in (32, 96) for stem, head in ((8, 3), (4, 5))]
    return list(dict.fromkeys([REFERENCE, *flat, *deep, *ends]))


def candidates(known: set[str]) -> list[Shape]:
    """All shapes whose parts are `known`."""
    return [shape for shape in _all() if shape.parts.keys() <= known]


def _all() -> Iterator[Shape]:
    for stem in STEMS:
        for head in HEADS:
            for width in WIDTHS:
                for blocks in range(1, DEEPEST + 1):
                    yield Shape(width, blocks, stem=stem, head=head)
                    for deep in (deep for deep in DEEP_WIDTHS if width <= deep <= 4 * width):
                        for deeper in range(1, DEEP_DEEPEST + 1):
                            yield Shape(width, blocks, deep, deeper, stem, head)
