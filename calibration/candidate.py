"""A graph with everything measured that a lower precision needs; it can be built with any of its layers kept
back."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Protocol

from onnx import ModelProto

from calibration import fp16, int8
from calibration.bias import corrected, shifts
from calibration.methods import METHODS, Histogram
from calibration.ranges import measure
from calibration.samples import Samples
from calibration.trained import Trained
from calibration.wiring import Wiring
from runtime.errors import EngineError
from runtime.frames import Array


class Candidate(Protocol):
    """A precision of a graph, before it is written."""

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the layers in the lower precision, in execution order."""

    def build(self, kept: Collection[str] = ()) -> ModelProto:
        """The graph with all layers in the lower precision but those `kept` in the next higher one."""


@dataclass(frozen=True)
class Fp16:
    """FP16 where it is safe; kept layers stay FP32."""

    model: ModelProto
    nodes: tuple[str, ...]  # safe in FP16

    @property
    def layers(self) -> tuple[str, ...]:
        safe = set(self.nodes)
        return tuple(name for name in fp16.layers(self.model) if name in safe)

    def build(self, kept: Collection[str] = ()) -> ModelProto:
        return fp16.cast_nodes(self.model, [name for name in self.nodes if name not in kept])


@dataclass(frozen=True)
class Int8:
    """INT8 layers behind Q/DQ; every other convolution, and each kept layer, is FP16 where that is safe."""

    model: ModelProto
    layers: tuple[str, ...]
    ranges: Mapping[str, float]
    bias_shifts: Mapping[str, Array]
    halves: tuple[str, ...]  # layers that are safe in FP16
    weight_bits: int

    def build(self, kept: Collection[str] = ()) -> ModelProto:
        inside = [name for name in self.layers if name not in kept]
        exact = corrected(
            self.model, {name: self.bias_shifts[name] for name in inside if name in self.bias_shifts}
        )
        graph = int8.quantise(exact, inside, self.ranges, self.weight_bits)
        return fp16.cast_nodes(graph, [name for name in self.halves if name not in inside])


def fp16_candidate(model: ModelProto, samples: Samples, quiet: bool = False) -> Fp16:
    """Measure magnitudes on the samples and choose what is safe in FP16."""
    magnitudes = measure(model, fp16.measured_tensors(model), samples, quiet)
    return Fp16(model, tuple(fp16.safe_nodes(model, magnitudes)))


@dataclass(frozen=True)
class Measured:
    """What the frames say about a graph, before a method makes ranges of it."""

    model: ModelProto
    layers: tuple[str, ...]
    histograms: Mapping[str, Histogram]
    halves: tuple[str, ...]
    weight_bits: int


def measure_int8(model: ModelProto, policy: int8.Policy, samples: Samples, quiet: bool = False) -> Measured:
    """Measure what the convolutions that may become INT8, and those beside them in FP16, take and give.

    Raises:
        EngineError: the policy leaves no layer.
    """
    layers = int8.candidates(model, policy)
    if not layers:
        raise EngineError(
            "no convolution of this graph may become INT8: pass --ends int8 or --transposed int8, or "
            "use --precision fp16"
        )
    wiring = Wiring(model)
    ports = [
        name
        for layer in fp16.layers(model)
        for name in (*wiring.nodes[layer].input, *wiring.nodes[layer].output)
    ]
    around = [name for name in ports if name not in wiring.constants and wiring.is_float(name)]
    histograms = measure(
        model, list(dict.fromkeys([*int8.activations(model, layers), *around])), samples, quiet
    )
    safe = set(fp16.safe_nodes(model, histograms))
    halves = tuple(name for name in fp16.layers(model) if name in safe)
    return Measured(model, tuple(layers), histograms, halves, policy.weight_bits)


def int8_candidate(measured: Measured, method: str, samples: Samples | None, quiet: bool = False) -> Int8:
    """Ranges by a method of `methods.METHODS`, biases corrected on `samples` (None: left as trained)."""
    ranges = {name: METHODS[method](histogram) for name, histogram in measured.histograms.items()}
    bits, moved = measured.weight_bits, {}
    if samples is not None:
        moved = shifts(measured.model, list(measured.layers), ranges, samples, bits, quiet)
    return Int8(measured.model, measured.layers, ranges, moved, measured.halves, bits)


def trained_candidate(model: ModelProto, trained: Trained) -> Int8:
    """What training learnt, as it is: the other layers stay FP32, as they were in training. FP16 would move some of the
    values that stand between two codes, and each code so changed moves those behind it."""
    layers = tuple(int8.candidates(model, trained.policy))
    return Int8(model, layers, trained.ranges, {}, (), trained.policy.weight_bits)
