"""libinloco.so as C, C++, plug-ins and Python hosts use it: the promises are checked by programs in tests/runtime/c."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from runtime.capi.build import build, declarations, shared_libpython
from runtime.errors import EngineError
from runtime.manifest import Control

ABI = Path(__file__).parent / "c" / "abi.txt"
STRICT = ("-Wall", "-Wextra", "-Werror", "-pedantic")
CONTROLS = (
    Control("domain", "label", (1, 2), 0, 1, names=("FLAIR", "T1")),
    Control("z", "style", (1, 4), distribution="normal"),
)
CHECKS = (
    "identity", "strides", "refusals", "newer_structs", "controls", "asynchronous", "sigint", "threads", "shared",
    "no_close",
)  # fmt: skip
Compile = Callable[..., Path]


def run(*command: str | Path, **options: object) -> subprocess.CompletedProcess[bytes]:
    """A command that ends within a minute."""
    return subprocess.run([str(word) for word in command], capture_output=True, timeout=60, check=False, **options)  # type: ignore[call-overload, no-any-return]


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The compiled library; skips where it cannot be built."""
    if shutil.which("cc") is None:
        pytest.skip("needs a C compiler")
    try:
        shared_libpython()
    except EngineError as error:
        pytest.skip(str(error))
    return build(tmp_path_factory.mktemp("capi"))


@pytest.fixture(scope="module")
def compile_program(root: Path, library: Path) -> Compile:
    """`compile_program(source, standard)`: a program of `x.c` and what goes with it in `x_*.c`; no warnings."""

    def compile_one(source: Path, standard: str = "c99", *flags: str, against: Path = library) -> Path:
        program = against.parent / source.stem
        compiler = "g++" if source.suffix == ".cpp" else "cc"
        if shutil.which(compiler) is None:
            pytest.skip(f"needs {compiler}")
        link = ("-I", against.parent, "-L", against.parent, "-linloco", f"-Wl,-rpath,{against.parent}")
        sources = [root / source, *sorted((root / source).parent.glob(f"{source.stem}_*.c"))]
        done = run(compiler, *STRICT, f"-std={standard}", *flags, *sources, *link, "-ldl", "-pthread", "-o", program)
        assert done.returncode == 0, done.stderr.decode()
        return program

    return compile_one


@pytest.fixture(scope="module")
def checks(root: Path, compile_program: Compile) -> Path:
    """The program with all checks."""
    return compile_program(Path("tests/runtime/c/checks.c"))


