"""How well a generator restores the held-out frames, beside the dark input and two classical baselines.

    python -m examples.bottling.evaluate --data WORK --engine examples/bottling/cyclegan_int8.onnx

Prints PSNR, SSIM and LPIPS (SqueezeNet) against the clean frames, on the held-out bottles and people, on the car
clip that nothing was trained on, and on the H.264 clip of the demo; then the flicker: the mean absolute difference of
consecutive frames in a static background. WORK is what `examples.bottling.prepare` has made.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from benchmarks.quality.flicker import flicker
from benchmarks.quality.lpips import Lpips, load_lpips
from benchmarks.quality.pixels import psnr, ssim
from examples.bottling.baseline import TUNED, WEIGHTS
from examples.bottling.prepare import read_clip
from runtime.engine import Engine, infer, open_engine
from runtime.errors import DONE, FrameError, SourceError, run_command
from runtime.images import list_images, read_image

Picture = NDArray[np.uint8]  # (360, 640, 3) BGR
Restore = Callable[[Picture], Picture]
Figures = dict[str, dict[str, dict[str, float]]]  # set → method → figure → value

# The wall above the bottles of the bottle clip: nothing moves there.
BACKGROUND = (slice(16, 88), slice(240, 600))
FLICKER_FRAMES = 12  # consecutive
FIGURES = ("psnr", "ssim", "lpips")


def read_pairs(data: Path, a: str, b: str, prefix: str = "") -> tuple[list[Picture], list[Picture]]:
    """Registered frames of equal name: degraded ones of folder `a`, clean ones of folder `b`.

    Raises:
        SourceError: a folder is missing, or a frame has no partner.
    """
    names = [path.name for path in list_images(data / a) if path.name.startswith(prefix)]
    if missing := [name for name in names if not (data / b / name).is_file()]:
        raise SourceError(f"{data / b} has no {missing[0]}, which is in {a}; run examples.bottling.prepare again")
    return [_read(data / a / name) for name in names], [_read(data / b / name) for name in names]


def _read(path: Path) -> Picture:
    return np.asarray(read_image(path, channels=3), dtype=np.uint8)


def evaluation_sets(data: Path) -> dict[str, tuple[list[Picture], list[Picture]]]:
    """Name → (degraded, clean): the held-out thirds, the unseen clip, and the first frames of the H.264 clip."""
    _, still = read_pairs(data, "stillA", "stillB")
    return {
        "bottle": read_pairs(data, "valA", "valB", "bottle"),
        "person": read_pairs(data, "valA", "valB", "person"),
        "car (unseen)": read_pairs(data, "carA", "carB"),
        "clip (H.264)": (list(islice(read_clip(data / "clip.mp4"), len(still)))[::3], still[::3]),
    }


def methods(engine: Engine | None, baselines: bool = True) -> dict[str, Restore]:
    """Name → what makes a frame of a degraded one, in the order of the table."""
    restorers: dict[str, Restore] = {"degraded": lambda frame: frame}
    if baselines:
        restorers |= {name: baseline.restore for name, baseline in TUNED.items()}
    if engine is not None:
        restorers["engine"] = lambda frame: _translate(engine, frame)
    return restorers


def _translate(engine: Engine, frame: Picture) -> Picture:
    port = engine.manifest.frame
    if port is None or port.shape != frame.shape:
        taken = "no frame" if port is None else f"{port.height}x{port.width}x{port.channels}"
        raise FrameError(f"the engine takes {taken}, the frames are {frame.shape}; export it with --size 360x640")
    return np.array(infer(engine, {"frame": frame[None]})["translated"][0], dtype=np.uint8)


def judge(restored: Sequence[Picture], clean: Sequence[Picture], lpips: Lpips) -> dict[str, float]:
    """Mean PSNR (dB), SSIM and LPIPS over the frames."""
    figures = [
        (psnr(a, b), ssim(a, b), lpips.distance(a, b)) for a, b in zip(restored, clean, strict=True)
    ]
    means = np.mean(figures, axis=0)
    return {name: round(float(mean), 4) for name, mean in zip(FIGURES, means, strict=True)}


def evaluate(data: Path, lpips: Lpips, restorers: dict[str, Restore]) -> Figures:
    """Every method on every set."""
    sets = evaluation_sets(data)
    result: Figures = {}
    with tqdm(total=len(sets) * len(restorers), desc="evaluating", unit="set", leave=False) as progress:
        for name, (dark, clean) in sets.items():
            result[name] = {}
            for method, restore in restorers.items():
                result[name][method] = judge([restore(frame) for frame in dark], clean, lpips)
                progress.update()
    return result


def evaluate_flicker(data: Path, restorers: dict[str, Restore]) -> dict[str, dict[str, float]]:
    """Frame-to-frame difference of the static background, in levels: of each method on the sensor's own frames and on
    those of the H.264 clip, and of the clean clip."""
    dark, clean = (frames[:FLICKER_FRAMES] for frames in read_pairs(data, "stillA", "stillB"))
    streamed = list(islice(read_clip(data / "clip.mp4"), len(dark)))
    levels = {"sensor": {"clean": flicker(clean, BACKGROUND)}, "clip (H.264)": {"clean": flicker(clean, BACKGROUND)}}
    for name, frames in (("sensor", dark), ("clip (H.264)", streamed)):
        for method, restore in restorers.items():
            levels[name][method] = flicker([restore(frame) for frame in frames], BACKGROUND)
    return {name: {method: round(v, 3) for method, v in row.items()} for name, row in levels.items()}


def as_table(figures: Figures, levels: dict[str, dict[str, float]]) -> str:
    """Markdown."""
    lines = ["| frames | method | PSNR dB | SSIM | LPIPS |", "|---|---|---|---|---|"]
    for name, rows in figures.items():
        for method, row in rows.items():
            lines.append(f"| {name} | {method} | {row['psnr']:.2f} | {row['ssim']:.3f} | {row['lpips']:.3f} |")
    columns = list(next(iter(levels.values())))
    lines += ["", f"| background flicker, levels | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
    lines += [f"| {name} | " + " | ".join(f"{row[c]:.2f}" for c in columns) + " |" for name, row in levels.items()]
    return "\n".join(lines)


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m examples.bottling.evaluate",
        description="PSNR, SSIM, LPIPS and flicker on the held-out frames of the bottling example.",
        epilog="example: python -m examples.bottling.evaluate --data WORK --engine cyclegan_int8.onnx",
    )
    parser.add_argument("--data", type=Path, required=True, help="folder made by examples.bottling.prepare")
    parser.add_argument("--engine", type=Path, help="engine to judge; without it only the baselines are")
    parser.add_argument("--backend", help="open the engine with this backend")
    parser.add_argument("--weights", type=Path, default=WEIGHTS,
                        help="folder of the LPIPS weights (default %(default)s)")  # fmt: skip
    parser.add_argument("--no-baselines", dest="baselines", action="store_false",
                        help="leave out the classical baselines, which take a second a frame")  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of the tables")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Evaluate and print."""
    options = _arguments(arguments)
    lpips = load_lpips(options.weights)
    with ExitStack() as stack:
        engine = None
        if options.engine is not None:
            engine = stack.enter_context(closing(open_engine(options.engine, options.backend)))
        restorers = methods(engine, options.baselines)
        figures = evaluate(options.data, lpips, restorers)
        levels = evaluate_flicker(options.data, restorers)
    tuned = {name: vars(baseline) for name, baseline in TUNED.items()}
    if options.json:
        print(json.dumps({"figures": figures, "flicker": levels, "baselines": tuned}))
    else:
        print(as_table(figures, levels))
    return DONE


if __name__ == "__main__":
    raise SystemExit(run_command(main))
