"""Every bad input of the runtime, through the real command: exit code 2, one sentence, nothing left behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from runtime.manifest import manifest_path

Write = Callable[..., Path]


def run(root: Path, *arguments: str | Path, module: str = "runtime.stream") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", module, *map(str, arguments)]
    environment = {name: value for name, value in os.environ.items() if "DISPLAY" not in name}
    return subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, timeout=60)


def refused(done: subprocess.CompletedProcess[str], *words: str) -> None:
    """Exit code 2, nothing on stdout, and one line on stderr that has every word."""
    assert done.returncode == 2, done
    assert done.stdout == ""
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("error: ")
    for word in words:
        assert word in lines[0]


@pytest.fixture
def out(tmp_path: Path) -> Iterator[Path]:
    """Where a sink would write; whatever happens there must be gone afterwards."""
    folder = tmp_path / "out"
    folder.mkdir()
    yield folder / "out.mp4"
    assert list(folder.iterdir()) == []


def test_missing_engine(root: Path, out: Path) -> None:
    done = run(root, "--engine", "nowhere.plan", "--source", "synthetic:", "--sink", out)
    refused(done, "nowhere.plan", "export.engine")


@pytest.mark.parametrize("module", ["runtime.stream", "runtime.verify"])
def test_engine_with_one_byte_flipped(root: Path, out: Path, write_engine: Write, module: str) -> None:
    engine = write_engine(content=bytes(4096))
    engine.write_bytes(bytes(2000) + b"\x01" + bytes(2095))
    stream = ["--engine", engine, "--source", "synthetic:", "--sink", out]
    refused(run(root, *(stream if module == "runtime.stream" else [engine]), module=module), engine.name, "SHA-256")


def test_missing_manifest(root: Path, out: Path, write_engine: Write) -> None:
    engine = write_engine()
    manifest_path(engine).unlink()
    refused(run(root, "--engine", engine, "--source", "synthetic:", "--sink", out), "no manifest")


def test_truncated_manifest(root: Path, out: Path, write_engine: Write) -> None:
    path = manifest_path(engine := write_engine())
    path.write_text(path.read_text()[:100])
    refused(run(root, "--engine", engine, "--source", "synthetic:", "--sink", out), path.name, "JSON")


@pytest.mark.parametrize(
    ("key", "value", "word"), [("schema", 99, "update inloco"), ("file", "other.onnx", "other.onnx")]
)
def test_manifest_of_another_schema_or_file(
    root: Path, out: Path, write_engine: Write, key: str, value: object, word: str
) -> None:
    path = manifest_path(engine := write_engine())
    path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))
    refused(run(root, "--engine", engine, "--source", "synthetic:", "--sink", out), path.name, word)


def test_unknown_backend(root: Path, out: Path, write_engine: Write) -> None:
    engine = write_engine()
    done = run(root, "--engine", engine, "--source", "synthetic:", "--sink", out, "--backend", "vulkan")
    refused(done, "vulkan", "openvino", "onnxruntime", "null")


def test_backend_that_is_not_installed(root: Path, out: Path, write_engine: Write) -> None:
    absent = "import sys, runpy; sys.modules['openvino'] = None; "
    blocked = absent + "runpy.run_module('runtime.stream', run_name='__main__')"
    arguments = ["--engine", write_engine(), "--source", "synthetic:", "--sink", out, "--backend", "openvino"]
    command = [sys.executable, "-c", blocked, *map(str, arguments)]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=60)
    refused(done, "openvino", "pip install 'inloco[openvino]'")


@pytest.mark.parametrize("backend", ["openvino", "onnxruntime"])
def test_engine_that_is_no_graph(root: Path, out: Path, write_engine: Write, backend: str) -> None:
    pytest.importorskip(backend)
    engine = write_engine(content=b"this is no graph", backend=backend)
    done = run(root, "--engine", engine, "--source", "synthetic:", "--sink", out)
    assert done.returncode == 2
    # Above it stands what the library itself says.
    assert done.stderr.splitlines()[-1].startswith("error: ")
    assert engine.name in done.stderr.splitlines()[-1]
    assert sorted(path.name for path in engine.parent.iterdir()) == [engine.name, f"{engine.name}.json", "out"]


@pytest.mark.parametrize(
    ("source", "word"),
    [
        ("v4l2:77", "no camera 77"),
        ("v4l2:front", "v4l2:N"),
        ("rtsp://127.0.0.1:9/line", "rtsp://127.0.0.1:9/line"),
        ("http://user:secret@127.0.0.1:9/line", "user:…@"),
        ("nowhere.mp4", "nowhere.mp4"),
        ("nowhere/*.png", "nowhere"),
        ("ftp://host/clip", "unknown source 'ftp'"),
        ("synthetic:wide", "WIDTHxHEIGHT"),
    ],
)
def test_source_that_is_not_there(root: Path, out: Path, write_engine: Write, source: str, word: str) -> None:
    refused(run(root, "--engine", write_engine(), "--source", source, "--sink", out), word)


def write_clip(root: Path, write_engine: Write, path: Path) -> None:
    engine = write_engine("clip.onnx")
    assert run(root, "--engine", engine, "--source", "synthetic:", "--sink", path, "--frames", "60").returncode == 0


def test_truncated_video(root: Path, out: Path, write_engine: Write, tmp_path: Path) -> None:
    whole = tmp_path / "whole.mp4"
    write_clip(root, write_engine, whole)
    content = whole.read_bytes()
    for name, kept in {"cut.mp4": len(content) // 2, "headless.mp4": 200, "empty.mp4": 0}.items():
        (tmp_path / name).write_bytes(content[:kept])
        refused(run(root, "--engine", write_engine(), "--source", tmp_path / name, "--sink", out), name)


def write_pictures(folder: Path, count: int, shape: tuple[int, ...] = (48, 64, 3)) -> Path:
    folder.mkdir()
    for index in range(count):
        cv2.imwrite(str(folder / f"{index}.png"), np.full(shape, 40 * index, np.uint8))
    return folder


@pytest.mark.parametrize(("name", "content"), [("1.png", b""), ("1.png", b"hello"), ("1.jpg", b"\xff\xd8\xff\xda cut")])
def test_broken_picture_in_a_folder(
    root: Path, out: Path, write_engine: Write, tmp_path: Path, name: str, content: bytes
) -> None:
    folder = write_pictures(tmp_path / "in", 2)
    (folder / "1.png").unlink()
    (folder / name).write_bytes(content)
    for sink in (out, out.parent / "pictures"):
        refused(run(root, "--engine", write_engine(), "--source", folder, "--sink", sink), str(folder / name))


def test_folder_without_pictures(root: Path, out: Path, write_engine: Write, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "notes.txt").write_text("no picture")
    refused(run(root, "--engine", write_engine(), "--source", tmp_path / "in", "--sink", out), "holds no picture")


@pytest.mark.parametrize(("pictured", "taken"), [((48, 64), 3), ((48, 64, 3), 1)])
def test_picture_of_another_channel_count(
    root: Path, out: Path, write_engine: Write, tmp_path: Path, pictured: tuple[int, ...], taken: int
) -> None:
    folder = write_pictures(tmp_path / "in", 1, pictured)
    done = run(root, "--engine", write_engine(channels=taken), "--source", folder, "--sink", out)
    refused(done, "0.png", "channel")


def test_eight_bit_picture_for_a_sixteen_bit_engine(root: Path, out: Path, write_engine: Write, tmp_path: Path) -> None:
    engine = write_engine(channels=1, dtype="uint16")
    done = run(root, "--engine", engine, "--source", write_pictures(tmp_path / "in", 1, (48, 64)), "--sink", out)
    refused(done, "uint8", "uint16")


@pytest.mark.parametrize("fit", ["letterbox", "crop", "stretch", "tile"])
@pytest.mark.parametrize("size", ["100x90", "20x16", "64x200"])
def test_other_sizes_fit(root: Path, write_engine: Write, tmp_path: Path, fit: str, size: str) -> None:
    """A frame larger or smaller than the engine is no error: each fit says what becomes of it."""
    sink = tmp_path / "pictures"
    source = f"synthetic:{size}"
    done = run(root, "--engine", write_engine(), "--source", source, "--sink", sink, "--frames", "1", "--fit", fit)
    assert done.returncode == 0, done.stderr
    width, height = map(int, size.split("x"))
    expected = (height, width, 3) if fit == "tile" else (48, 64, 3)
    assert cv2.imread(str(sink / "000000.png")).shape == expected


def test_unknown_fit_and_zero_frames_are_refused_by_the_parser(root: Path, write_engine: Write) -> None:
    engine = write_engine()
    assert run(root, "--engine", engine, "--source", "synthetic:", "--fit", "zoom").returncode == 2
    assert run(root, "--engine", engine, "--source", "synthetic:", "--frames", "0").returncode == 2


def test_engine_that_cannot_be_tiled(root: Path, out: Path, write_engine: Write) -> None:
    controls = [{"name": "mask", "kind": "mask", "shape": (1, 1, 48, 64)}]
    path = manifest_path(engine := write_engine())
    path.write_text(json.dumps(json.loads(path.read_text()) | {"controls": controls}))
    done = run(root, "--engine", engine, "--source", "synthetic:", "--sink", out, "--fit", "tile")
    refused(done, "tiled", "mask")


def test_unknown_control(root: Path, out: Path, write_engine: Write) -> None:
    done = run(root, "--engine", write_engine(), "--source", "synthetic:", "--sink", out, "--control", "style=1")
    refused(done, "style", "takes none")


@pytest.mark.parametrize(
    ("sink", "word"),
    [
        ("/proc/out.mp4", "/proc/out.mp4"),
        ("/proc/pictures/", "/proc/pictures"),
        ("nowhere/deep/out.mp4", "nowhere/deep"),
        ("out.gif", "out.gif"),
        ("ftp:out", "unknown sink"),
        ("display:", "no display"),
    ],
)
def test_sink_that_cannot_be_written(root: Path, write_engine: Write, sink: str, word: str) -> None:
    refused(run(root, "--engine", write_engine(), "--source", "synthetic:", "--sink", sink, "--frames", "3"), word)


def test_folder_that_holds_something_is_left_alone(root: Path, write_engine: Write, tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "kept", 2)
    done = run(root, "--engine", write_engine(), "--source", "synthetic:", "--sink", folder, "--frames", "3")
    refused(done, "not empty")
    assert sorted(path.name for path in folder.iterdir()) == ["0.png", "1.png"]


def test_report_that_cannot_be_written(root: Path, out: Path, write_engine: Write) -> None:
    arguments = ["--engine", write_engine(), "--source", "synthetic:", "--sink", out, "--frames", "3"]
    refused(run(root, *arguments, "--report", "/proc/report"), "/proc/report")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder], capture_output=True)
    if mounted.returncode:
        pytest.skip("mounting a small file system needs root")
    yield folder
    subprocess.run(["umount", folder], check=True)


@pytest.mark.parametrize("name", ["out.mp4", "out.mkv", "pictures"])
def test_full_disk(root: Path, write_engine: Write, small_disk: Path, name: str) -> None:
    engine = write_engine(height=240, width=320)
    done = run(root, "--engine", engine, "--source", "synthetic:", "--sink", small_disk / name, "--frames", "400")
    refused(done, name, "No space left")
    assert list(small_disk.iterdir()) == []
