"""Answers about all pictures of a column at once, beside sets of real pictures, in the features of a network."""

from __future__ import annotations

from dataclasses import replace
from math import nan

import numpy as np

from benchmarks.quality import inception, squeeze
from benchmarks.quality.against_truth import mean_figure
from benchmarks.quality.bootstrap import set_interval
from benchmarks.quality.frechet import Vectors, few, frechet
from benchmarks.quality.inception_score import inception_score
from benchmarks.quality.kernel import kernel_distance, kernel_interval
from benchmarks.quality.manifold import NEIGHBOURS, covered
from benchmarks.quality.memorisation import COPIED, copying_score, nearest, nearest_index, spacing
from benchmarks.quality.metric import Column, Figure, Given
from runtime.errors import SourceError

RESAMPLES = 200  # at most, of what takes an SVD each
FEWEST_SPACED = 4  # pictures
COLLAPSED = 0.5  # of the spacing of real pictures


def fid(given: Given, column: Column) -> list[Figure]:
    """Only with Inception's weights is it called so."""
    assert given.target is not None
    note = given.features.inception_note
    made, real = (given.features.inception(pictures)[0] for pictures in (column.pictures, given.target))
    return [_frechet(given, _named("FID", note), (made, real), inception.DIMENSIONS, note)]


def kid(given: Given, column: Column) -> list[Figure]:
    """Likewise."""
    assert given.target is not None
    note = given.features.inception_note
    made, real = (given.features.inception(pictures)[0] for pictures in (column.pictures, given.target))
    return [_kernel(given, _named("KID", note), (made, real), note)]


def fd_squeezenet(given: Given, column: Column) -> list[Figure]:
    """Not FID."""
    return [_frechet(given, "FD-SqueezeNet", _squeezed(given, column), squeeze.DIMENSIONS, "")]


def kid_squeezenet(given: Given, column: Column) -> list[Figure]:
    """Not KID."""
    return [_kernel(given, "KID-SqueezeNet", _squeezed(given, column), "")]


def precision_recall(given: Given, column: Column) -> list[Figure]:
    """Both, with intervals over the pictures that are looked for in the manifold; the manifolds stay as they are."""
    assert given.target is not None
    made, real = _squeezed(given, column)
    if min(len(made), len(real)) <= NEIGHBOURS:
        raise SourceError(f"precision and recall need more than {NEIGHBOURS} pictures on either side; give more")
    inside, found = covered(made, real), covered(real, made)
    precision = {name: float(value) for name, value in zip(column.pictures.names, inside, strict=True)}
    recall = {name: float(value) for name, value in zip(given.target.names, found, strict=True)}
    note = f"k = {NEIGHBOURS}, SqueezeNet's features; the paper's are VGG-16's"
    return [
        mean_figure(given, "precision (SqueezeNet)", precision, "high", note=note),
        mean_figure(given, "recall (SqueezeNet)", recall, "high", note=note),
    ]


def score_by_inception(given: Given, column: Column) -> list[Figure]:
    """The Inception score."""
    note = given.features.inception_note
    logits = given.features.inception(column.pictures)[1]
    if logits is None:
        raise SourceError(f"the Inception ONNX has no output of {inception.CLASSES} logits: export it with one")
    value = inception_score(logits)
    interval = set_interval(
        lambda chosen, _: inception_score(logits[chosen]), (len(logits), 1), value, given.seed, given.resamples
    )
    return [Figure(_named("Inception score", note), value, *interval, "high", note=note)]


def memorisation(given: Given, column: Column) -> list[Figure]:
    """How near made pictures stand to training images, beside how near held-out real pictures stand to them."""
    assert given.target is not None
    assert given.train is not None
    if twice := set(given.target.paths) & set(given.train.paths):
        raise SourceError(f"{next(iter(twice))} is in --train and among the held-out pictures; keep them apart")
    train = given.features.squeeze(given.train)
    made, real = _squeezed(given, column)
    distances, apart = nearest(made, train), nearest(real, train)
    score = copying_score(distances, apart)
    names, usual = column.pictures.names, max(float(np.median(apart)), 1e-9)
    ratio = {name: float(distance / usual) for name, distance in zip(names, distances, strict=True)}
    beside = {name: given.train.paths[k] for name, k in zip(names, nearest_index(made, train), strict=True)}
    verdict = "COPIES its training images; " if score < COPIED else ""
    note = f"{verdict}below {COPIED:g} chance is no explanation; 0: as far as held-out pictures are"
    ratios = mean_figure(given, "distance to the nearest training image, held-out = 1", ratio, "high")
    return [replace(ratios, beside=beside), Figure("copying score", score, nan, nan, "high", "σ", note)]


def spread_out(given: Given, column: Column) -> list[Figure]:
    """How far made pictures stand from each other, beside equally many real ones: collapse that no draw shows."""
    made, real = _squeezed(given, column)
    if min(len(made), len(real)) < FEWEST_SPACED:
        raise SourceError(f"spacing needs {FEWEST_SPACED} pictures or more on either side; give more")
    rng, size = np.random.default_rng(given.seed), min(len(made), len(real))
    chosen = np.sort(rng.permutation(len(made))[:size])
    usual = max(float(np.median(spacing(real[rng.permutation(len(real))[:size]]))), 1e-9)
    each = {column.pictures.names[k]: float(d / usual) for k, d in zip(chosen, spacing(made[chosen]), strict=True)}
    figure = mean_figure(given, "distance to the nearest other picture, real = 1", each, "")
    return [replace(figure, note="COLLAPSED: different inputs become one picture" if figure.value < COLLAPSED else "")]


def _named(name: str, note: str) -> str:
    """The published name alone only for the published file: an export of it may have been changed."""
    return f"{name} (weights not verified)" if note else name


def _squeezed(given: Given, column: Column) -> tuple[Vectors, Vectors]:
    assert given.target is not None
    return given.features.squeeze(column.pictures), given.features.squeeze(given.target)


def _frechet(given: Given, name: str, sets: tuple[Vectors, Vectors], dimensions: int, note: str) -> Figure:
    made, real = sets
    sizes = len(made), len(real)
    _refuse_single(name, sizes)
    value = frechet(made, real)
    interval = set_interval(
        lambda a, b: frechet(made[a], real[b]), sizes, value, given.seed, min(RESAMPLES, given.resamples)
    )
    return Figure(name, value, *interval, "low", note="; ".join(filter(None, [note, few(min(sizes), dimensions)])))


def _kernel(given: Given, name: str, sets: tuple[Vectors, Vectors], note: str) -> Figure:
    _refuse_single(name, (len(sets[0]), len(sets[1])))
    interval = kernel_interval(*sets, given.seed, given.resamples)
    return Figure(name, kernel_distance(*sets), *interval, "low", note=note)


def _refuse_single(name: str, sizes: tuple[int, int]) -> None:
    if min(sizes) < 2:
        raise SourceError(f"{name} compares sets: give two pictures or more on either side")
