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
import numpy as np
import pytest

from runtime.errors import ConfigError, InlocoError
from runtime.stream_options import StreamOptions
from runtime.streams import run_streams
from runtime.streams_file import read_streams

Write = Callable[..., Path]
PATIENCE_S = 60.0


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


def test_a_file_says_what_the_command_line_says(config: Callable[[str], Path]) -> None:
    path = config("""
        engine = "a.onnx"
        deadline = "33ms"
        camera = 2
        control = ["style=seed:3", "domain=cat"]
        frozen-after = 0
        realtime = true

        [streams.one]
        sink = "null:"
        ladder = ["b.onnx", "c.onnx"]
        no-original = true

        [streams.two]
        source = "clip.mp4"
        lossless = true
        sink = "out.mp4"
        control = "style=seed:9"
        compare = "side"
        frames = 7
        fit = "crop"
    """)
    streams = read_streams(path)
    assert list(streams) == ["one", "two"]
    assert streams["one"] == StreamOptions(
        Path("a.onnx"), "v4l2:2", "null:", controls=("style=seed:3", "domain=cat"), realtime=True, frozen_after_s=0.0,
        deadline_s=0.033, ladder=(Path("b.onnx"), Path("c.onnx")), original=False,
    )  # fmt: skip
    assert streams["two"] == StreamOptions(
        Path("a.onnx"), "clip.mp4", "out.mp4", controls=("style=seed:9",), realtime=False, frozen_after_s=0.0,
        deadline_s=0.033, frames=7, compare=True, fit="crop",
    )  # fmt: skip


GOOD = 'engine = "a"\nsource = "b"\nsink = "null:"\n'


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("engine = ", "is not TOML"),
        ('engine = "a"', "names no stream: add a table"),
        ("[streams]\nx = 3", r"streams.x is no table; write \[streams.x\]"),
        (f'{GOOD}[streams.x]\nsnik = "d"', "stream 'x': there is no option 'snik'; did you mean 'sink'"),
        (f"{GOOD}frozen_after = 3\n[streams.x]", "there is no option 'frozen_after'; did you mean 'frozen-after'"),
        (f"{GOOD}[streams.x]\nzzzz = 1", "there is no option 'zzzz'; there are engine, "),
        (f"{GOOD}[streams.x]\njson = true", "there is no option 'json'"),
        (f"{GOOD}[streams.x]\ncontrol-stdin = true", "there is no option 'control-stdin'; did you mean 'control-file'"),
        (f'{GOOD}[streams.x]\nfit = "wide"', "argument --fit: invalid choice: 'wide'"),
        (f'{GOOD}[streams.x]\ndeadline = "33"', "'33' is not a time above 0 with its unit, such as 33ms"),
        (f"{GOOD}[streams.x]\nframes = 0", "argument --frames"),
        (f'{GOOD}[streams.x]\nrealtime = "yes"', "realtime is true or false, not 'yes'"),
        (f'{GOOD}[streams.x]\nbackend = ["null"]', "backend is one text or number"),
        (f"{GOOD}[streams.x]\ncontrol = [true]", "control is a list of texts"),
        (f"{GOOD}[streams.x]\nrealtime = true\nlossless = true", "not allowed with argument"),
        ('sink = "null:"\nsource = "b"\n[streams.x]', "it names no engine"),
        ('sink = "null:"\nengine = "b"\n[streams.x]', "it names no source or camera"),
        ('source = "a"\nengine = "b"\n[streams.x]', "it names no sink"),
        (f'{GOOD}sink = "out.mp4"\n[streams.x]\n[streams.y]'.replace('sink = "null:"\n', ""), "both write to out.mp4"),
    ],
)
def test_what_a_file_may_not_say(config: Callable[[str], Path], text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        read_streams(config(text))


def test_options_beside_the_file_and_an_absent_file_are_refused(root: Path, config: Callable[[str], Path]) -> None:
    for arguments, words in (
        (["--config", "absent.toml"], "cannot read absent.toml"),
        (["--config", str(config(f"{GOOD}[streams.x]")), "--fit", "crop"], "--fit does not go with --config"),
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
            wait_for(lambda: pictures(steady) > 10, process)
            assert pictures(lost) == 0
            first = camera(unused_port)
            wait_for(lambda: pictures(lost) > 5, process)
            first.kill()
            first.wait()
            before = pictures(steady)
            wait_for(lambda: any("no_signal" in found.name for found in lost.iterdir()), process)
            wait_for(lambda: pictures(steady) > before + 10, process)
            camera(unused_port)
            shown = pictures(lost)
            wait_for(lambda: pictures(lost) > shown + 5, process)
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
