"""Answers of judges that need no true picture: classifiers, segmenters, still walls, flat frames, repeated draws."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from statistics import fmean

import numpy as np
from tqdm import tqdm

from benchmarks.quality.against_truth import mean_figure
from benchmarks.quality.bootstrap import set_interval
from benchmarks.quality.checkerboard import LEVELS, grid_energy
from benchmarks.quality.diversity import SAME, collapsed, distinct, spread
from benchmarks.quality.flicker import at_rest, still_flicker
from benchmarks.quality.metric import Column, Figure, Given, source_of
from benchmarks.quality.segmentation import IGNORED, counted, scores
from runtime.errors import SourceError
from runtime.fit import fit_frame


def classifier_accuracy(given: Given, column: Column) -> list[Figure]:
    """Share of pictures that the classifier puts into the class that is asked for."""
    each = {}
    for name, frame in zip(column.pictures.names, tqdm(column.pictures, desc="classifier", leave=False), strict=True):
        wanted = given.classes.get(name, given.classes.get(""))
        if wanted is None:
            raise SourceError(f"no class is asked for picture {name!r}: add a line to --classes")
        logits = given.networks.logits(frame)
        each[name] = 100.0 * (int(logits.argmax()) == given.networks.class_index(wanted, logits.size))
    return [mean_figure(given, "classifier accuracy", each, "high", "%")]


def fcn_score(given: Given, column: Column) -> list[Figure]:
    """Three shares of the summed confusion; intervals over pictures."""
    assert given.labels is not None
    counts = []
    for index, frame in enumerate(tqdm(column.pictures, desc="segmenter", leave=False)):
        labels = given.labels[index]
        if labels.shape[2] != 1:
            raise SourceError(f"{given.labels.paths[index]} is no map of class numbers: one channel, {IGNORED} = none")
        seen, classes = given.networks.segmented(frame, labels.shape[:2])
        if int(labels[labels != IGNORED].max(initial=0)) >= classes:
            raise SourceError(
                f"{given.labels.paths[index]} holds class {labels[labels != IGNORED].max()}, the segmenter knows 0 to "
                f"{classes - 1}: number the maps as the segmenter does"
            )
        counts.append(counted(seen, labels[:, :, 0], classes))
    every, value = np.stack(counts), scores(np.sum(counts, axis=0))
    shares = {n: 100 * scores(count).pixel_accuracy for n, count in zip(column.pictures.names, every, strict=True)}
    figures = []
    for place, name in enumerate(("pixel accuracy", "class accuracy", "class IoU")):
        low, high = set_interval(
            lambda chosen, _, place=place: scores(every[chosen].sum(axis=0))[place],  # type: ignore[misc]
            (len(every), 1), value[place], given.seed, given.resamples,
        )  # fmt: skip
        each = shares if place == 0 else {}
        figures.append(Figure(f"FCN score, {name}", 100 * value[place], 100 * low, 100 * high, "high", "%", "", each))
    return figures


def flicker(given: Given, column: Column) -> list[Figure]:
    """Of consecutive pictures, where the reference stands still: the truth where it is given, else the source."""
    reference = given.pairs or given.source
    assert reference is not None
    each, share = {}, []
    pairs = tqdm([*pairwise(range(len(reference)))], desc=f"flicker, {column.name}", leave=False)
    for before, after in pairs:
        one, other = column.pictures[before], column.pictures[after]
        shown = [fit_frame(reference[index], one.shape[0], one.shape[1], given.fit) for index in (before, after)]
        still = at_rest(shown[0], shown[1])
        share.append(float(still.mean()))
        if still.any():
            each[column.pictures.names[after]] = still_flicker(one, other, still)
    if not each:
        raise SourceError("flicker is measured where nothing moves, and everything moves in these pictures")
    where = "truth" if given.pairs else "source"
    note = f"over the {100 * fmean(share):.0f} % of pixels that stand still in the {where}"
    return [mean_figure(given, "flicker where nothing moves", each, "low", "levels of 255", note)]


def checkerboard(given: Given, column: Column) -> list[Figure]:
    """Of flat frames, the one that shows the grid most."""
    found = {f"flat {level}": grid_energy(picture) for level, picture in zip(LEVELS, column.flat, strict=True)}
    worst = max(found, key=lambda name: found[name])
    note = f"mean of {len(found)} flat frames; strongest on {worst}, {found[worst]:.2g}"
    return [Figure("checkerboard on flat frames", fmean(found.values()), best="low", unit="levels of 255", note=note)]


def diversity(given: Given, column: Column) -> list[Figure]:
    """Mean LPIPS between two pictures of one source under different noise."""
    lpips = given.features.lpips
    draws = tqdm(column.draws, desc=f"diversity, {column.name}", leave=False)
    each = {source_of(versions): spread(lpips, [*versions]) for versions in draws}
    note = f"{len(column.draws[0])} draws of each of {len(column.draws)} source(s)"
    figure = mean_figure(given, "diversity, pairwise LPIPS (SqueezeNet)", each, "high", note=note)
    return [replace(figure, drawn=True)]


def mode_collapse(given: Given, column: Column) -> list[Figure]:
    """Share of draws that are a picture of their own."""
    drawn = min(map(len, column.draws))
    found = [distinct([*versions][:drawn]) for versions in tqdm(column.draws, desc="mode collapse", leave=False)]
    each = {source_of(versions): 100 * count / drawn for versions, count in zip(column.draws, found, strict=True)}
    told = f"{drawn} draws of each of {len(found)} source(s); within {SAME:g} levels RMS = one"
    note = collapsed(found, drawn) or told
    return [replace(mean_figure(given, "distinct pictures of all draws", each, "high", "%", note), drawn=True)]
