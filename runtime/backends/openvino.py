"""OpenVINO: the default where there is no NVIDIA GPU. Latency hint, one stream, model cache beside the engine."""

from __future__ import annotations

import os
import shutil
import sys
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from runtime.errors import EngineError
from runtime.frames import Array
from runtime.manifest import Manifest, file_sha256

# The package would also import its model converter, and that a telemetry client: half of the start-up time, and code
# that can talk to the outside. None in `sys.modules` makes the import of it fail, which the package allows for.
sys.modules.setdefault("openvino.tools.ovc", None)  # type: ignore[arg-type]

import openvino as ov  # noqa: E402

_SEAL = "blobs.sha256"
_OPTIONS = {
    "PERFORMANCE_HINT": "LATENCY",
    "NUM_STREAMS": "1",
    # The precision is in the graph. Without this, CPUs with bf16 would compute in it, and the gate never saw that.
    "INFERENCE_PRECISION_HINT": "f32",
}


class OpenVinoEngine:
    """One compiled model; while one request computes on all cores, the next waits inside the library."""

    depth = 2

    def __init__(self, path: Path, manifest: Manifest) -> None:
        self.manifest = manifest
        self.backend = f"openvino {ov.get_version().split('-')[0]}"
        cache = _cache(path, manifest)
        try:
            model = ov.Core().compile_model(path, "CPU", _OPTIONS | ({"CACHE_DIR": str(cache)} if cache else {}))
            requests = [model.create_infer_request() for _ in range(self.depth)]
        except RuntimeError as error:
            if cache:
                _remove(cache)
            raise EngineError(f"OpenVINO cannot load {path}: {_last_line(error)}") from error
        if cache:
            _seal(cache)
        self._names = [output.get_any_name() for output in model.outputs]
        self._idle = deque(requests)
        self._busy: deque[ov.InferRequest] = deque()

    def submit(self, inputs: Mapping[str, Array]) -> None:
        if not self._idle:
            raise EngineError(f"collect() first: {self.depth} frames are already in flight")
        request = self._idle.popleft()
        try:
            request.start_async(dict(inputs), share_inputs=True)
        except RuntimeError as error:
            self._idle.appendleft(request)
            raise EngineError(f"OpenVINO refuses the inputs: {_last_line(error)}") from error
        self._busy.append(request)

    def collect(self) -> dict[str, Array]:
        request = self._busy.popleft()
        self._idle.append(request)  # behind the other, whose turn comes first: the views stay valid meanwhile
        request.wait()
        return {name: request.get_tensor(name).data for name in self._names}

    def close(self) -> None:
        while self._busy:
            self._busy.popleft().wait()
        self._idle.clear()


def _cache(path: Path, manifest: Manifest) -> Path | None:
    """A folder for the compiled model, one per engine content; none where it cannot be written.

    The library loads a damaged cache without a word, so one whose bytes are not those it was sealed with goes.
    """
    if not os.access(path.parent, os.W_OK):
        return None
    folder = path.parent / ".cache" / manifest.sha256["engine"][:16]
    seal = folder / _SEAL
    if not seal.is_file() or seal.read_text() != _digests(folder):
        shutil.rmtree(folder, ignore_errors=True)
    return folder


def _remove(cache: Path) -> None:
    """Leave no empty folders where nothing could be compiled."""
    shutil.rmtree(cache, ignore_errors=True)
    with suppress(OSError):  # other engines may have theirs in there
        cache.parent.rmdir()


def _seal(folder: Path) -> None:
    """Write down the hashes of what is cached, unless that is done or the disk is full."""
    seal, digests = folder / _SEAL, _digests(folder)
    if digests and not seal.exists():
        with suppress(OSError):
            seal.write_text(digests)


def _digests(folder: Path) -> str:
    return "".join(f"{file_sha256(blob)}  {blob.name}\n" for blob in sorted(folder.glob("*.blob")))


def _last_line(error: RuntimeError) -> str:
    """The reason, without the library's own source files and lines."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else "no reason given"


def load(path: Path, manifest: Manifest) -> OpenVinoEngine:
    """Compile a graph for the CPU; raises EngineError in OpenVINO's own words."""
    return OpenVinoEngine(path, manifest)
