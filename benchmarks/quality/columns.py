"""What is judged, as columns: what engines make of the source, finished pictures, and the source itself."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from benchmarks.quality.checkerboard import flat_frames
from benchmarks.quality.metric import Column
from benchmarks.quality.pictures import Pictures, open_folder
from benchmarks.subjects import Choice
from runtime.companions import board_of
from runtime.control_board import ControlBoard
from runtime.engine import Engine, infer, open_engine
from runtime.errors import EngineError, SourceError
from runtime.fit import fit_frame
from runtime.frames import Array, Frame
from runtime.images import read_image, write_image
from runtime.manifest import Manifest

IDENTITY = "identity"  # the column of the source itself
_SEEDED = re.compile(r"(.*?)_?seed(\d+)")  # the names that runtime.sample gives


@dataclass(frozen=True)
class Drawing:
    """How engines with a control to draw are run."""

    seed: int = 0
    draws: int = 10  # of each of `sources` pictures, for what compares them
    sources: int = 20
    count: int = 256  # pictures of a generator that takes none
    controls: tuple[str, ...] = ()
    fit: str = "letterbox"


def engine_names(choices: Sequence[Choice]) -> list[str]:
    """The files' names without suffix; with their folders where these alone tell them apart."""
    stems = [choice.path.stem for choice in choices]
    files = {choice.path.resolve() for choice in choices}
    if len(set(stems)) == len(files):
        return stems
    return [f"{choice.path.resolve().parent.name}/{stem}" for choice, stem in zip(choices, stems, strict=True)]


def of_engine(choice: Choice, name: str, source: Pictures | None, drawing: Drawing, work: Path) -> Column:
    """Translate the source (or draw, where the engine takes no picture) into PNG files below `work`.

    Picture k is made with the noise of seed `drawing.seed` + k, where there is noise that no --control sets.

    Raises:
        InlocoError: the engine cannot be opened or run, or there is no source that it needs.
    """
    with ExitStack() as stack:
        board = stack.enter_context(board_of(choice.path, drawing.controls, drawing.fit, choice.backend))
        engine = stack.enter_context(closing(open_engine(choice.path, choice.backend)))
        manifest, name = engine.manifest, f"{name} · {engine.backend.split()[0]}"
        if len(manifest.translated) != 1:
            count = len(manifest.translated)
            raise EngineError(f"{choice.path} gives {count} pictures at once; export an engine that gives one")
        if manifest.frame is not None and source is None:
            raise SourceError(f"{choice.path} translates pictures: name their folder with --source")
        run = _Run(engine, board, drawing, work, name)
        noise = f"picture k has the seed {drawing.seed} + k" if run.draws_noise else "none"
        facts = {"file": choice.path.name, "sha256": manifest.sha256["engine"], "backend": engine.backend,
                 "precision": manifest.precision, "system": manifest.system, "noise": noise}  # fmt: skip
        if manifest.frame is None:
            pictures = run.drawn()
            return Column(name, pictures, facts, [pictures])
        assert source is not None
        return Column(name, run.translated(source), facts, run.draws(source), run.flat())


