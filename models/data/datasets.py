"""Datasets by what they yield. Sample k is a pure function of (seed, k): any process can make it; resuming is exact."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from models.data.arrays import Pictures, open_labelled, open_pictures
from models.data.attributes import read_attributes
from models.data.batches import Adaptation, DomainImages, LabelledBy, LabelledImage, OneImage, Pair, TwoImages, TwoSets
from models.data.boxed import Boxed
from models.data.bridged import BridgedDomains
from models.data.images import ImageFolder, list_images, to_tensor
from models.data.masks import MaskFolder, mask_slots
from models.data.places import DataConfig as DataConfig
from models.data.places import domain_folders, matched, only_side, sides, view
from models.data.places import shuffled_index as shuffled_index
from models.data.whole import TwoWhole
from models.errors import DataError
from models.system import Batch


class Dataset(Protocol):
    """An endless, seeded sequence of samples (batches without the batch axis)."""

    images: int  # in one pass over the (first) domain

    def sample(self, k: int) -> Batch:
        """The k-th sample of this seed."""


class Unpaired:
    """Two folders; `a` goes through its images in a new order each pass, `b` is drawn at random."""

    def __init__(self, cfg: DataConfig, seed: int) -> None:
        self.a, self.b = (open_pictures(side, cfg.channels, cfg.cache_mib // 2) for side in sides(cfg))
        self.view, self.seed = view(cfg), seed
        self.images, self.fewest = len(self.a), min(len(self.a), len(self.b))

    def sample(self, k: int) -> TwoImages:
        random = np.random.default_rng((self.seed, k))
        first = self.a[shuffled_index(self.seed, k, len(self.a))]
        second = self.b[int(random.integers(len(self.b)))]
        cut = (self.view.take(p, self.view.draw(random)) for p in (first, second))
        return TwoImages(*(to_tensor(pixels) for pixels in cut))


class Paired:
    """Two folders whose files of the same name are registered; both get the same crop and mirroring."""

    def __init__(self, cfg: DataConfig, seed: int) -> None:
        sources, targets = matched(*(list_images(folder) for folder in sides(cfg)))
        self.sources = ImageFolder(sources, cfg.channels, cfg.cache_mib // 2)
        self.targets = ImageFolder(targets, cfg.channels, cfg.cache_mib // 2)
        if self.sources.broken or self.targets.broken:
            self.sources.files, self.targets.files = matched(self.sources.files, self.targets.files)
        for source, target in zip(self.sources.files, self.targets.files, strict=True):
            self._same_size(source, target)
        self.view, self.seed, self.images, self.fewest = view(cfg), seed, len(self.sources), len(self.sources)

    def _same_size(self, source: Path, target: Path) -> None:
        (height, width, _), (other_height, other_width, _) = self.sources.shapes[source], self.targets.shapes[target]
        if (height, width) != (other_height, other_width):
            raise DataError(
                f"{source} is {width}×{height}, its pair {target} is {other_width}×{other_height}: pairs must be "
                "registered"
            )

    def sample(self, k: int) -> Pair:
        index = shuffled_index(self.seed, k, self.images)
        source, target = self.sources[index], self.targets[index]
        drawn = self.view.draw(np.random.default_rng((self.seed, k)))
        return Pair(*(to_tensor(self.view.take(pixels, drawn)) for pixels in (source, target)))


class SideBySide:
    """One folder of images that hold a pair each, left and right (pix2pix's sets)."""

    def __init__(self, cfg: DataConfig, seed: int) -> None:
        if cfg.side_by_side not in ("AB", "BA"):
            raise DataError(f'side_by_side is "AB" (the left half is the source) or "BA", not {cfg.side_by_side!r}')
        self.folder = ImageFolder(list_images(only_side(cfg)), cfg.channels, cfg.cache_mib)
        for path, (height, width, _) in self.folder.shapes.items():
            if width % 2:
                raise DataError(f"{path} is {width}×{height}: an odd width has no two halves")
        self.left_first = cfg.side_by_side == "AB"
        self.view, self.seed, self.images, self.fewest = view(cfg), seed, len(self.folder), len(self.folder)

    def sample(self, k: int) -> Pair:
        index = shuffled_index(self.seed, k, self.images)
        pixels = self.folder[index]
        middle = pixels.shape[1] // 2
        halves = (pixels[:, :middle], pixels[:, middle:])
        source, target = halves if self.left_first else halves[::-1]
        drawn = self.view.draw(np.random.default_rng((self.seed, k)))
        return Pair(*(to_tensor(self.view.take(side, drawn)) for side in (source, target)))


def paired(cfg: DataConfig, seed: int) -> Dataset:
    """Pairs of two folders, or of the halves of one folder's images."""
    return SideBySide(cfg, seed) if cfg.side_by_side else Paired(cfg, seed)


class HighResolution:
    """One folder; the target is a crop of the image as it is, the source the same crop, `scale` times smaller."""

    def __init__(self, cfg: DataConfig, seed: int) -> None:
        if cfg.scale < 2 or cfg.size % cfg.scale:
            raise DataError(f"size = {cfg.size} must be a multiple of scale = {cfg.scale}, which is at least 2")
        self.folder = ImageFolder(list_images(only_side(cfg)), cfg.channels, cfg.cache_mib)
        for path, (height, width, _) in self.folder.shapes.items():
            if min(height, width) < cfg.size:
                raise DataError(
                    f"{path} is {width}×{height}, smaller than the crops of size = {cfg.size}: take it out, for an "
                    "enlarged image teaches nothing"
                )
        self.view, self.scale, self.seed = view(cfg), cfg.scale, seed
        self.images = self.fewest = len(self.folder)

    def sample(self, k: int) -> Pair:
        pixels = self.folder[shuffled_index(self.seed, k, self.images)]
        crop = self.view.take(pixels, self.view.draw(np.random.default_rng((self.seed, k))))
        target = to_tensor(crop)
        return Pair(reduced(target, self.scale, int(np.iinfo(crop.dtype).max)), target)


def reduced(image: Tensor, scale: int, levels: int = 255) -> Tensor:
    """(C, H, W) in [-1, 1] → `scale` times smaller by the bicubic filter that SRGAN's figures rest on (widened by
    `scale`, a = -0.5, as MATLAB's imresize), rounded to the levels a file would hold."""
    size = (image.shape[1] // scale, image.shape[2] // scale)
    small = F.interpolate(image[None], size, mode="bicubic", antialias=True)[0].clamp(-1, 1)
    return ((small + 1) * (levels / 2)).round() * (2 / levels) - 1


class OneDomain:
    """Images of one kind, for unconditional generation."""

    def __init__(self, cfg: DataConfig, seed: int) -> None:
        self.pictures = open_pictures(only_side(cfg), cfg.channels, cfg.cache_mib)
        self.view, self.seed, self.images, self.fewest = view(cfg), seed, len(self.pictures), len(self.pictures)

    def sample(self, k: int) -> OneImage:
        pixels = self.pictures[shuffled_index(self.seed, k, self.images)]
        drawn = self.view.draw(np.random.default_rng((self.seed, k)))
        return OneImage(to_tensor(self.view.take(pixels, drawn)))


class Labelled:
    """Images with the class of each; `domains` names the classes (none: all are of class 0)."""

    def __init__(self, cfg: DataConfig, seed: int) -> None:
        self.pictures, self.labels = open_labelled(only_side(cfg), cfg.domains, cfg.channels, cfg.cache_mib)
        self.view, self.seed, self.images, self.fewest = view(cfg), seed, len(self.pictures), len(self.pictures)

    def sample(self, k: int) -> LabelledImage:
        index = shuffled_index(self.seed, k, self.images)
        drawn = self.view.draw(np.random.default_rng((self.seed, k)))
        return LabelledImage(to_tensor(self.view.take(self.pictures[index], drawn)), torch.tensor(self.labels[index]))


class SourceAndTarget:
    """A labelled source domain, and a target domain whose labels, if it has any, are not read."""

    def __init__(self, cfg: DataConfig, seed: int) -> None:
        source, target = sides(cfg)
        self.source, self.labels = open_labelled(source, cfg.domains, cfg.channels, cfg.cache_mib // 2)
        self.target = open_pictures(target, cfg.channels, cfg.cache_mib // 2)
        self.view, self.seed, self.images = view(cfg), seed, len(self.source)
        self.fewest = min(len(self.source), len(self.target))

    def sample(self, k: int) -> Adaptation:
        random = np.random.default_rng((self.seed, k))
        index = shuffled_index(self.seed, k, self.images)
        # One index walks each domain: a pass shows every image of either once.
        other = shuffled_index(self.seed + 1, k, len(self.target))
        first, second = (
            to_tensor(self.view.take(pixels, self.view.draw(random)))
            for pixels in (self.source[index], self.target[other])
        )
        return Adaptation(first, torch.tensor(self.labels[index]), second)


class Domains:
    """One folder per domain; every domain is drawn equally often, whatever the number of its images."""

    def __init__(self, cfg: DataConfig, seed: int) -> None:
        share = cfg.cache_mib // max(1, len(cfg.domains))
        folders = domain_folders(cfg)
        self.folders = [ImageFolder(list_images(folder), cfg.channels, share) for folder in folders]
        self.view, self.seed = view(cfg), seed
        self.images, self.fewest = (of(map(len, self.folders)) for of in (sum, min))

    def sample(self, k: int) -> DomainImages:
        random = np.random.default_rng((self.seed, k))
        domain, target = (int(d) for d in random.integers(len(self.folders), size=2))
        image, reference, reference_2 = (self._draw(d, random) for d in (domain, target, target))
        return DomainImages(image, torch.tensor(domain), reference, reference_2, torch.tensor(target))

    def _draw(self, domain: int, random: np.random.Generator) -> Tensor:
        folder = self.folders[domain]
        pixels = folder[int(random.integers(len(folder)))]
        return to_tensor(self.view.take(pixels, self.view.draw(random)))


class LabelledSets:
    """Images with attributes, images in class folders, or both in turn: StarGAN's joint training.

    With both kinds, data_a is the set with the attribute list and data_b the one with class folders.
    """

    def __init__(self, cfg: DataConfig, seed: int) -> None:
        self.sets: list[tuple[Pictures, NDArray[np.float32]]] = []
        both, share = bool(cfg.attributes and cfg.domains), cfg.cache_mib // 2
        if not cfg.attributes and not cfg.domains:
            raise DataError("say which labels to learn: attributes of an attribute list, or domains = class folders")
        first, second = sides(cfg) if both else (only_side(cfg), only_side(cfg))
        if cfg.attributes:
            files, values = read_attributes(first, cfg.attributes)
            folder = ImageFolder(files, cfg.channels, share)
            kept = set(folder.files)
            self.sets.append((folder, values[[path in kept for path in files]]))
        if cfg.domains:
            pictures, classes = open_labelled(second, cfg.domains, cfg.channels, share)
            self.sets.append((pictures, np.eye(len(cfg.domains), dtype=np.float32)[classes]))
        counts = [len(pictures) for pictures, _ in self.sets]
        self.view, self.seed, self.images, self.fewest = view(cfg), seed, sum(counts), min(counts)

    def sample(self, k: int) -> LabelledBy:
        turn, source = divmod(k, len(self.sets))
        pictures, labels = self.sets[source]
        index = shuffled_index(self.seed, turn, len(pictures))
        random = np.random.default_rng((self.seed, k))
        target = labels[int(random.integers(len(labels)))]
        image = to_tensor(self.view.take(pictures[index], self.view.draw(random)))
        return LabelledBy(
            image, self._placed(labels[index], source), self._placed(target, source), torch.tensor(source)
        )

    def _placed(self, own: NDArray[np.float32], source: int) -> Tensor:
        """The labels of one set among those of all, the others 0."""
        parts = [own if k == source else np.zeros(labels.shape[1]) for k, (_, labels) in enumerate(self.sets)]
        return torch.tensor(np.concatenate(parts), dtype=torch.float32)


class Instances:
    """Two folders of images, and beside each a folder of the masks of its instances (models/data/masks.py)."""

    def __init__(self, cfg: DataConfig, seed: int) -> None:
        share = cfg.cache_mib // 2
        self.folders = [(ImageFolder(list_images(side), cfg.channels, share), MaskFolder(side)) for side in sides(cfg)]
        self.view, self.slots, self.seed, self.images = view(cfg), cfg.instances, seed, len(self.folders[0][0])
        self.fewest = min(len(images) for images, _ in self.folders)

    def sample(self, k: int) -> TwoSets:
        random = np.random.default_rng((self.seed, k))
        first = shuffled_index(self.seed, k, self.images)
        second = int(random.integers(len(self.folders[1][0])))
        return TwoSets(*self._draw(0, first, random), *self._draw(1, second, random))

    def _draw(self, side: int, index: int, random: np.random.Generator) -> tuple[Tensor, Tensor]:
        images, masks = self.folders[side]
        pixels, drawn = images[index], self.view.draw(random)
        found = masks.of(images.files[index], pixels.shape)
        return to_tensor(self.view.take(pixels, drawn)), mask_slots(found, self.view, drawn, self.slots)


# What a system may ask for in `System.data`.
DATASETS: dict[str, Callable[[DataConfig, int], Dataset]] = {
    "unpaired": Unpaired,
    "two_images": TwoWhole,
    "paired": paired,
    "high_resolution": HighResolution,
    "images": OneDomain,
    "labelled": Labelled,
    "adaptation": SourceAndTarget,
    "domains": Domains,
    "labelled_sets": LabelledSets,
    "instances": Instances,
    "bridged": BridgedDomains,
    "boxes": Boxed,
}


def open_dataset(kind: str, cfg: DataConfig, seed: int) -> Dataset:
    """The dataset that yields what a system of `data = kind` trains on."""
    return DATASETS[kind](cfg, seed)


def stack(samples: list[Batch]) -> Batch:
    """Samples → one batch of the same class."""
    cls = type(samples[0])
    return cls(**{f.name: torch.stack([getattr(s, f.name) for s in samples]) for f in fields(cls)})
