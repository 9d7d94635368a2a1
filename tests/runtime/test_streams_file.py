"""What a file of streams may say, and how what it may not is told."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from runtime.errors import ConfigError
from runtime.recording.options import Keep, RecordOptions
from runtime.stream_options import StreamOptions
from runtime.streams_file import read_streams


@pytest.fixture
def config(tmp_path: Path) -> Callable[[str], Path]:
    """`config(text)`: a file of streams."""

    def write(text: str) -> Path:
        path = tmp_path / "streams.toml"
        path.write_text(text)
        return path

    return write


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
        record = "kept"
        record-events = true
        record-keep = ["20GB", "14d"]
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
        record=RecordOptions(Path("kept"), Keep(20_000_000_000, 14 * 86400.0), around_s=10.0),
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