class _Run:
    """One engine at work."""

    def __init__(self, engine: Engine, board: ControlBoard, drawing: Drawing, work: Path, name: str) -> None:
        self._engine, self._board, self._drawing, self._work, self._name = engine, board, drawing, work, name
        given = {text.partition("=")[0] for text in drawing.controls}
        self._noises = [c.name for c in board.controls if (c.distribution or c.sampler) and c.name not in given]

    @property
    def draws_noise(self) -> bool:
        """Whether there is noise that no --control sets."""
        return bool(self._noises)

    @property
    def _manifest(self) -> Manifest:
        return self._engine.manifest

    def translated(self, source: Pictures) -> Pictures:
        """One picture for each of the source."""
        seeds = range(self._drawing.seed, self._drawing.seed + len(source))
        wanted = zip(source.names, source.paths, seeds, strict=True)
        return self._kept("one", len(source), ((name, self._inputs(path, seed)) for name, path, seed in wanted))

    def drawn(self) -> Pictures:
        """Pictures of noise alone."""
        seeds = range(self._drawing.seed, self._drawing.seed + self._drawing.count)
        return self._kept("drawn", len(seeds), ((f"seed{seed}", self._inputs(None, seed)) for seed in seeds))

    def draws(self, source: Pictures) -> list[Pictures]:
        """Several pictures for each of a few of the source, spread evenly; none where nothing is drawn."""
        if not self._noises:
            return []
        few = np.unique(np.linspace(0, len(source) - 1, self._drawing.sources).round().astype(int))
        seeds = range(self._drawing.seed, self._drawing.seed + self._drawing.draws)
        return [
            self._kept(f"draws{k}", len(seeds), (
                (f"{source.names[k]}_seed{seed}", self._inputs(source.paths[k], seed)) for seed in seeds
            )) for k in few
        ]  # fmt: skip

    def flat(self) -> list[Frame]:
        """What becomes of flat frames."""
        assert self._manifest.frame is not None
        return [self._picture(self._board.values() | {self._manifest.frame.name: frame[None]})
                for frame in flat_frames(self._manifest.frame)]  # fmt: skip

    def _inputs(self, path: Path | None, seed: int) -> dict[str, Array]:
        self._board.update([f"{noise}=seed:{seed}" for noise in self._noises])
        inputs, port = self._board.values(), self._manifest.frame
        if path is not None and port is not None:
            frame = read_image(path, port.channels, port.dtype)
            inputs[port.name] = fit_frame(frame, port.height, port.width, self._drawing.fit)[None]
        return inputs

    def _picture(self, inputs: Mapping[str, Array]) -> Frame:
        return np.array(infer(self._engine, inputs)[self._manifest.translated[0].name][0])

    def _kept(self, folder: str, count: int, inputs: Iterator[tuple[str, dict[str, Array]]]) -> Pictures:
        where = self._work / folder
        paths: list[Path] = []
        names: list[str] = []
        where.mkdir(parents=True, exist_ok=True)
        for name, given in tqdm(inputs, total=count, desc=self._name, unit="picture", leave=False):
            paths.append(write_image(where / f"{len(paths):06}.png", self._picture(given)))
            names.append(name)
        return Pictures(paths, names)


def of_folder(name: str, where: Path, source: Pictures | None) -> Column:
    """Finished pictures; NAME_seed0.png, NAME_seed1.png … are draws of one source, of which the first is the picture.

    Raises:
        SourceError: there are none, or one of the source has none.
    """
    found = open_folder(where)
    groups: dict[str, list[tuple[int, Path]]] = defaultdict(list)
    for path, picture in zip(found.paths, found.names, strict=True):
        seeded = _SEEDED.fullmatch(picture)
        groups[seeded[1] if seeded else picture].append((int(seeded[2]) if seeded else 0, path))
    draws = [_versions(group, versions) for group, versions in groups.items() if len(versions) > 1]
    if set(groups) == {""}:  # made of noise alone
        return Column(name, draws[0] if draws else found, {"folder": where.name}, draws)
    pictures = Pictures([min(versions)[1] for versions in groups.values()], list(groups))
    if source is None:
        return Column(name, pictures, {"folder": where.name}, draws)
    matched = pictures.named(source.names, name)
    if len(matched) < len(pictures):
        few = f"{name} has {len(pictures)} pictures, of which {len(matched)} have a partner"
        raise SourceError(f"{few}: take the others out")
    return Column(name, matched, {"folder": where.name}, draws)


def _versions(group: str, versions: Sequence[tuple[int, Path]]) -> Pictures:
    ordered = sorted(versions)
    return Pictures([path for _, path in ordered], [f"{group}_seed{seed}".lstrip("_") for seed, _ in ordered])


def of_source(source: Pictures, like: Column, fit: str, work: Path) -> Column:
    """The source as it is, which costs nothing, at the size of `like`'s pictures."""
    if like.pictures[0].shape[:2] == source[0].shape[:2]:
        return Column(IDENTITY, source)
    height, width = like.pictures[0].shape[:2]
    work.mkdir(parents=True, exist_ok=True)
    paths = [write_image(work / f"{k:06}.png", fit_frame(frame, height, width, fit)) for k, frame in enumerate(source)]
    return Column(IDENTITY, Pictures(paths, source.names))


def alike(one: Column, other: Column) -> bool:
    """Whether two columns have pictures of the same channels and depth."""
    first, second = one.pictures[0], other.pictures[0]
    return (first.shape[2], first.dtype) == (second.shape[2], second.dtype)
