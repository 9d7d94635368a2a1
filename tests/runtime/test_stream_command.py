"""The main job through the real command: what it prints, writes, imports and leaves after a signal."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from runtime.manifest import manifest_path

Write = Callable[..., Path]


def start(root: Path, *arguments: str | Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "runtime.stream", *map(str, arguments)]
    return subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def summary_of(root: Path, *arguments: str | Path) -> dict[str, object]:
    process = start(root, "--json", *arguments)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert errors == ""
    summary: dict[str, object] = json.loads(output)
    return summary


def read_video(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="bgr24") for frame in container.decode(video=0)]


def test_json_has_what_the_issue_asks_for(root: Path, write_engine: Write) -> None:
    arguments = ["--engine", write_engine(), "--source", "synthetic:", "--sink", "null:", "--frames", "40"]
    summary = summary_of(root, *arguments)
    assert {"frames", "dropped", "fps", "backend", "engine_sha256", "latency_ms"} <= summary.keys()
    assert (summary["frames"], summary["dropped"], summary["backend"]) == (40, 0, "null")
    latency = summary["latency_ms"]
    assert isinstance(latency, dict)
    assert set(latency) == {"capture", "queue", "compute", "sink", "age"}
    for figures in latency.values():
        assert {"mean", "p50", "p95", "p99", "max"} <= figures.keys()
        assert 0 <= figures["p50"] <= figures["p95"] <= figures["p99"] <= figures["max"]


def test_video_plays_in_a_browser_and_keeps_its_colours(root: Path, write_engine: Write, tmp_path: Path) -> None:
    video = tmp_path / "out.mp4"
    summary_of(root, "--engine", write_engine(), "--source", "synthetic:", "--sink", video, "--frames", "30")
    content = video.read_bytes()
    assert 0 < content.find(b"moov") < content.find(b"mdat"), "the index stands in front"
    with av.open(str(video)) as container:
        codec = container.streams.video[0].codec_context
        assert (codec.name, codec.pix_fmt, codec.width, codec.height) == ("h264", "yuv420p", 64, 48)
    pictures = tmp_path / "out"
    summary_of(root, "--engine", write_engine(), "--source", "synthetic:", "--sink", pictures, "--frames", "30")
    originals = [cv2.imread(str(path)) for path in sorted(pictures.iterdir())]
    decoded = read_video(video)
    assert len(decoded) == len(originals) == 30
    difference = np.mean(originals, axis=(1, 2)) - np.mean(decoded, axis=(1, 2))
    assert np.abs(difference).max() < 3, "mean colour of a frame"


def test_lossless_video_to_pictures_drops_nothing_and_side_by_side_shows_both(
    root: Path, write_engine: Write, tmp_path: Path
) -> None:
    video, engine = tmp_path / "in.mp4", write_engine()
    summary_of(root, "--engine", engine, "--source", "synthetic:", "--sink", video, "--frames", "50")
    pictures = tmp_path / "out"
    summary = summary_of(root, "--engine", engine, "--source", video, "--sink", pictures, "--compare", "side")
    assert (summary["frames"], summary["dropped"], summary["mode"]) == (50, 0, "lossless")
    written = sorted(pictures.iterdir())
    assert len(written) == 50
    both = cv2.imread(str(written[7]))
    assert both.shape == (48, 128, 3)
    assert np.array_equal(both[:, :64], both[:, 64:])


def test_pictures_keep_their_names(root: Path, write_engine: Write, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for name in ("b.png", "a.png", "a.bmp"):
        cv2.imwrite(str(tmp_path / "in" / name), np.zeros((48, 64, 3), np.uint8))
    summary_of(root, "--engine", write_engine(), "--source", tmp_path / "in", "--sink", tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.png", "a_000001.png", "b.png"]


def test_gray_sixteen_bit_pictures_pass_unchanged(root: Path, write_engine: Write, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    scan = np.arange(48 * 64, dtype=np.uint16).reshape(48, 64) * 21
    cv2.imwrite(str(tmp_path / "in" / "scan.png"), scan)
    engine = write_engine(channels=1, dtype="uint16")
    summary_of(root, "--engine", engine, "--source", tmp_path / "in", "--sink", tmp_path / "out")
    assert np.array_equal(cv2.imread(str(tmp_path / "out" / "scan.png"), cv2.IMREAD_UNCHANGED), scan)


def test_realtime_drops_what_comes_too_fast_and_counts_it(root: Path, write_engine: Write, tmp_path: Path) -> None:
    arguments = ["--engine", write_engine(height=480, width=640), "--source", "synthetic:@2000", "--frames", "20"]
    summary = summary_of(root, *arguments, "--sink", tmp_path / "out")  # writing a PNG takes longer than 0.5 ms
    assert summary["mode"] == "realtime"
    assert summary["frames"] == 20
    last = max(int(path.stem) for path in (tmp_path / "out").iterdir())
    dropped = summary["dropped"]
    assert isinstance(dropped, int)
    assert dropped > 0
    assert last >= 20, "the sequence numbers show the gaps"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_leaves_a_video_that_plays(root: Path, write_engine: Write, tmp_path: Path, number: int) -> None:
    video = tmp_path / "out.mp4"
    engine = write_engine(height=480, width=640)
    arguments = ["--engine", engine, "--source", "synthetic:@50", "--sink", video, "--lossless", "--json"]
    with start(root, *arguments) as process:
        deadline = time.monotonic() + 20
        while not any(path.stat().st_size for path in tmp_path.glob(".out.mp4*")) and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(number)
        output, errors = process.communicate(timeout=30)
    assert process.returncode == 0, errors
    assert len(read_video(video)) == json.loads(output)["frames"] > 0
    assert list(tmp_path.glob(".out*")) == []


def test_report(root: Path, write_engine: Write, tmp_path: Path) -> None:
    arguments = ["--engine", write_engine(), "--source", "synthetic:", "--sink", "null:", "--frames", "60"]
    summary = summary_of(root, *arguments, "--report", tmp_path / "report")
    written = json.loads((tmp_path / "report" / "report.json").read_text())
    assert summary.items() <= written.items()
    page = (tmp_path / "report" / "report.html").read_text()
    assert page.count("<svg") == 2
    assert page.count("<polyline") == 7, "five stages in the distribution, two lines over time"
    assert "http" not in page.replace("http://www.w3.org/2000/svg", ""), "it needs nothing beside itself"


def test_nothing_heavy_is_imported(root: Path, write_engine: Write) -> None:
    probe = (
        "import sys, runpy\n"
        "for name in ('torch', 'onnx', 'openvino', 'onnxruntime', 'matplotlib', 'scipy'): sys.modules[name] = None\n"
        "runpy.run_module('runtime.stream', run_name='__main__')"
    )
    arguments = ["--engine", write_engine(), "--source", "synthetic:", "--sink", "null:", "--frames", "5"]
    command = [sys.executable, "-c", probe, *map(str, arguments)]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_verify_describes_an_engine_without_a_vendor_library(root: Path, write_engine: Write) -> None:
    engine = write_engine(backend="openvino")
    probe = (
        "import sys, runpy\n"
        "for name in ('torch', 'onnx', 'openvino', 'onnxruntime', 'tensorrt', 'pycuda'): sys.modules[name] = None\n"
        "runpy.run_module('runtime.verify', run_name='__main__')"
    )
    command = [sys.executable, "-c", probe, str(engine)]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "verified" in done.stdout
    assert "48×64" in done.stdout
    done = subprocess.run([*command, "--json"], cwd=root, capture_output=True, text=True, timeout=60)
    assert json.loads(done.stdout) == json.loads(manifest_path(engine).read_text())
