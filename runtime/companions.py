"""The engines beside an engine: they compute its controls from a reference picture (a style encoder) or from noise (a
mapping network). They are opened when first needed, and used and closed by one thread of their own.

    with board_of(Path("stargan_v2.onnx"), ["style=photo.png,domain=cat"]) as board:
        engine.submit({"frame": frame, **board.values()})
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from runtime.control_board import ControlBoard
from runtime.controls import Surroundings, allowed, parse_controls
from runtime.engine import PORTABLE_BACKENDS, Engine, infer, open_engine
from runtime.errors import ControlError, SourceError
from runtime.fit import fit_frame
from runtime.frames import Array
from runtime.images import read_image
from runtime.manifest import PORTABLE, Control, ImagePort, Manifest, read_manifest, verify_engine
from runtime.notes import Say, note

# A reference is cut to the encoder's aspect: black bars, or another aspect, would be part of the style.
_FIT = "crop"


class EngineCompanions:
    """The companions of `engine`, which has been verified; `backend` runs those that are portable graphs."""

    def __init__(self, engine: Path, manifest: Manifest, backend: str | None = None, say: Say = note) -> None:
        self._engine, self._manifest, self._say = engine, manifest, say
        self._backend = backend if backend in PORTABLE_BACKENDS else None
        self._opened: dict[str, Engine] = {}
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="inloco companions")

    def manifest_of(self, role: str) -> Manifest:
        """What a companion takes and gives. Raises ControlError where the bundle has none of that name."""
        if role not in self._manifest.companions:
            names = ", ".join(self._manifest.companions) or "none"
            raise ControlError(f"{self._manifest.file} comes without its {role!r} ({names} beside it): export it again")
        return read_manifest(self._engine.with_name(self._manifest.companions[role]))

    def encode(self, control: Control, picture: Path, options: Sequence[str]) -> Array:
        """The control of a reference picture, which is cut and resized to what the encoder takes, and that is said.

        Raises:
            ControlError: there is no encoder, the picture is no picture of its kind, or an option is wrong or missing.
        """
        manifest = self.manifest_of(control.companion)
        port = manifest.frame
        if port is None:
            raise ControlError(f"control {control.name!r}: {manifest.file} takes no picture")
        try:
            frame = read_image(picture, port.channels, port.dtype)
        except SourceError as error:
            raise ControlError(f"control {control.name!r}: {error}") from error
        if frame.shape[:2] != (port.height, port.width):
            height, width = frame.shape[:2]
            self._say(f"{picture} is {width}×{height}: cut and resized to the {control.companion}'s {_size(port)}")
        fitted = fit_frame(frame, port.height, port.width, _FIT)
        return self._run(control, control.companion, {port.name: fitted[None]} | _own(control, manifest, options, []))

    def sample(self, control: Control, seed: int, options: Sequence[str]) -> Array:
        """A draw of the control's true distribution: noise of that seed through its sampler.

        Raises:
            ControlError: as `encode`.
        """
        manifest = self.manifest_of(control.sampler)
        noise = [f"{own.name}=seed:{seed}" for own in manifest.controls if own.kind == "noise"]
        return self._run(control, control.sampler, _own(control, manifest, options, noise))

    def close(self) -> None:
        """Close all; calling it twice is harmless."""
        if self._opened:
            self._thread.submit(self._close_opened).result()
        self._thread.shutdown()

    def _run(self, control: Control, role: str, inputs: Mapping[str, Array]) -> Array:
        return self._thread.submit(self._compute, control, role, inputs).result()

    def _compute(self, control: Control, role: str, inputs: Mapping[str, Array]) -> Array:
        if role not in self._opened:
            path = self._engine.with_name(self._manifest.companions[role])
            portable = read_manifest(path).backend == PORTABLE
            self._opened[role] = open_engine(path, self._backend if portable else None)
        engine = self._opened[role]
        outputs = infer(engine, inputs)
        wanted = int(np.prod(control.shape))
        for output in engine.manifest.outputs:
            if output.name in outputs and outputs[output.name].size == wanted:
                return np.array(outputs[output.name], np.float32).reshape(control.shape)
        raise ControlError(f"control {control.name!r}: {engine.manifest.file} does not give its {wanted} numbers")

    def _close_opened(self) -> None:
        for engine in self._opened.values():
            engine.close()
        self._opened.clear()


def _size(port: ImagePort) -> str:
    return f"{port.width}×{port.height}"


@contextmanager
def board_of(
    engine: Path, assignments: Sequence[str] = (), fit: str = "letterbox", backend: str | None = None, say: Say = note
) -> Iterator[ControlBoard]:
    """The control board of an engine and its companions, which are closed at the end.

    Raises:
        ManifestError: the engine or a companion fails verification.
        ControlError: an assignment is wrong.
    """
    manifest = read_manifest(engine)
    if not manifest.companions:
        yield ControlBoard(manifest.controls, assignments, Surroundings(manifest, None, fit, say))
        return
    companions = EngineCompanions(engine, verify_engine(engine), backend, say)
    try:
        yield ControlBoard(manifest.controls, assignments, Surroundings(manifest, companions, fit, say))
    finally:
        companions.close()


def _own(control: Control, manifest: Manifest, options: Sequence[str], noise: list[str]) -> dict[str, Array]:
    """The companion's own controls: classes must be named, since a style is of one of them; the rest has defaults."""
    given = {option.partition("=")[0] for option in options}
    for own in manifest.controls:
        if own.kind == "label" and own.name not in given:
            raise ControlError(
                f"control {control.name!r}: say which {own.name} the style is of, as in "
                f"{control.name}=…,{own.name}={own.names[0] if own.names else 0} ({allowed(own)})"
            )
    named = [text for text in noise if text.partition("=")[0] not in given]
    return parse_controls([*options, *named], manifest.controls)
