"""What a metric is: a question, what it needs to be answered, and a function that answers it for one column."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import nan
from pathlib import Path
from typing import Any

from benchmarks.quality.features import Features
from benchmarks.quality.networks import Networks
from benchmarks.quality.pictures import Pictures
from runtime.errors import FrameError
from runtime.fit import fit_frame
from runtime.frames import Frame


@dataclass(frozen=True)
class Figure:
    """One number of one column, with its 95 % interval."""

    name: str
    value: float
    low: float = nan  # nan: no interval can be given
    high: float = nan
    best: str = ""  # "high", "low", or "" where neither is better
    unit: str = ""
    note: str = ""  # what must be said with the number
    each: Mapping[str, float] = field(default_factory=dict)  # picture's name → its own number
    drawn: bool = False  # the numbers are of sources, over all that was drawn of them
    beside: Mapping[str, Path] = field(default_factory=dict)  # picture's name → what to show beside it


@dataclass(frozen=True)
class Column:
    """What is judged: the pictures of one engine or folder."""

    name: str
    pictures: Pictures  # of the source's names, where there is a source
    facts: Mapping[str, Any] = field(default_factory=dict)  # of the engine
    draws: Sequence[Pictures] = ()  # of one source each, for as many noises
    flat: Sequence[Frame] = ()  # what becomes of frames of one level each


@dataclass(frozen=True)
class Given:
    """What the columns are judged by; None = not given."""

    features: Features
    networks: Networks
    seed: int = 0
    resamples: int = 1000
    source: Pictures | None = None
    pairs: Pictures | None = None  # the truth, of the source's names
    target: Pictures | None = None  # real pictures of the target domain; the pairs where those are given
    train: Pictures | None = None  # what the generator was trained on, of the target domain
    labels: Pictures | None = None  # class maps, of the source's names
    classes: Mapping[str, str] = field(default_factory=dict)  # picture → the class that is asked for; "" = all others
    consecutive: bool = False  # the source's pictures are frames of a video
    fit: str = "letterbox"


Answer = Callable[[Given, Column], list[Figure]]


@dataclass(frozen=True)
class Metric:
    """A row of the registry."""

    name: str
    question: str
    needs: tuple[str, ...]  # keys of needs.NEEDS
    answer: Answer


def truth(given: Given, column: Column, index: int) -> tuple[Frame, Frame]:
    """A picture of the column and the true one, of one size: a truth of the source's size is brought to the picture's
    in the way in which the source was.

    Raises:
        FrameError: they cannot be compared.
    """
    assert given.pairs is not None
    picture, true = column.pictures[index], given.pairs[index]
    other_size = true.shape[:2] != picture.shape[:2]
    if other_size and given.source is not None and given.source[index].shape[:2] == true.shape[:2]:
        true = fit_frame(true, picture.shape[0], picture.shape[1], given.fit)
    if (picture.shape, picture.dtype) != (true.shape, true.dtype):
        raise FrameError(
            f"{column.name} has {picture.shape} {picture.dtype} for {column.pictures.names[index]!r}, the truth is "
            f"{true.shape} {true.dtype}: give true pictures of that size and kind with --pairs"
        )
    return picture, true


def source_of(draws: Pictures) -> str:
    """The name of the source that they were all made of; "noise" where there was none."""
    name, seeded, _ = draws.names[0].partition("_seed")
    return name if seeded else "noise"
