"""An exported graph must give the pictures of the network that was trained, on real frames, to one level of 255."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnxruntime as ort
from onnx import ModelProto
from tqdm import tqdm

from calibration.samples import Samples
from runtime.companions import EngineCompanions
from runtime.errors import GateError
from runtime.frames import Array, Frame
from runtime.images import list_images, write_image
from runtime.manifest import ImagePort, Manifest

LIMIT = 1.0  # level of 255
FLOAT_LIMIT = 1e-3  # of the largest value of an output that is no image
REAL_FRAMES, SYNTHETIC_FRAMES = 8, 4
Item = dict[str, Array]  # tensor by name
Reference = Callable[[Item], Item]


@dataclass
class Parity:
    """Gathers the differences between two graphs that should be one; images in levels of 255."""

    max_level: float = 0.0
    float_error: float = 0.0
    _counted: list[tuple[int, int, float]] = field(default_factory=list)  # differing values, values, squared error

    def require(self, outputs: Item, reference: Item) -> None:
        """Count one frame's outputs.

        Raises:
            GateError: they differ by more than one level, or a non-image by more than 1e-3 of its largest value.
        """
        for name, wanted in reference.items():
            if wanted.dtype.kind == "u":
                self._image(name, outputs[name], wanted)
            else:
                self._tensor(name, outputs[name], wanted)

    def figures(self) -> dict[str, float]:
        """For the manifest."""
        different, values, squares = (sum(entry[i] for entry in self._counted) for i in range(3))
        found = {"max_level": self.max_level, "float_error": self.float_error, "limit_level": LIMIT}
        if values:
            found["differing"] = round(different / values, 8)
            found["psnr_db"] = round(min(100.0, 10 * float(np.log10(255**2 * values / max(squares, 1e-9)))), 2)
        return found

    def _image(self, name: str, output: Array, wanted: Array) -> None:
        scale = 255 / int(np.iinfo(wanted.dtype).max)
        errors = np.abs(output.astype(np.float64) - wanted) * scale
        self._counted.append((int((errors > 0).sum()), errors.size, float((errors**2).sum())))
        self.max_level = max(self.max_level, round(float(errors.max()), 4))
        if errors.max() > LIMIT:
            raise GateError(
                f"{name} of the exported graph differs from the trained network by {errors.max():.0f} levels of 255 "
                f"({LIMIT:.0f} allowed): nothing was written; report the network, its export is not faithful"
            )

    def _tensor(self, name: str, output: Array, wanted: Array) -> None:
        error = float(np.abs(output - wanted).max() / max(float(np.abs(wanted).max()), 1e-6))
        self.float_error = max(self.float_error, error)
        if not error <= FLOAT_LIMIT:
            raise GateError(
                f"{name} of the exported graph differs from the trained network by {error:.1e} of its range "
                f"({FLOAT_LIMIT:.0e} allowed): nothing was written; report the network, its export is not faithful"
            )


def runner(model: ModelProto) -> Reference:
    """A function that runs a graph in ONNX Runtime, with the library's own rewriting of graphs off."""
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]

    def run(item: Item) -> Item:
        return dict(zip(names, session.run(names, item), strict=True))

    return run


def measure_parity(model: ModelProto, reference: Reference, items: list[Item]) -> Parity:
    """Compare a graph with its reference on every item.

    Raises:
        GateError: as `Parity.require`.
    """
    parity, run = Parity(), runner(model)
    for item in tqdm(items, desc="parity", unit="frame", leave=False, delay=1.0):
        parity.require(run(item), reference(item))
    return parity


def parity_items(
    ports: Manifest, frames: Path | None, companions: EngineCompanions | None = None
) -> tuple[list[Item], str]:
    """Inputs to compare on, and what they are: up to 8 frames spread over a folder, else synthetic ones.

    Raises:
        SourceError: the folder holds no picture, or a broken one, or one with other channels.
    """
    with TemporaryDirectory() as folder:
        pictures, described = _pictures(ports, frames, companions, Path(folder))
        if ports.frame is None:
            samples = Samples(ports, (), count=SYNTHETIC_FRAMES, companions=companions, references=pictures)
            return [samples[i] for i in range(len(samples))], f"{len(samples)} draws"
        samples = Samples(ports, pictures, companions=companions)
        return [samples[i] for i in range(len(samples))], described


def _pictures(
    ports: Manifest, frames: Path | None, companions: EngineCompanions | None, folder: Path
) -> tuple[tuple[Path, ...], str]:
    """Real pictures, or synthetic ones written to `folder`; of a network without a frame, what its encoder takes."""
    if frames is not None:
        paths = list_images(frames)
        chosen = [paths[i] for i in np.unique(np.linspace(0, len(paths) - 1, REAL_FRAMES).round().astype(int))]
        return tuple(chosen), f"{len(chosen)} frames of {frames.resolve().name}"
    port, rng = ports.frame, np.random.default_rng(0)
    if port is None and companions is not None:
        encoders = [control.companion for control in ports.controls if control.companion in ports.companions]
        port = companions.manifest_of(encoders[0]).frame if encoders else None
    if port is None:
        return (), ""
    written = [write_image(folder / f"{k}.png", synthetic_frame(port, rng)) for k in range(SYNTHETIC_FRAMES)]
    return tuple(written), f"{len(written)} synthetic frames"


def synthetic_frame(port: ImagePort, rng: np.random.Generator) -> Frame:
    """A picture with the statistics of natural ones: amplitudes fall as 1 / frequency; with flat areas and edges."""
    height, width, channels = port.shape
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)[None, :])
    frequency[0, 0] = 1.0
    phases = np.exp(2j * np.pi * rng.random((3, height, width)))
    planes = np.fft.ifft2(phases / frequency).real
    planes = 0.5 + 0.22 * planes / planes.std(axis=(1, 2), keepdims=True)
    mixed = np.moveaxis(0.7 * planes[:1] + 0.3 * planes, 0, -1)[..., :channels]  # channels are alike, not equal
    top, left = rng.integers(height), rng.integers(width)
    mixed[top : top + height // 3, left : left + width // 4] = rng.choice([0.0, 1.0], channels)
    peak = int(np.iinfo(port.dtype).max)
    frame: Frame = (mixed.clip(0, 1) * peak).round().astype(port.dtype)
    return frame
