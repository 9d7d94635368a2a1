"""The gate: a graph in its new precision against the fp32 graph, on held-out real frames. What fails is not
written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from onnx import ModelProto
from tqdm import tqdm

from calibration.evaluate import Graph
from calibration.fidelity import bias, psnr, ssim, worst_tile_psnr
from calibration.fp16 import emulated
from calibration.samples import Samples
from runtime.errors import EngineError
from runtime.frames import Array


@dataclass(frozen=True)
class Thresholds:
    """What a precision must reach on the held-out frames."""

    mean_psnr: float  # dB
    worst_psnr: float  # dB, of the worst frame
    largest_bias: float = 1.0  # levels of 255, either sign, of the mean over all frames


DEFAULTS = {"fp16": Thresholds(50.0, 50.0), "int8": Thresholds(38.0, 30.0)}


@dataclass(frozen=True)
class Figures:
    """Fidelity to fp32 over the held-out frames; PSNR in dB (100 where identical), bias in levels of 255."""

    frames: int
    mean_psnr: float
    p1_psnr: float  # first percentile over the frames
    worst_psnr: float
    worst_tile_psnr: float  # lowest 32x32 tile of any frame
    mean_ssim: float
    worst_ssim: float
    bias: float  # mean over all frames
    worst_bias: float  # of the frame with the largest |bias|

    def failures(self, wanted: Thresholds) -> list[str]:
        """What is missed, in words; empty when the gate passes."""
        missed = []
        if not self.mean_psnr >= wanted.mean_psnr:
            missed.append(f"mean PSNR {self.mean_psnr:.2f} dB < {wanted.mean_psnr:g} dB")
        if not self.worst_psnr >= wanted.worst_psnr:
            missed.append(f"worst frame {self.worst_psnr:.2f} dB < {wanted.worst_psnr:g} dB")
        if not abs(self.bias) <= wanted.largest_bias:
            missed.append(f"|bias| {abs(self.bias):.2f} levels > {wanted.largest_bias:g}")
        return missed


class Judge:
    """Holds the fp32 pictures of some samples and compares candidates with them."""

    def __init__(self, model: ModelProto, samples: Samples, quiet: bool = False) -> None:
        if not samples.manifest.translated:
            raise EngineError(f"{samples.manifest.file} gives no picture to judge by; keep it in fp32")
        self._samples, self._quiet = samples, quiet
        self._images = [port.name for port in samples.manifest.translated]
        self._reference = [self._pictures(Graph(model, self._images), index) for index in range(len(samples))]

    def figures(self, candidate: ModelProto) -> Figures:
        """Fidelity of a candidate."""
        rows = np.array(
            self._rows(
                candidate, lambda a, b: (psnr(a, b), worst_tile_psnr(a, b), ssim(a, b), bias(a, b)), "judging"
            )
        )
        decibels, tiles, similarity, offsets = rows.T
        return Figures(
            frames=len(self._samples),
            mean_psnr=float(decibels.mean()),
            p1_psnr=float(np.percentile(decibels, 1)),
            worst_psnr=float(decibels.min()),
            worst_tile_psnr=float(tiles.min()),
            mean_ssim=float(similarity.mean()),
            worst_ssim=float(similarity.min()),
            bias=float(offsets.mean()),
            worst_bias=float(offsets[np.abs(offsets).argmax()]),
        )

    def says_nothing(self) -> bool:
        """Whether fp32 gives one and the same picture for every sample, which any precision can."""
        columns = zip(*self._reference, strict=True)
        return len(self._samples) > 1 and all(np.ptp(np.stack(column), axis=0).max() <= 1 for column in columns)

    def squared_error(self, candidate: ModelProto) -> float:
        """Mean squared difference over all pictures: unlike decibels, the shares of layers in it nearly add
        up."""
        errors = self._rows(candidate, lambda a, b: (float(((a.astype(np.float64) - b) ** 2).mean()),), "")
        return float(np.mean(errors))

    def _rows(
        self, candidate: ModelProto, compare: Callable[[Array, Array], tuple[float, ...]], title: str
    ) -> list[tuple[float, ...]]:
        graph = Graph(emulated(candidate), self._images)
        indices = tqdm(range(len(self._samples)), desc=title, unit="frame", disable=self._quiet or not title)
        return [
            compare(picture, reference)
            for index in indices
            for picture, reference in zip(self._pictures(graph, index), self._reference[index], strict=True)
        ]

    def _pictures(self, graph: Graph, index: int) -> list[Array]:
        """The translated images of one sample, each (H, W, C)."""
        outputs = graph(self._samples[index])
        return [outputs[name][0] for name in self._images]


def verdict(figures: Figures, wanted: Thresholds) -> dict[str, Any]:
    """What the manifest keeps."""
    missed = figures.failures(wanted)
    return {
        "verdict": "refused" if missed else "passed",
        **_rounded(figures),
        "thresholds": asdict(wanted),
        "missed": missed,
    }


def adjusted(wanted: Thresholds, **values: float | None) -> Thresholds:
    """The thresholds with those replaced that are given."""
    return replace(wanted, **{name: value for name, value in values.items() if value is not None})


def _rounded(figures: Figures) -> dict[str, float]:
    return {name: round(value, 4) for name, value in asdict(figures).items()}
