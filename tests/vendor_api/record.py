"""Record what the real bindings of TensorRT, TensorRT-RTX, cuda-bindings and pycuda offer, as JSON beside this file.

    python tests/vendor_api/record.py tensorrt-10.3 tensorrt-10.16 tensorrt-11.4    # downloads the wheels
    python tests/vendor_api/record.py tensorrt-rtx cuda-bindings pycuda             # reads what is installed

TensorRT's own libraries are not on PyPI, but its Python bindings are: they are loaded over empty stand-ins of those
libraries, which is enough to read every name and signature. The fakes of the tests are made from these records, so they
refuse whatever the real bindings refuse.
"""

from __future__ import annotations

import importlib
import inspect
import json
import re
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
# Record → pip requirement and the major version in the names of the libraries that it links.
WHEELS = {
    "tensorrt-10.3": ("tensorrt_cu12_bindings==10.3.0", 10),
    "tensorrt-10.16": ("tensorrt_cu12_bindings==10.16.0.72", 10),
    "tensorrt-11.4": ("tensorrt_cu13_bindings==11.4.0.106", 11),
}
CLASSES = (
    "Builder", "BuilderFlag", "ComputeCapability", "CudaGraphStrategy", "DataType", "DeviceType",
    "HardwareCompatibilityLevel", "IBuilderConfig", "ICudaEngine", "IExecutionContext", "IHostMemory", "ILogger",
    "INetworkDefinition", "IProgressMonitor", "IRuntimeConfig", "ITimingCache", "MemoryPoolType",
    "NetworkDefinitionCreationFlag", "OnnxParser", "ParserError", "Runtime", "TensorIOMode",
)  # fmt: skip
# What a stand-in library must export for the bindings to load.
SYMBOLS = (
    "createInferBuilder_INTERNAL", "createInferRefitter_INTERNAL", "createInferRuntime_INTERNAL",
    "createNvOnnxParserRefitter_INTERNAL", "createNvOnnxParser_INTERNAL", "getBuilderPluginRegistry",
    "getNvOnnxParserVersion", "getPluginRegistry", "initLibNvInferPlugins",
)  # fmt: skip
CUDA_FUNCTIONS = (
    "cudaDeviceGetAttribute", "cudaEventCreateWithFlags", "cudaEventDestroy", "cudaEventRecord",
    "cudaEventSynchronize", "cudaFree", "cudaFreeHost", "cudaGraphDestroy", "cudaGraphExecDestroy",
    "cudaGraphInstantiate", "cudaGraphLaunch", "cudaHostAlloc", "cudaMalloc", "cudaMemcpyAsync", "cudaSetDevice",
    "cudaStreamBeginCapture", "cudaStreamCreateWithFlags", "cudaStreamDestroy", "cudaStreamEndCapture",
    "cudaStreamSynchronize",
)  # fmt: skip
CUDA_ENUMS = {
    "cudaError_t": r"cudaSuccess|cudaErrorInsufficientDriver|cudaErrorInvalidValue|cudaErrorMemoryAllocation"
    r"|cudaErrorStreamCaptureInvalidated|cudaErrorStreamCaptureUnsupported",
    "cudaMemcpyKind": ".*",
    "cudaStreamCaptureMode": ".*",
    "cudaDeviceAttr": "cudaDevAttrComputeCapability.*",
}
CUDA_CONSTANTS = ("cudaEventBlockingSync", "cudaEventDisableTiming", "cudaHostAllocDefault", "cudaStreamNonBlocking")
PYCUDA_FUNCTIONS = ("init", "mem_alloc", "memcpy_dtoh_async", "memcpy_htod_async", "pagelocked_empty")
PYCUDA_CLASSES = ("Context", "Device", "DeviceAllocation", "Event", "PagelockedHostAllocation", "Stream")


def tensorrt_facts(module: Any) -> dict[str, Any]:
    """Enums with their values, classes with every method's signatures and every property's access."""
    facts: dict[str, Any] = {"version": module.__version__, "enums": {}, "classes": {}}
    for name in CLASSES:
        found = getattr(module, name, None)
        if found is None:
            continue
        if hasattr(found, "__members__"):
            facts["enums"][name] = {key: int(value) for key, value in found.__members__.items()}
        else:
            facts["classes"][name] = _class_facts(found)
    severity = module.ILogger.Severity
    facts["enums"]["ILogger.Severity"] = {key: int(value) for key, value in severity.__members__.items()}
    return facts


def _class_facts(cls: Any) -> dict[str, Any]:
    members: dict[str, Any] = {}
    for name in sorted(dir(cls)):
        if name.startswith(("_", "add_")) and name != "__init__":
            continue
        member = inspect.getattr_static(cls, name)
        if isinstance(member, property):
            members[name] = "read" if member.fset is None else "read, write"
        elif callable(member) and not isinstance(member, type):
            members[name] = _signatures(name, getattr(cls, name).__doc__ or "")
    return members


