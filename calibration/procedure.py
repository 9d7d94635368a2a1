"""The procedure of a quantisation: frames, candidate, gate, explanation and repair."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import onnx
from onnx import ModelProto

from calibration.candidate import Candidate, fp16_candidate, int8_candidate, measure_int8, trained_candidate
from calibration.explain import Suspect, keep_until_passed, rank
from calibration.frames import FEWEST, FEWEST_HELD_OUT, Audit, choose
from calibration.gate import Figures, Judge, Thresholds
from calibration.int8 import Policy
from calibration.methods import METHODS
from calibration.samples import Samples
from calibration.trained import Trained, has_trained, read_trained
from calibration.wiring import OLDEST_OPSET, opset, prepared
from runtime.companions import EngineCompanions
from runtime.errors import EngineError, GateError, SourceError
from runtime.images import list_images
from runtime.manifest import PORTABLE, Manifest, verify_engine

# Frames on which layers and methods are compared; they are calibration frames, never those of the gate.
COMPARED = 4
ALIKE = "the fp32 network gives the same picture whatever it is shown, so the gate says nothing of its quality"


@dataclass(frozen=True)
class Settings:
    """What the user asked for."""

    precision: str  # "int8" or "fp16"
    thresholds: Thresholds
    frames: str | None = None  # folder or glob; None only for generators of noise
    references: str | None = None  # folder or glob of pictures that styles are taken of; None: the frames
    counts: tuple[int, int] = (64, 32)  # calibration and held-out frames
    seed: int = 0
    fit: str = "crop"
    method: str = "mse"
    policy: Policy = field(default_factory=Policy)
    correct_biases: bool = True
    scales: str = "auto"  # "trained", "measured", or trained where the graph carries them
    trained: Trained | None = None  # of the graph, once it is known
    explain: bool = False
    keep: str = ""  # "auto", or names with commas, to keep in the next higher precision
    quiet: bool = False

    @property
    def higher(self) -> str:
        """The precision of kept layers."""
        return "fp16" if self.precision == "int8" else "fp32"


@dataclass(frozen=True)
class Data:
    """The frames of one run."""

    calibration: Samples
    held_out: Samples
    audit: Audit | None  # None for a generator of noise


@dataclass(frozen=True)
class Outcome:
    """What a run found."""

    model: ModelProto
    figures: Figures
    kept: tuple[str, ...]
    suspects: tuple[Suspect, ...]
    method: str
    warnings: tuple[str, ...] = ()


def load_graph(path: Path) -> tuple[ModelProto, Manifest]:
    """A verified fp32 frame graph, prepared, and its manifest.

    Raises:
        ManifestError: the graph fails verification.
        EngineError: it is not a portable fp32 graph, or too old.
    """
    manifest = verify_engine(path)
    if manifest.backend != PORTABLE or manifest.precision != "fp32":
        raise EngineError(
            f"{path} is a {manifest.precision} engine for {manifest.backend}; give the fp32 graph that "
            "`python -m export.onnx` wrote"
        )
    try:
        model = onnx.load(path)
        graph = prepared(model)
    except Exception as error:  # protobuf and onnx raise several unrelated types
        raise EngineError(f"{path} is not an ONNX graph ({error}); export it again") from error
    if opset(graph) < OLDEST_OPSET:
        raise EngineError(
            f"{path} has operator set {opset(graph)}; per-channel scales need {OLDEST_OPSET}: export it "
            "again with a newer one"
        )
    return graph, manifest


def with_trained(settings: Settings, model: ModelProto) -> Settings:
    """The settings with the ranges that a graph carries, where they are wanted: their policy goes with them.

    Raises:
        EngineError: they are wanted and there are none.
    """
    wanted = settings.scales == "trained" or (settings.scales == "auto" and has_trained(model))
    if settings.precision != "int8" or not wanted:
        return settings
    trained = read_trained(model)
    return replace(settings, trained=trained, policy=trained.policy, correct_biases=False)


def gather(manifest: Manifest, settings: Settings, companions: EngineCompanions | None = None) -> Data:
    """Choose and audit the frames; `companions` compute the styles that have no plain distribution."""
    counts = settings.counts
    references = tuple(list_images(settings.references)) if settings.references else ()
    if counts[0] < FEWEST or counts[1] < FEWEST_HELD_OUT:
        raise SourceError(
            f"{counts[0]} calibration and {counts[1]} gate frames are too few to mean anything: at least "
            f"{FEWEST} and {FEWEST_HELD_OUT}"
        )
    if manifest.frame is None:
        samples = Samples(manifest, (), settings.seed, settings.fit, counts[0], companions, references)
        return Data(samples, replace(samples, seed=settings.seed + 1, count=counts[1]), None)
    if settings.frames is None:
        raise SourceError("--frames is missing: give a folder or glob of frames of the real camera")
    chosen = choose(settings.frames, manifest.frame, counts, settings.seed, settings.fit)
    samples = Samples(manifest, chosen.calibration, settings.seed, settings.fit, 0, companions, references)
    return Data(samples, replace(samples, paths=chosen.held_out, seed=settings.seed + 1), chosen.audit)


def make_candidate(model: ModelProto, data: Data, settings: Settings) -> tuple[Candidate, str]:
    """The candidate and the method that made it."""
    if settings.precision == "fp16":
        return fp16_candidate(model, data.calibration, settings.quiet), "casts"
    if settings.trained is not None:
        return trained_candidate(model, settings.trained), "trained"
    measured = measure_int8(model, settings.policy, data.calibration, settings.quiet)
    frames = data.calibration if settings.correct_biases else None
    if settings.method != "auto":
        return int8_candidate(measured, settings.method, frames, settings.quiet), settings.method
    judge = Judge(model, data.calibration.first(COMPARED), settings.quiet)
    made = {method: int8_candidate(measured, method, frames, settings.quiet) for method in METHODS}
    errors = {method: judge.squared_error(candidate.build()) for method, candidate in made.items()}
    best = min(errors, key=lambda method: errors[method])
    return made[best], best


def quantise_graph(model: ModelProto, data: Data, settings: Settings) -> Outcome:
    """Make the candidate, judge it, and explain or repair it as asked."""
    candidate, method = make_candidate(model, data, settings)
    kept = () if settings.keep in ("", "auto") else _named(settings.keep, candidate)
    judge = Judge(model, data.held_out, settings.quiet)
    figures = judge.figures(candidate.build(kept))
    failing, suspects = bool(figures.failures(settings.thresholds)), []
    if settings.explain or (settings.keep == "auto" and failing):
        compared = Judge(model, data.calibration.first(COMPARED), settings.quiet)
        suspects = rank(candidate, compared, kept, settings.quiet)
    if settings.keep == "auto" and failing:
        kept, figures = keep_until_passed(candidate, suspects, judge, settings.thresholds, kept)
    warnings = (ALIKE,) if judge.says_nothing() else ()
    return Outcome(candidate.build(kept), figures, kept, tuple(suspects), method, warnings)


def _named(text: str, candidate: Candidate) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    if unknown := [name for name in names if name not in candidate.layers]:
        raise EngineError(
            f"no layer of this precision is called {unknown[0]!r}; there are {', '.join(candidate.layers)}"
        )
    return names


def refuse(outcome: Outcome, settings: Settings) -> None:
    """Raise GateError where the gate fails."""
    if not (missed := outcome.figures.failures(settings.thresholds)):
        return
    if settings.keep == "auto":
        advice = f"not even with {len(outcome.kept)} layers in {settings.higher}; use {settings.higher}"
    elif outcome.suspects:
        names = ",".join(suspect.layer for suspect in outcome.suspects[:3])
        advice = f"try --keep-{settings.higher} auto, or --keep-{settings.higher} {names}"
    else:
        advice = f"--explain names the layers to blame, --keep-{settings.higher} auto keeps them back"
    raise GateError(f"{settings.precision} is refused and nothing was written: {'; '.join(missed)}; {advice}")
