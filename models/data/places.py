"""Where the images of a data set are, how they are cut, and in which order they come."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from models.data.images import View
from models.errors import DataError


@dataclass(frozen=True)
class DataConfig:
    """Where the images are and how they are cut."""

    data: str = ""  # holds trainA/ and trainB/ (or train/ for one domain)
    data_a: str = ""  # or: any two folders, or files of small images (models/data/arrays.py)
    data_b: str = ""
    side_by_side: str = ""  # pairs are the halves of one image: "AB" = the left half is the source, "BA" = the right
    bridge_a: str = ""  # folders of further images of either domain (models/data/bridged.py)
    bridge_b: str = ""
    scale: int = 4  # of high-resolution images: how many times smaller the source is
    size: int = 256  # side of the square crops, px
    load_size: int = 286  # the shorter side is resized to this before cropping; 0 = crop from the image as it is
    flip: bool = True
    zoom: float = 0.0  # probability that a sample shows a random part, 0.8 to 1 of the area
    channels: int = 3  # 3 = colour, 1 = gray
    domains: tuple[str, ...] = ()  # of a data set with labels: the names of its class folders
    attributes: tuple[str, ...] = ()  # of a data set with an attribute list: the ones to learn
    instances: int = 4  # of an image with masks or boxes: how many, the greatest first
    least_images: int = 8  # training on fewer of a domain is refused; 1 = for systems that learn from one
    cache_mib: int = 1024  # decoded images kept in memory


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
