"""Several streams of one file, through the command: what the file may say, what is shared, who survives whom."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from runtime.errors import InlocoError
from runtime.manifest import Control, ImagePort, Manifest, file_sha256, write_manifest
from runtime.stream_options import StreamOptions
from runtime.streams import run_streams
from tests.runtime.service.conftest import tinting_graph

Write = Callable[..., Path]
PATIENCE_S = 180.0


@pytest.fixture
def config(tmp_path: Path) -> Callable[[str], Path]:
    """`config(text)`: a file of streams."""

    def write(text: str) -> Path:
        path = tmp_path / "streams.toml"
        path.write_text(text)
        return path

    return write


def start(root: Path, config: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "runtime.stream", "--config", str(config), "--json"]
    return subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_options_beside_the_file_and_an_absent_file_are_refused(root: Path, config: Callable[[str], Path]) -> None:
    for arguments, words in (
        (["--config", "absent.toml"], "cannot read absent.toml"),
        (["--config", str(config('[streams.x]\nengine = "a"')), "--fit", "crop"], "--fit does not go with --config"),
    ):
        command = [sys.executable, "-m", "runtime.stream", *arguments]
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=60)
        assert done.returncode == 2
        assert words in done.stderr
        assert len(done.stderr.splitlines()) == 1


def test_streams_of_one_engine_run_beside_each_other(
    root: Path, config: Callable[[str], Path], write_engine: Write, tmp_path: Path
) -> None:
    path = config(f"""
        engine = "{write_engine()}"
        frames = 30
        [streams.video]
        source = "synthetic:"
        sink = "{tmp_path}/out.mp4"
        [streams.pictures]
        source = "synthetic:96x48@100"
        sink = "{tmp_path}/out/"
        lossless = true
        report = "{tmp_path}/report"
        [streams.ladder]
        source = "synthetic:@50"
        sink = "null:"
        deadline = "20s"
        record = "{tmp_path}/record"
        ladder = "{write_engine("small.onnx", 24, 32)}"
    """)
    with start(root, path) as process:
        output, errors = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, errors
    summary = json.loads(output)
    streams = summary["streams"]
    assert [streams[name]["frames"] for name in ("video", "pictures", "ladder")] == [30, 30, 30]
    assert all({"fps", "dropped", "latency_ms"} <= one.keys() for one in streams.values())
    with av.open(str(tmp_path / "out.mp4")) as video:
        assert len(list(video.decode(video=0))) == 30
    assert len(list((tmp_path / "out").iterdir())) == 30
    assert json.loads((tmp_path / "report" / "report.json").read_text())["frames"] == 30
    assert streams["ladder"]["ladder"]["level"] == 0
    assert streams["ladder"]["recording"]["error"] == ""
    assert [path.suffix for path in (tmp_path / "record").rglob("*.mp4")] == [".mp4"]
    shared = {(one["engine"], one["opened_by"]) for one in summary["engines"]}
    assert shared == {("identity.onnx", 2), ("identity.onnx", 1), ("small.onnx", 1)}, "a watched one is another"


def test_streams_of_one_engine_keep_their_own_controls(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    engine = tmp_path / "tint.onnx"
    engine.write_bytes(tinting_graph(48, 64))
    ports = [ImagePort(name, 48, 64, 3) for name in ("frame", "translated")]
    controls = (Control("style", "style", (1, 3)), Control("season", "label", (1, 2)))
    write_manifest(Manifest(
        engine.name, {"engine": file_sha256(engine)}, frame=ports[0], translated=(ports[1],), controls=controls,
        backend="onnxruntime",
    ), engine)  # fmt: skip
    cv2.imwrite(str(tmp_path / "black.png"), np.zeros((48, 64, 3), np.uint8))
    streams = {
        f"tint{tint}": StreamOptions(
            engine, str(tmp_path / "black.png"), str(tmp_path / f"out{tint}"), controls=(f"style=0,0,{tint / 100}",)
        )
        for tint in (10, 60)
    }
    summary = run_streams(streams)
    assert [one["opened_by"] for one in summary["engines"]] == [2]
    for tint in (10, 60):
        picture = cv2.imread(str(tmp_path / f"out{tint}" / "black.png"))
        assert np.abs(picture.astype(int) - [0, 0, tint]).max() <= 1


def test_nothing_begins_when_one_stream_cannot(write_engine: Write, tmp_path: Path) -> None:
    engine = write_engine()
    good = StreamOptions(engine, "synthetic:", str(tmp_path / "out.mp4"))
    bad = StreamOptions(engine, "synthetic:", str(tmp_path / "out.xyz"))
    with pytest.raises(InlocoError, match="stream 'bad': cannot write"):
        run_streams({"good": good, "bad": bad})
    assert [path.name for path in tmp_path.iterdir() if "out" in path.name] == []


def test_one_that_fails_leaves_the_others_alone(root: Path, config: Callable[[str], Path], write_engine: Write) -> None:
    path = config(f"""
        engine = "{write_engine()}"
        sink = "null:"
        [streams.absent]
        source = "absent.mp4"
        [streams.present]
        source = "synthetic:@100"
        frames = 100
    """)
    with start(root, path) as process:
        output, errors = process.communicate(timeout=PATIENCE_S)
    streams = json.loads(output)["streams"]
    assert process.returncode == 2, errors
    assert "absent.mp4" in streams["absent"]["error"]
    assert "absent.mp4" in errors
    assert "the other streams go on" in errors
    assert streams["present"]["mode"] == "realtime"
    assert streams["present"]["frames"] == 100
    assert "error" not in streams["present"]


@pytest.fixture
def camera(root: Path) -> Iterator[Callable[[int], subprocess.Popen[str]]]:
    """`camera(port)`: an MJPEG camera, killed at the end."""
    started: list[subprocess.Popen[str]] = []

    def begin(port: int) -> subprocess.Popen[str]:
        script = root / "tests" / "runtime" / "mjpeg_server.py"
        process = subprocess.Popen([sys.executable, str(script), str(port)], stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        return process

    yield begin
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def unused_port() -> int:
    """Nobody listens there."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def pictures(folder: Path) -> int:
    return len(list(folder.iterdir())) if folder.is_dir() else 0


