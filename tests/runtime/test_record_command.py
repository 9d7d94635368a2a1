"""Recording through the real commands: killed in mid-segment, flagged in four ways, refused in one sentence."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import numpy as np
import pytest

from runtime.frames import Frame
from runtime.manifest import file_sha256

Write = Callable[..., Path]
Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start(root: Path) -> Iterator[Start]:
    """Starts a stream; what still runs at the end of a failed test is killed."""
    started: list[subprocess.Popen[str]] = []

    def begin(*arguments: str | Path, **more: object) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "runtime.stream", "--sink", "null:", "--json", *map(str, arguments)]
        pipe = subprocess.PIPE
        started.append(
            subprocess.Popen(command, cwd=root, stdin=pipe, stdout=pipe, stderr=pipe, text=True, **more)  # type: ignore[call-overload]
        )
        return started[-1]

    yield begin
    for process in started:
        if process.returncode is None:
            process.kill()
            process.communicate()


def finish(process: subprocess.Popen[str]) -> dict[str, dict[str, object]]:
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    summary: dict[str, dict[str, object]] = json.loads(output)
    return summary


def wait_until(condition: Callable[[], object], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def play(path: Path) -> list[Frame]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="bgr24") for frame in container.decode(video=0)]


def lines(video: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in video.with_suffix(".jsonl").read_text().splitlines()]


def test_a_stream_that_is_killed_leaves_every_finished_fragment_and_the_next_names_it(
    write_engine: Write, start: Start, tmp_path: Path
) -> None:
    kept, engine = tmp_path / "kept", write_engine()
    stream = ["--engine", engine, "--source", "synthetic:@50", "--record", kept]
    process = start(*stream)

    def recorded() -> int:
        return sum(path.read_bytes().count(b"\n") - 1 for path in kept.glob("*.part.jsonl"))

    wait_until(lambda: recorded() > 80)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    (video,) = kept.glob("*.mp4")
    assert video.name.endswith(".part.mp4")
    head, *about = lines(video)
    shown = play(video)
    assert len(shown) >= len(about) > 80, "it plays as it is, by any name"
    assert head["engine_sha256"] == file_sha256(engine)
    numbers = [int(str(line["sequence"])) for line in about]
    assert numbers == sorted(set(numbers))
    assert np.diff([float(str(line["t"])) for line in about]).min() > 0
    for frame in shown[:: len(shown) // 10]:
        assert np.abs(frame[:, :64].astype(int) - frame[:, 64:]).mean() < 4, "the engine is the identity"
        assert frame.std() > 20
    process = start(*stream, "--frames", "60")
    summary = finish(process)
    first, second = sorted(kept.glob("*.mp4"))
    assert f"{first.name.removesuffix('.mp4')}.part.mp4" == video.name
    assert lines(first)[-1] == {"recovered": True}
    assert len(play(first)) == len(lines(first)) - 2
    assert summary["recording"]["frames"] == len(play(second)) == 60
    assert lines(second)[-1]["sha256"] == file_sha256(second)


def test_moments_are_flagged_by_a_line_and_by_a_signal(write_engine: Write, start: Start, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    process = start(
        "--engine", write_engine(), "--source", "synthetic:@20", "--record", kept, "--record-events", "1s",
        "--control-stdin",
    )  # fmt: skip
    assert process.stdin is not None
    lock = kept / ".lock"
    wait_until(lock.exists)
    time.sleep(2)  # seconds that nobody will keep
    process.stdin.write("! a scratch on the neck\n")
    process.stdin.flush()
    wait_until(lambda: list(kept.glob("*Z.mp4")))
    time.sleep(1)
    process.send_signal(signal.SIGUSR1)
    wait_until(lambda: len([path for path in kept.glob("*.mp4") if ".part" not in path.name]) > 1)
    process.send_signal(signal.SIGTERM)
    recording = finish(process)["recording"]
    first, second = sorted(kept.glob("*.mp4"))
    for video, event in ((first, "flag: a scratch on the neck"), (second, "flag: SIGUSR1")):
        assert [event] in [line.get("events") for line in lines(video)]
        times = [float(str(line["t"])) for line in lines(video)[1:-1]]
        assert 1 <= max(times) <= 6, "a second before and after, in whole fragments"
    assert (recording["events"], recording["segments"]) == (2, 2)


def test_a_full_disk_is_the_recordings_loss_and_not_the_streams(
    write_engine: Write, start: Start, tmp_path: Path
) -> None:
    def small() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (12_000, 12_000))  # less than the frames that one queue holds

    process = start(
        "--engine", write_engine(), "--source", "synthetic:", "--frames", "400", "--record", tmp_path / "kept",
        preexec_fn=small,
    )  # fmt: skip
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    summary = json.loads(output)
    assert summary["frames"] == 400
    assert errors.count("\n") == 1
    assert "stopped: [Errno 27] File too large; it is tried again" in errors
    recording = summary["recording"]
    assert recording["failures"] == 1
    assert recording["frames"] + recording["dropped"] + recording["lost"] == 400
    assert recording["error"] == "[Errno 27] File too large"
    for video in (tmp_path / "kept").glob("*.mp4"):
        assert len(play(video)) == recording["frames"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--record-keep", "20GB"], "--record-keep says how to record: name the folder with --record DIR"),
        (["--record", "kept", "--record-keep", "20 apples"], "--record-keep '20 apples' is no size"),
        (["--record", "kept", "--record-segment", "5"], "--record-segment '5' is no time above 0"),
        (["--record", "kept", "--record-events", "often"], "--record-events 'often' is no time above 0"),
        (["--record", "/proc/none"], "cannot record into /proc/none"),
    ],
)
def test_what_cannot_be_recorded_is_one_sentence(
    write_engine: Write, start: Start, arguments: list[str], words: str
) -> None:
    process = start("--engine", write_engine(), "--source", "synthetic:", "--frames", "1", *arguments)
    output, errors = process.communicate(timeout=60)
    assert (process.returncode, output) == (2, "")
    assert errors.startswith(f"error: {words}")
    assert errors.count("\n") == 1
    assert not os.path.exists("kept")
