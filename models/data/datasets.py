"""Datasets by what they yield. Sample k is a pure function of (seed, k): any process can make it; resuming is exact."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from models.data.arrays import open_labelled, open_pictures
from models.data.batches import Adaptation, DomainImages, LabelledImage, OneImage, Pair, TwoImages
from models.data.images import ImageFolder, View, list_images, to_tensor
from models.errors import DataError
from models.system import Batch


@dataclass(frozen=True)
class DataConfig:
    """Where the images are and how they are cut."""

    data: str = ""  # holds trainA/ and trainB/ (or train/ for one domain)
    data_a: str = ""  # or: any two folders, or files of small images (models/data/arrays.py)
    data_b: str = ""
    side_by_side: str = ""  # pairs are the halves of one image: "AB" = the left half is the source, "BA" = the right
    scale: int = 4  # of high-resolution images: how many times smaller the source is
    size: int = 256  # side of the square crops, px
    load_size: int = 286  # the shorter side is resized to this before cropping; 0 = crop from the image as it is
    flip: bool = True
    zoom: float = 0.0  # probability that a sample shows a random part, 0.8 to 1 of the area
    channels: int = 3  # 3 = colour, 1 = gray
    domains: tuple[str, ...] = ()  # of a data set with labels: the names of its class folders
    cache_mib: int = 1024  # decoded images kept in memory


class Dataset(Protocol):
    """An endless, seeded sequence of samples (batches without the batch axis)."""

    images: int  # in one pass over the (first) domain

    def sample(self, k: int) -> Batch:
        """The k-th sample of this seed."""


class Unpaired:
    """Two folders; `a` goes through its images in a new order each pass, `b` is drawn at random."""

    def __init__(self, cfg: DataConfig, seed: int) -> None:
        self.a, self.b = (open_pictures(side, cfg.channels, cfg.cache_mib // 2) for side in sides(cfg))
        self.view, self.seed, self.images = view(cfg), seed, len(self.a)

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
            readable = matched(self.sources.files, self.targets.files)
            self.sources.files, self.targets.files = readable
        self.view, self.seed, self.images = view(cfg), seed, len(self.sources)

    def sample(self, k: int) -> Pair:
        index = shuffled_index(self.seed, k, self.images)
        source, target = self.sources[index], self.targets[index]
        if source.shape != target.shape:
            raise DataError(
                f"{self.sources.files[index]} is {source.shape[1]}×{source.shape[0]}, its pair "
                f"{self.targets.files[index]} is {target.shape[1]}×{target.shape[0]}: pairs must be registered"
            )
        drawn = self.view.draw(np.random.default_rng((self.seed, k)))
        return Pair(*(to_tensor(self.view.take(pixels, drawn)) for pixels in (source, target)))


class SideBySide:
    """One folder of images that hold a pair each, left and right (pix2pix's sets)."""

    def __init__(self, cfg: DataConfig, seed: int) -> None:
        if cfg.side_by_side not in ("AB", "BA"):
            raise DataError(f'side_by_side is "AB" (the left half is the source) or "BA", not {cfg.side_by_side!r}')
        self.folder = ImageFolder(list_images(only_side(cfg)), cfg.channels, cfg.cache_mib)
        self.left_first = cfg.side_by_side == "AB"
        self.view, self.seed, self.images = view(cfg), seed, len(self.folder)

    def sample(self, k: int) -> Pair:
        index = shuffled_index(self.seed, k, self.images)
        pixels = self.folder[index]
        height, width = pixels.shape[:2]
        if width % 2:
            raise DataError(f"{self.folder.files[index]} is {width}×{height}: an odd width has no two halves")
        halves = (pixels[:, : width // 2], pixels[:, width // 2 :])
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
        self.view, self.scale, self.seed, self.images = view(cfg), cfg.scale, seed, len(self.folder)

    def sample(self, k: int) -> Pair:
        index = shuffled_index(self.seed, k, self.images)
        pixels = self.folder[index]
        if min(pixels.shape[:2]) < self.view.size:
            raise DataError(
                f"{self.folder.files[index]} is {pixels.shape[1]}×{pixels.shape[0]}, smaller than the crops of size = "
                f"{self.view.size}: take it out, for an enlarged image teaches nothing"
            )
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
        self.view, self.seed, self.images = view(cfg), seed, len(self.pictures)

    def sample(self, k: int) -> OneImage:
        pixels = self.pictures[shuffled_index(self.seed, k, self.images)]
        drawn = self.view.draw(np.random.default_rng((self.seed, k)))
        return OneImage(to_tensor(self.view.take(pixels, drawn)))


class Labelled:
    """Images with the class of each; `domains` names the classes (none: all are of class 0)."""

    def __init__(self, cfg: DataConfig, seed: int) -> None:
        self.pictures, self.labels = open_labelled(only_side(cfg), cfg.domains, cfg.channels, cfg.cache_mib)
        self.view, self.seed, self.images = view(cfg), seed, len(self.pictures)

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
        self.view, self.seed, self.images = view(cfg), seed, sum(map(len, self.folders))

    def sample(self, k: int) -> DomainImages:
        random = np.random.default_rng((self.seed, k))
        domain, target = (int(d) for d in random.integers(len(self.folders), size=2))
        image, reference, reference_2 = (self._draw(d, random) for d in (domain, target, target))
        return DomainImages(image, torch.tensor(domain), reference, reference_2, torch.tensor(target))

    def _draw(self, domain: int, random: np.random.Generator) -> Tensor:
        folder = self.folders[domain]
        pixels = folder[int(random.integers(len(folder)))]
        return to_tensor(self.view.take(pixels, self.view.draw(random)))


# What a system may ask for in `System.data`.
DATASETS: dict[str, Callable[[DataConfig, int], Dataset]] = {
    "unpaired": Unpaired,
    "paired": paired,
    "high resolution": HighResolution,
    "images": OneDomain,
    "labelled": Labelled,
    "adaptation": SourceAndTarget,
    "domains": Domains,
}


def open_dataset(kind: str, cfg: DataConfig, seed: int) -> Dataset:
    """The dataset that yields what a system of `data = kind` trains on."""
    return DATASETS[kind](cfg, seed)


def stack(samples: list[Batch]) -> Batch:
    """Samples → one batch of the same class."""
    cls = type(samples[0])
    return cls(**{f.name: torch.stack([getattr(s, f.name) for s in samples]) for f in fields(cls)})


def sides(cfg: DataConfig) -> tuple[Path, Path]:
    """The folders of the two domains; raises DataError when neither form of the settings is given."""
    if cfg.data_a and cfg.data_b:
        return Path(cfg.data_a), Path(cfg.data_b)
    if cfg.data and not (cfg.data_a or cfg.data_b):
        return Path(cfg.data) / "trainA", Path(cfg.data) / "trainB"
    raise DataError("say where the images are: data = a folder with trainA/ and trainB/, or data_a and data_b")


def only_side(cfg: DataConfig) -> Path:
    """The folder of a single domain: data_a, else data/train, else data itself."""
    if cfg.data_a or cfg.data:
        train = Path(cfg.data) / "train"
        return Path(cfg.data_a) if cfg.data_a else train if train.is_dir() else Path(cfg.data)
    raise DataError("say where the images are: data = a folder of images")


def domain_folders(cfg: DataConfig) -> list[Path]:
    """The folder of each domain in data/train, or in data itself; DataError names the folders that there are."""
    root = only_side(cfg)
    found = sorted(path.name for path in root.iterdir() if path.is_dir()) if root.is_dir() else []
    missing = [name for name in cfg.domains if name not in found]
    if missing or len(cfg.domains) < 2:
        wanted = f"no folder for the domain {missing[0]!r}" if missing else "a need for two domains or more"
        raise DataError(f"{root} has {wanted}; set domains to some of its folders: {', '.join(found) or 'it has none'}")
    return [root / name for name in cfg.domains]


def view(cfg: DataConfig) -> View:
    """The crop that a DataConfig asks for."""
    if cfg.channels not in (1, 3):
        raise DataError(f"channels is 1 (gray) or 3 (colour), not {cfg.channels}")
    return View(cfg.size, cfg.load_size, cfg.flip, cfg.zoom)


def shuffled_index(seed: int, k: int, count: int) -> int:
    """The k-th index of an endless walk that visits each of `count` images once per pass, in a new order."""
    epoch, position = divmod(k, count)
    return _pass_order(seed, epoch, count)[position]


@lru_cache(maxsize=8)
def _pass_order(seed: int, epoch: int, count: int) -> tuple[int, ...]:
    return tuple(np.random.default_rng((seed, epoch, count)).permutation(count).tolist())


def matched(sources: list[Path], targets: list[Path]) -> tuple[list[Path], list[Path]]:
    """The files of both sides whose names (without suffix) agree; the others are named. DataError when none agree."""
    by_name = {path.stem: path for path in targets}
    pairs = [(path, by_name[path.stem]) for path in sources if path.stem in by_name]
    lonely = {p.stem for p in sources} ^ {p.stem for p in targets}
    if not pairs:
        raise DataError(f"no image in {sources[0].parent} has a pair of the same name in {targets[0].parent}")
    if lonely:
        names = ", ".join(sorted(lonely)[:5]) + (" …" if len(lonely) > 5 else "")
        print(f"warning: {len(lonely)} images have no pair and are left out: {names}", file=sys.stderr)
    return [source for source, _ in pairs], [target for _, target in pairs]
