"""What the C API costs above the engine itself: both are called in turn in one process.

    python -m benchmarks.c_api                       # the identity engine, 256×256×3
    python -m benchmarks.c_api cyclegan_int8.onnx --json

The C function is called through ctypes, whose microsecond counts as overhead; so does the copy of the picture to the
caller's memory, which is also shown by itself.
"""

from __future__ import annotations

import argparse
import ctypes
import json
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter_ns

import numpy as np
from tqdm import tqdm

from benchmarks.machine import describe_machine
from benchmarks.subjects import example_inputs
from runtime.engine import infer, open_engine
from runtime.errors import DONE, EngineError, run_command
from runtime.frames import Array
from runtime.manifest import ImagePort, Manifest, file_sha256, write_manifest

DEFAULT_LIBRARY = Path("build/capi/libinloco.so")
_WARM_UP = 50  # calls


class Image(ctypes.Structure):
    """inloco_image."""

    _fields_ = (
        ("data", ctypes.c_void_p),
        ("row_stride", ctypes.c_uint64),
        ("height", ctypes.c_int32),
        ("width", ctypes.c_int32),
        ("channels", ctypes.c_int32),
        ("bits", ctypes.c_int32),
    )


class Options(ctypes.Structure):
    """inloco_options."""

    _fields_ = (
        ("struct_size", ctypes.c_uint32),
        ("queue", ctypes.c_uint32),
        ("own_thread", ctypes.c_uint32),
        ("reserved", ctypes.c_uint32),
        ("backend", ctypes.c_char_p),
    )


class CEngine:
    """An engine behind the C API, with its own pixels in and out.

    Raises:
        EngineError: the library is not there, or one of its calls failed, in its own words.
    """

    def __init__(self, library: Path, engine: Path, manifest: Manifest, own_thread: bool) -> None:
        if not library.is_file():
            raise EngineError(f"there is no {library}: build it with `make capi`")
        if manifest.frame is None or len(manifest.translated) != 1:
            raise EngineError(f"{engine} does not make one image of one frame, which this benchmark wants")
        self._c = ctypes.CDLL(str(library.resolve()))
        self._c.inloco_last_error.restype = ctypes.c_char_p
        options = Options(ctypes.sizeof(Options), 0, own_thread, 0, None)
        self._handle = ctypes.c_void_p()
        self._check(self._c.inloco_open(bytes(engine), ctypes.byref(options), ctypes.byref(self._handle)))
        self.frame, self.picture = _pixels(manifest.frame), _pixels(manifest.translated[0])
        images = [ctypes.pointer(_image(pixels)) for pixels in (self.frame, self.picture)]
        call = self._c.inloco_translate
        call.argtypes = (ctypes.c_void_p, ctypes.POINTER(Image), ctypes.POINTER(Image), ctypes.c_uint32)
        self._call = partial(call, self._handle, *images)

    def translate(self, deadline_ms: int) -> None:
        """One call of inloco_translate."""
        if status := self._call(deadline_ms):
            self._check(status)

    def close(self) -> None:
        """Close the engine."""
        self._check(self._c.inloco_close(self._handle))

    def _check(self, status: int) -> None:
        if status:
            raise EngineError(self._c.inloco_last_error().decode())


def measure(engine: Path, library: Path, calls: int) -> dict[str, dict[str, float]]:
    """Microseconds by way of calling: the engine's median, the C call's, and the overhead's p10, median and p90."""
    ways = {"in the caller's thread": (False, 0), "with a deadline": (False, 60_000), "own thread": (True, 0)}
    results = {}
    with closing(open_engine(engine)) as bare:
        inputs = example_inputs(bare.manifest)
        for name, (own_thread, deadline_ms) in ways.items():
            with closing(CEngine(library, engine, bare.manifest, own_thread)) as embedded:
                np.copyto(embedded.frame, inputs["frame"][0])
                results[name] = _compare(
                    lambda: infer(bare, inputs),
                    lambda e=embedded, d=deadline_ms: e.translate(d),  # type: ignore[misc]
                    calls,
                    name,
                )
                target = np.empty_like(embedded.picture)
                copies = [_time_us(lambda p=embedded.picture, t=target: np.copyto(t, p)) for _ in range(calls)]  # type: ignore[misc]
                results[name]["copy of the picture"] = round(float(np.median(copies)), 1)
    return results


def _compare(bare: Callable[[], object], through_c: Callable[[], object], calls: int, name: str) -> dict[str, float]:
    for _ in range(_WARM_UP):
        bare()
        through_c()
    pairs = np.array([(_time_us(bare), _time_us(through_c)) for _ in tqdm(range(calls), name, leave=False)])
    overhead = pairs[:, 1] - pairs[:, 0]
    return {
        "engine": round(float(np.median(pairs[:, 0])), 1),
        "through C": round(float(np.median(pairs[:, 1])), 1),
        "overhead p10": round(float(np.percentile(overhead, 10)), 1),
        "overhead": round(float(np.median(overhead)), 1),
        "overhead p90": round(float(np.percentile(overhead, 90)), 1),
    }


def _time_us(call: Callable[[], object]) -> float:
    start = perf_counter_ns()
    call()
    return (perf_counter_ns() - start) / 1e3


def _pixels(port: ImagePort) -> Array:
    return np.zeros(port.shape, port.dtype)


def _image(pixels: Array) -> Image:
    height, width, channels = pixels.shape
    return Image(pixels.ctypes.data, 0, height, width, channels, 8 * pixels.itemsize)


def write_identity(folder: Path, size: int = 256) -> Path:
    """An engine of the null backend for size×size colour frames."""
    path = folder / "identity.engine"
    path.write_bytes(b"identity")
    ports = {name: ImagePort(name, size, size, 3) for name in ("frame", "translated")}
    manifest = Manifest(path.name, {"engine": file_sha256(path)}, "identity", frame=ports["frame"],
                        translated=(ports["translated"],), backend="null")  # fmt: skip
    write_manifest(manifest, path)
    return path


def main() -> int:
    """Measure and print a table, or JSON."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.c_api",
        description="Microseconds that libinloco.so adds to an engine.",
        epilog="example: python -m benchmarks.c_api cyclegan_int8.onnx --calls 500",
    )
    parser.add_argument("engine", nargs="?", type=Path, help="default: the identity engine, 256×256×3")
    parser.add_argument("--library", type=Path, default=DEFAULT_LIBRARY, help="default: %(default)s")
    parser.add_argument("--calls", type=int, default=2000, help="of each kind (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args()
    with TemporaryDirectory() as folder:
        engine = arguments.engine or write_identity(Path(folder))
        results = measure(engine, arguments.library, arguments.calls)
    if arguments.json:
        print(json.dumps({"machine": describe_machine(), "microseconds": results}, indent=2))
        return DONE
    columns = list(next(iter(results.values())))
    print(f"{'µs':<24}" + "".join(f"{column:>20}" for column in columns))
    for name, row in results.items():
        print(f"{name:<24}" + "".join(f"{row[column]:>20.1f}" for column in columns))
    return DONE


if __name__ == "__main__":
    raise SystemExit(run_command(main))
