"""What networks see in pictures: each is loaded when it is first asked for, and reads a set of pictures once."""

from __future__ import annotations

from collections.abc import Collection
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from benchmarks.quality.frechet import Vectors
from benchmarks.quality.inception_weights import WAY, Reader, open_inception, prepared
from benchmarks.quality.lpips import Lpips, load_lpips
from benchmarks.quality.pictures import Pictures, as_image, as_rgb
from benchmarks.quality.squeeze import Squeeze, evened
from models.errors import ConfigError
from runtime.errors import SourceError


class Features:
    """LPIPS, SqueezeNet's and Inception's vectors, from files of the user's."""

    def __init__(self, weights: Path | None = None, inception: Path | None = None) -> None:
        self._weights, self._inception = weights, inception
        self._seen: dict[tuple[str, tuple[Path, ...]], tuple[Vectors, Vectors | None]] = {}

    @cached_property
    def lpips(self) -> Lpips:
        """Raises SourceError without its two files."""
        return load_lpips(self._folder())

    @cached_property
    def _squeeze(self) -> Squeeze:
        try:
            return Squeeze(self._folder())
        except ConfigError as error:
            raise SourceError(str(error)) from error

    @cached_property
    def _reader(self) -> tuple[Reader, str]:
        if self._inception is None:
            raise SourceError(f"FID, KID and the Inception score are read by Inception v3: {WAY}")
        return open_inception(self._inception)

    def check(self, needs: Collection[str]) -> None:
        """Open now what will be needed and is given, rather than after the engines have run. Raises SourceError."""
        if "weights" in needs and self._weights is not None:
            assert self.lpips
            assert self._squeeze
        if "inception" in needs and self._inception is not None:
            assert self._reader

    @property
    def inception_note(self) -> str:
        """What is to be said of the Inception that is used."""
        return self._reader[1]

    def squeeze(self, pictures: Pictures) -> Vectors:
        """(N, 1280), evened."""
        key = ("squeeze", pictures.paths)
        if key not in self._seen:
            found = [self._squeeze(as_image(frame)) for frame in tqdm(pictures, desc="SqueezeNet", leave=False)]
            self._seen[key] = evened(torch.cat(found)).double().numpy(), None
        return self._seen[key][0]

    def inception(self, pictures: Pictures) -> tuple[Vectors, Vectors | None]:
        """(N, 2048) features, and (N, 1008) logits where the file has them."""
        key = ("inception", pictures.paths)
        if key not in self._seen:
            read, _ = self._reader
            found = [read(prepared(as_rgb(frame))) for frame in tqdm(pictures, desc="Inception", leave=False)]
            logits = [row for _, row in found if row is not None]
            self._seen[key] = (
                np.stack([row for row, _ in found]).astype(np.float64),
                np.stack(logits).astype(np.float64) if logits else None,
            )
        return self._seen[key]

    def _folder(self) -> Path:
        if self._weights is None:
            raise SourceError("LPIPS and SqueezeNet's features need their weights: name the folder with --weights")
        return self._weights
