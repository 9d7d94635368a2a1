"""The engines of the shipped example under pytest-benchmark, by the functions that the reports use.

    pytest benchmarks --benchmark-only
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.overhead import bare_fps, stream_fps
from benchmarks.rounds import EXAMPLE
from benchmarks.subjects import Choice, Subject
from runtime.engine import PORTABLE_BACKENDS
from runtime.errors import EngineError

ENGINES = [path.name for path in sorted(EXAMPLE.glob("*.onnx"))]
_FRAMES = 30  # of one run of the stream


@pytest.fixture(params=[f"{name}@{backend}" for name in ENGINES for backend in PORTABLE_BACKENDS])
def subject(request: pytest.FixtureRequest) -> Iterator[Subject]:
    """Every shipped portable engine on every backend that is installed."""
    name, _, backend = request.param.rpartition("@")
    try:
        with Subject(Choice(EXAMPLE / name, backend)) as opened:
            yield opened
    except EngineError as error:
        pytest.skip(str(error))


@pytest.fixture
def shipped() -> Choice:
    """The engine of the demo."""
    path = EXAMPLE / "cyclegan_int8.onnx"
    if not path.is_file():
        pytest.skip(f"there is no {path.name} here; examples/bottling/rebuild.sh makes it")
    return Choice(path)


def test_one_translation(benchmark: BenchmarkFixture, subject: Subject) -> None:
    """Back to back."""
    benchmark.extra_info["backend"] = subject.backend
    translated = benchmark(subject.infer)["translated"]
    assert translated.shape[1:] == subject.manifest.translated[0].shape


def test_bare_loop(benchmark: BenchmarkFixture, shipped: Choice) -> None:
    """Opening the engine included."""
    benchmark.extra_info["fps"] = benchmark(bare_fps, shipped, _FRAMES)


@pytest.mark.parametrize("source", ["synthetic:", "degraded.mp4"])
def test_stream(benchmark: BenchmarkFixture, shipped: Choice, source: str) -> None:
    """Opening the engine included."""
    uri = source if source.endswith(":") else str(Path(EXAMPLE / source))
    benchmark.extra_info["fps"] = benchmark(stream_fps, shipped, uri, _FRAMES)
