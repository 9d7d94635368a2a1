"""Two domains and the pictures that bridge them: they differ in nothing but what is to be translated.

`bridge_a` and `bridge_b` are folders of such pictures (Z of Domain Bridge: drives under clear sky and in rain, filmed
by the same camera). The translation is trained on data_a ∪ bridge_a → data_b ∪ bridge_b, the segmentation on data_a,
which has labels, and data_b, whose labels are not read. Where a bridge's pictures are from stands in its
provenance.txt, and then in the run's data.json.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from torch import Tensor

from models.data.batches import Bridged
from models.data.images import ImageFolder, list_images, to_tensor
from models.data.places import DataConfig, shuffled_index, sides, view
from models.data.segmentation import LabelFolder, label_map
from models.errors import DataError

PROVENANCE = "provenance.txt"


class BridgedDomains:
    """`a` and `b` are drawn from a domain and its bridge together, `source` and `target` from the domain alone."""

    def __init__(self, cfg: DataConfig, seed: int) -> None:
        sources = sides(cfg)
        share = cfg.cache_mib // 4
        self.domains = [ImageFolder(list_images(side), cfg.channels, share) for side in sources]
        self.labels = LabelFolder(sources[0], cfg.domains)
        self.labels.check(self.domains[0].files)
        self.provenance: dict[str, str] = {}
        self.bridges = [self._bridge(where, cfg.channels, share) for where in (cfg.bridge_a, cfg.bridge_b)]
        self.view, self.seed, self.images = view(cfg), seed, len(self.domains[0])
        self.fewest = min(len(domain) for domain in self.domains)

    def _bridge(self, where: str, channels: int, share: int) -> ImageFolder | None:
        if not where:
            return None
        told = Path(where) / PROVENANCE
        if not told.is_file():
            raise DataError(f"{where} does not say where its pictures are from: write that into {told}")
        folder = ImageFolder(list_images(Path(where)), channels, share)
        self.provenance[where] = f"{len(folder)} images; {told.read_text(encoding='utf-8').strip()}"
        return folder

    def sample(self, k: int) -> Bridged:
        random = np.random.default_rng((self.seed, k))
        a, b = (self._united(side, k, random) for side in (0, 1))
        index = shuffled_index(self.seed, k, self.images)
        pixels, drawn = self.domains[0][index], self.view.draw(random)
        planes = self.labels.of(self.domains[0].files[index], pixels.shape)
        target = self.domains[1][shuffled_index(self.seed + 1, k, len(self.domains[1]))]
        return Bridged(
            a, b, to_tensor(self.view.take(pixels, drawn)), label_map(planes, self.view, drawn),
            to_tensor(self.view.take(target, self.view.draw(random))),
        )  # fmt: skip

    def _united(self, side: int, k: int, random: np.random.Generator) -> Tensor:
        """The k-th picture of a walk through a domain and its bridge."""
        domain, bridge = self.domains[side], self.bridges[side]
        index = shuffled_index(self.seed + 2 + side, k, len(domain) + (len(bridge) if bridge else 0))
        pixels = domain[index] if bridge is None or index < len(domain) else bridge[index - len(domain)]
        return to_tensor(self.view.take(pixels, self.view.draw(random)))
