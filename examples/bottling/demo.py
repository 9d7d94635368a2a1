"""The main job on the shipped clip: a dark, noisy camera in, a clear picture out.

    python -m examples.bottling.demo --out out

Leaves in the output folder the translated video, a picture with input and output side by side, and the
latency report. Imports only what running an engine needs.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import av
import numpy as np

from runtime.engine import open_engine
from runtime.errors import DONE, EngineError, InlocoError, ManifestError, SourceError, run_command
from runtime.fit import fit_frame
from runtime.frames import Frame
from runtime.images import write_image
from runtime.report import latency_table

HERE = Path(__file__).resolve().parent
CLIP = "degraded.mp4"
GPU_ENGINE = "cyclegan_fp16.plan"
CPU_ENGINE = "cyclegan_int8.onnx"
FIT = "letterbox"


def main(arguments: list[str] | None = None) -> int:
    """Translate the clip, make the picture, print the latency table and the paths."""
    options = parse(arguments)
    clip = options.example / CLIP
    out: Path = options.out
    engine = choose_engine(options.example)
    out.mkdir(parents=True, exist_ok=True)
    video, picture, report = out / "translated.mp4", out / "side_by_side.png", out / "report"
    result = stream(engine, clip, video, report)
    before_after(clip, video, picture, at=result["frames"] // 2)
    print(latency_table(result))
    print(f"video    {video}\npicture  {picture}\nreport   {report / 'report.html'}")
    return DONE


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """The options of the command."""
    parser = argparse.ArgumentParser(
        prog="python -m examples.bottling.demo",
        description="Translate the shipped clip with the shipped engine.",
        epilog="example: python -m examples.bottling.demo --out out",
    )
    parser.add_argument("--example", type=Path, default=HERE, help="folder of the clip and the engines")
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder to write")
    return parser.parse_args(arguments)


def choose_engine(example: Path) -> Path:
    """The plan where it opens on this machine's NVIDIA GPU, else the portable engine; says which and why."""
    plan, portable = example / GPU_ENGINE, example / CPU_ENGINE
    try:
        with closing(open_engine(plan)):
            print(f"engine   {plan.name} on this machine's NVIDIA GPU", flush=True)
        return plan
    except (EngineError, ManifestError) as refusal:
        print(f"engine   {portable.name} on the CPU; {plan.name} does not run here: {refusal}", flush=True)
    return portable


def stream(engine: Path, clip: Path, video: Path, report: Path) -> dict[str, Any]:
    """Run `runtime.stream`, every frame; return the object that it prints.

    Raises:
        InlocoError: the stream refused; its own sentence stands on stderr already.
    """
    words = [
        "-m", "runtime.stream", "--engine", engine, "--source", clip, "--sink", video,
        "--lossless", "--fit", FIT, "--report", report, "--json",
    ]  # fmt: skip
    command = [sys.executable, *map(str, words)]
    print("command ", shlex.join(["python", *command[1:]]), flush=True)
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise InlocoError(f"the stream ended with exit code {done.returncode}")
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def before_after(clip: Path, video: Path, picture: Path, at: int) -> None:
    """Write frame `at` of the clip and of its translation, left and right."""
    after = frame_of(video, at)
    height, width, _ = after.shape
    before = fit_frame(frame_of(clip, at), height, width, FIT)
    write_image(picture, np.concatenate([before, after], axis=1))


def frame_of(video: Path, index: int) -> Frame:
    """Frame `index` (from 0) of a video, (H, W, 3) BGR uint8."""
    with av.open(str(video)) as container:
        for number, frame in enumerate(container.decode(video=0)):
            if number == index:
                return frame.to_ndarray(format="bgr24")
    raise SourceError(f"{video} has no frame {index}")


if __name__ == "__main__":
    raise SystemExit(run_command(main))
