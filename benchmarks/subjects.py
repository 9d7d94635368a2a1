"""What is measured: an engine opened by one backend, with an input of its own size ready."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

from runtime.controls import default_value
from runtime.engine import BACKENDS, Engine, infer, open_engine
from runtime.frames import Array
from runtime.manifest import Manifest
from runtime.sources.synthetic import draw_pattern


@dataclass(frozen=True)
class Choice:
    """An engine file and the backend to open it with, as the command line names them."""

    path: Path
    backend: str | None = None  # None: the one that the manifest names

    @property
    def text(self) -> str:
        """`file@backend`, without a folder."""
        return self.path.name + (f"@{self.backend}" if self.backend else "")


def parse_choice(text: str) -> Choice:
    """`cyclegan_int8.onnx` or `cyclegan_int8.onnx@onnxruntime`; another word after @ belongs to the file's name."""
    path, at, backend = text.rpartition("@")
    return Choice(Path(path), backend) if at and path and backend in BACKENDS else Choice(Path(text))


class Subject(AbstractContextManager["Subject"]):
    """One open engine. The synthetic frame and the default controls are its input: dense networks take as long for
    any picture."""

    def __init__(self, choice: Choice) -> None:
        self.choice = choice
        self._engine: Engine = open_engine(choice.path, choice.backend)
        self._inputs = example_inputs(self._engine.manifest)

    @property
    def manifest(self) -> Manifest:
        """Of the engine."""
        return self._engine.manifest

    @property
    def backend(self) -> str:
        """With its version."""
        return self._engine.backend

    @property
    def name(self) -> str:
        """`cyclegan_int8 · openvino`: unique for an engine and a backend."""
        return f"{self.choice.path.stem} · {self.backend.split()[0]}"

    def infer(self) -> dict[str, Array]:
        """Translate the frame once: copies to the device, computation and copies back."""
        return infer(self._engine, self._inputs)

    def time_ms(self) -> float:
        """Milliseconds of one translation."""
        start = perf_counter()
        self.infer()
        return (perf_counter() - start) * 1e3

    def __exit__(self, *_: object) -> None:
        self._engine.close()


def example_inputs(manifest: Manifest) -> dict[str, Array]:
    """A synthetic frame (1, H, W, C) where the engine takes one, and the default of every control."""
    inputs: dict[str, Array] = {control.name: default_value(control) for control in manifest.controls}
    if port := manifest.frame:
        pattern = draw_pattern(port.height, port.width, port.channels, port.dtype)
        inputs["frame"] = pattern[None, :, : port.width].copy()
    return inputs