def _signatures(name: str, doc: str) -> list[str]:
    """What pybind11 writes at the top of a docstring: one line, or one numbered line for every overload."""
    lines = [re.sub(r"^\d+\. ", "", line.strip()) for line in doc.splitlines()]
    found = [line[len(name) :] for line in lines if line.startswith(f"{name}(")]
    plain = [re.sub(r"\w+_bindings\.\w+\.|nvinfer1::|nvonnxparser::I?", "", line) for line in found]
    return [line for line in plain if line != "(*args, **kwargs)"]


def cuda_bindings_facts() -> dict[str, Any]:
    """Parameter names of the functions, members of the enums and values of the constants that the backend needs."""
    runtime = importlib.import_module("cuda.bindings.runtime")
    enums = {}
    for name, wanted in CUDA_ENUMS.items():
        members = getattr(runtime, name).__members__
        enums[name] = {key: int(value) for key, value in members.items() if re.fullmatch(wanted, key)}
    return {
        "version": importlib.import_module("cuda.bindings").__version__,
        "functions": {name: list(inspect.signature(getattr(runtime, name)).parameters) for name in CUDA_FUNCTIONS},
        "enums": enums,
        "constants": {name: int(getattr(runtime, name)) for name in CUDA_CONSTANTS},
    }


def pycuda_facts() -> dict[str, Any]:
    """The first docstring line (Boost.Python's signature) of functions and methods, and the names of properties."""
    driver = importlib.import_module("pycuda.driver")
    classes = {}
    for name in PYCUDA_CLASSES:
        cls = getattr(driver, name)
        names = [key for key in dir(cls) if not key.startswith("_") or key == "__init__"]
        classes[name] = {
            key: "read" if isinstance(inspect.getattr_static(cls, key), property) else _first_line(getattr(cls, key))
            for key in sorted(names)
        }
    return {
        "version": importlib.import_module("pycuda").VERSION_TEXT,
        "functions": {name: _first_line(getattr(driver, name)) for name in PYCUDA_FUNCTIONS},
        "classes": classes,
        "event_flags": {key: int(getattr(driver.event_flags, key)) for key in ("BLOCKING_SYNC", "DISABLE_TIMING")},
    }


def _first_line(function: Any) -> str:
    return next((line.strip() for line in (function.__doc__ or "").splitlines() if line.strip()), "")


def wheel_facts(record: str, folder: Path) -> dict[str, Any]:
    """Download the bindings of one TensorRT into `folder` and read them in a process of their own.

    Raises:
        subprocess.CalledProcessError: pip cannot get the wheel (no network, or none for this Python), or gcc is absent.
    """
    requirement, major = WHEELS[record]
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
    subprocess.run([*pip, "--dest", str(folder), requirement], check=True, capture_output=True, text=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    source = folder / "stand_in.c"
    source.write_text("".join(f"void *{symbol}(void) {{ return 0; }}\n" for symbol in SYMBOLS))
    for library in ("nvinfer", "nvonnxparser", "nvinfer_plugin"):
        soname = f"lib{library}.so.{major}"
        target = folder / "tensorrt_bindings" / soname  # the bindings look beside themselves
        subprocess.run(
            ["gcc", "-shared", "-fPIC", f"-Wl,-soname,{soname}", "-o", str(target), str(source)],
            check=True, capture_output=True, text=True,
        )  # fmt: skip
    reader = [sys.executable, __file__, "--read", str(folder), "tensorrt_bindings"]
    done = subprocess.run(reader, check=True, capture_output=True, text=True)
    facts: dict[str, Any] = json.loads(done.stdout)
    return facts


def facts_of(record: str) -> dict[str, Any]:
    """The facts of one record, from wheels or from what is installed."""
    if record in WHEELS:
        with tempfile.TemporaryDirectory() as folder:
            return wheel_facts(record, Path(folder))
    if record == "tensorrt-rtx":
        return tensorrt_facts(importlib.import_module("tensorrt_rtx_bindings"))
    return cuda_bindings_facts() if record == "cuda-bindings" else pycuda_facts()


def main() -> None:
    if sys.argv[1] == "--read":
        sys.path.insert(0, sys.argv[2])
        print(json.dumps(tensorrt_facts(importlib.import_module(sys.argv[3]))))
        return
    for record in sys.argv[1:]:
        path = HERE / f"{record}.json"
        path.write_text(json.dumps(facts_of(record), indent=1, sort_keys=True) + "\n", encoding="utf-8")
        print(path)


if __name__ == "__main__":
    main()