@pytest.fixture(autouse=True)
def at_home(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The library stands in a temporary folder, so it is told where runtime/ is."""
    monkeypatch.setenv("INLOCO_ROOT", str(root))


def slow_graph(size: int) -> bytes:
    """A frame graph of a dozen convolutions of 64 channels at size×size; its output is 0 or 1."""
    rng = np.random.default_rng(0)
    nodes = [helper.make_node("Cast", ["frame"], ["x"], to=TensorProto.FLOAT),
             helper.make_node("Transpose", ["x"], ["y0"], perm=[0, 3, 1, 2])]  # fmt: skip
    weights = []
    for i, (inputs, outputs) in enumerate([(3, 64), *[(64, 64)] * 10, (64, 3)]):
        values = rng.standard_normal((outputs, inputs, 3, 3)).astype(np.float32) / (3 * inputs**0.5)
        weights.append(numpy_helper.from_array(values, f"w{i}"))
        nodes.append(helper.make_node("Conv", [f"y{i}", f"w{i}"], [f"y{i + 1}"], pads=[1, 1, 1, 1]))
    nodes += [helper.make_node("Sigmoid", ["y12"], ["s"]),
              helper.make_node("Transpose", ["s"], ["t"], perm=[0, 2, 3, 1]),
              helper.make_node("Cast", ["t"], ["translated"], to=TensorProto.UINT8)]  # fmt: skip
    return as_model(nodes, size, weights)


def inverting_graph(size: int) -> bytes:
    """A frame graph: 255 − frame."""
    whole = numpy_helper.from_array(np.array(255, np.uint8), "whole")
    return as_model([helper.make_node("Sub", ["whole", "frame"], ["translated"])], size, [whole])


def as_model(nodes: list[onnx.NodeProto], size: int, weights: list[TensorProto]) -> bytes:
    """The bytes of a frame graph."""
    shape = (1, size, size, 3)
    frame, translated = (helper.make_tensor_value_info(n, TensorProto.UINT8, shape) for n in ("frame", "translated"))
    graph = helper.make_graph(nodes, "frame_graph", [frame], [translated], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    return bytes(model.SerializeToString())


@pytest.fixture
def slow_engine(write_engine: Callable[..., Path]) -> Path:
    """An engine that takes tens of milliseconds on any CPU."""
    return write_engine("slow.onnx", 96, 96, content=slow_graph(96), backend="onnxruntime")


@pytest.mark.parametrize("name", CHECKS)
def test_c_program_finds_the_promise_kept(checks: Path, write_engine: Callable[..., Path], name: str) -> None:
    done = run(checks, name, write_engine(controls=CONTROLS))
    assert done.returncode == 0, done.stderr.decode()
    assert done.stderr == b""


def test_a_missed_deadline_leaves_the_picture_untouched(checks: Path, slow_engine: Path) -> None:
    done = run(checks, "deadline", slow_engine)
    assert done.returncode == 0, done.stderr.decode()


def test_memory_stays_flat_over_100_000_calls(checks: Path, write_engine: Callable[..., Path]) -> None:
    done = run(checks, "memory", write_engine(height=16, width=16))
    assert done.returncode == 0, done.stderr.decode()
    assert b"KiB before" in done.stdout


@pytest.fixture(scope="module")
def sanitized_checks(tmp_path_factory: pytest.TempPathFactory, library: Path, compile_program: Compile) -> Path:
    """All checks and the library with the address and undefined-behaviour sanitizers."""
    flags = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-g")
    try:
        sanitized = build(tmp_path_factory.mktemp("sanitized"), flags)
    except EngineError as error:
        pytest.skip(f"this compiler has no sanitizers: {error}")
    return compile_program(Path("tests/runtime/c/checks.c"), "c99", *flags, against=sanitized)


@pytest.mark.parametrize("name", ["strides", "refusals", "controls", "asynchronous", "shared"])
def test_sanitizers_find_nothing(sanitized_checks: Path, write_engine: Callable[..., Path], name: str) -> None:
    # Leaks are not looked for: the interpreter is never finalised. Growth is, above.
    options = os.environ | {"ASAN_OPTIONS": "detect_leaks=0"}
    done = run(sanitized_checks, name, write_engine(controls=CONTROLS), env=options)
    assert done.returncode == 0, done.stderr.decode()


@pytest.mark.parametrize(("source", "standard"), [("translate.c", "c99"), ("pipelined.cpp", "c++11")])
def test_example_translates_raw_frames(
    root: Path, compile_program: Compile, write_engine: Callable[..., Path], source: str, standard: str
) -> None:
    program = compile_program(Path("examples/c") / source, standard)
    engine = write_engine("invert.onnx", 64, 64, content=inverting_graph(64), backend="onnxruntime")
    frames = np.random.default_rng(1).integers(0, 256, (5, 64, 64, 3), np.uint8)
    done = run(program, engine, input=frames.tobytes())
    assert done.returncode == 0, done.stderr.decode()
    np.testing.assert_array_equal(np.frombuffer(done.stdout, np.uint8).reshape(frames.shape), 255 - frames)
    cut = run(program, engine, input=frames.tobytes()[:-1])
    assert cut.returncode == 2
    assert b"error: the last frame" in cut.stderr
    absent = run(program, "absent.onnx")
    assert absent.returncode == 2
    assert b"there is no engine absent.onnx" in absent.stderr


@pytest.mark.parametrize(("language", "standard"), [("c", "c99"), ("c", "c11"), ("c++", "c++11"), ("c++", "c++17")])
def test_header_alone_compiles_cleanly(root: Path, language: str, standard: str) -> None:
    if shutil.which("cc") is None or (language == "c++" and shutil.which("g++") is None):
        pytest.skip("needs gcc and g++")
    compiler = "g++" if language == "c++" else "cc"
    done = run(compiler, *STRICT, f"-std={standard}", "-x", language, "-fsyntax-only", "-", "-I", root / "runtime/capi",
               input=b'#include "inloco.h"\nint main(void) { return INLOCO_OK; }\n')  # fmt: skip
    assert done.returncode == 0, done.stderr.decode()


def test_header_stays_a_page(root: Path) -> None:
    lines = (root / "runtime/capi/inloco.h").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 120
    assert max(map(len, lines)) <= 110


def test_abi_is_the_committed_one(root: Path, library: Path, compile_program: Compile) -> None:
    """To change it on purpose: add fields at the end, raise INLOCO_API_VERSION, and write the list anew."""
    if sys.maxsize < 2**32:
        pytest.skip("the list is that of 64-bit machines")
    symbols = run("nm", "-D", "--defined-only", library).stdout.decode().splitlines()
    sizes = run(compile_program(Path("tests/runtime/c/abi.c"))).stdout.decode().splitlines()
    codes = re.findall(r"^ *(INLOCO_\w+ = \d+)", declarations(root / "runtime/capi/inloco.h"), flags=re.MULTILINE)
    found = [*sorted(line.split()[-1] for line in symbols), *codes, *sizes]
    assert found == ABI.read_text(encoding="ascii").splitlines()


def test_a_plug_in_host_may_hide_unload_and_reload_it(
    library: Path, compile_program: Compile, write_engine: Callable[..., Path]
) -> None:
    done = run(compile_program(Path("tests/runtime/c/plugin.c")), library, write_engine())
    assert done.returncode == 0, done.stderr.decode()


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("INLOCO_PYTHON", "/absent/python3", "there is no Python interpreter /absent/python3"),
        ("INLOCO_ROOT", "/absent", "the runtime does not load"),
    ],
)
def test_a_python_that_does_not_start_is_told(
    compile_program: Compile, write_engine: Callable[..., Path], monkeypatch: pytest.MonkeyPatch,
    variable: str, value: str, words: str,
) -> None:  # fmt: skip
    monkeypatch.setenv(variable, value)
    done = run(compile_program(Path("examples/c/translate.c")), write_engine())
    assert done.returncode == 2
    assert words in done.stderr.decode()


def test_the_hosts_python_variables_and_folder_do_not_matter(
    checks: Path, write_engine: Callable[..., Path], tmp_path: Path
) -> None:
    (tmp_path / "numpy.py").write_text("raise SystemExit('not this one')", encoding="ascii")
    hostile = {"PYTHONHOME": "/absent", "PYTHONPATH": str(tmp_path), "PYTHONSTARTUP": "/absent", "LC_ALL": "C"}
    done = run(checks, "identity", write_engine("ünïcode.onnx"), env=os.environ | hostile, cwd=tmp_path)
    assert done.returncode == 0, done.stderr.decode()


PYTHON_HOST = """
import ctypes, os, signal, sys, threading, time
from pathlib import Path
sys.path.insert(0, os.environ["INLOCO_ROOT"])
from benchmarks.c_api import CEngine
from runtime.errors import EngineError
from runtime.manifest import read_manifest
engine = CEngine(Path(sys.argv[1]), Path(sys.argv[2]), read_manifest(Path(sys.argv[2])), own_thread=False)
engine.translate(0)
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs start with SIGINT ignored
def storm():
    global sent
    while sent < 20:
        time.sleep(0.03)
        os.kill(os.getpid(), signal.SIGINT)
        sent += 1
    stop.set()
stop, sent, inside, outside = threading.Event(), 0, 0, 0
threading.Thread(target=storm).start()
while True:
    try:
        for deadline_ms in (0, 60000):
            try:
                engine.translate(deadline_ms)
            except EngineError:
                inside += 1
        if stop.is_set():
            break
    except KeyboardInterrupt:
        outside += 1
engine.translate(0)
engine.translate(60000)
engine.close()
print(inside, outside, sent)
"""


def test_ctrl_c_in_a_python_host_is_a_status(library: Path, slow_engine: Path) -> None:
    done = run(sys.executable, "-c", PYTHON_HOST, library, slow_engine)
    assert done.returncode == 0, done.stderr.decode()
    inside, outside, sent = map(int, done.stdout.split())
    assert inside >= 1
    assert inside + outside <= sent