def words(folder: Path) -> int:
    """Pictures that say NO SIGNAL."""
    return len(list(folder.glob("*no_signal*"))) if folder.is_dir() else 0


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline, "nothing happened"
        time.sleep(0.05)


def test_a_lost_camera_is_its_streams_own_affair_and_a_signal_ends_all_well(
    root: Path, config: Callable[[str], Path], write_engine: Write, tmp_path: Path,
    camera: Callable[[int], subprocess.Popen[str]], unused_port: int,
) -> None:
    """The camera is away at the start, comes, is killed, and comes back; the other stream never notices."""
    (tmp_path / "video").mkdir()
    path = config(f"""
        engine = "{write_engine()}"
        [streams.lost]
        source = "http://127.0.0.1:{unused_port}/"
        sink = "{tmp_path}/lost/"
        [streams.steady]
        source = "synthetic:@30"
        sink = "{tmp_path}/steady/"
        [streams.file]
        source = "synthetic:@30"
        sink = "{tmp_path}/video/out.mp4"
        lossless = true
    """)
    lost, steady = tmp_path / "lost", tmp_path / "steady"
    with start(root, path) as process:
        try:
            wait_for(lambda: pictures(steady) > 10 and words(lost) > 0, process)
            assert pictures(lost) == words(lost)
            first = camera(unused_port)
            wait_for(lambda: pictures(lost) > words(lost) + 5, process)
            first.kill()
            first.wait()
            before, said = pictures(steady), words(lost)
            wait_for(lambda: words(lost) > said, process)
            wait_for(lambda: pictures(steady) > before + 10, process)
            camera(unused_port)
            shown = pictures(lost) - words(lost)
            wait_for(lambda: pictures(lost) - words(lost) > shown + 5, process)
            process.send_signal(signal.SIGTERM)
            output, errors = process.communicate(timeout=PATIENCE_S)
        finally:
            process.kill()
    assert process.returncode == 0, errors
    streams = json.loads(output)["streams"]
    assert streams["lost"]["losses"] == 2, "away at the start counts too"
    assert streams["lost"]["reconnects"] == 2
    assert streams["lost"]["no_signal"] >= 1
    assert (streams["steady"]["losses"], streams["steady"]["no_signal"]) == (0, 0)
    with av.open(str(tmp_path / "video" / "out.mp4")) as video:
        frames = [frame.to_ndarray(format="bgr24") for frame in video.decode(video=0)]
    assert len(frames) == streams["file"]["frames"] > 0
    assert np.ptp(frames[0]) > 100
