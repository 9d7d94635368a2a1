"""A TensorRT module made from a record of the real one: other names and other arguments are refused.

Behind the names stands ONNX Runtime: a "plan" of the fake is the graph with a header of version and targets, and runs
on the streams of a `FakeGpu`. So the whole way from graph to frame can be walked for every TensorRT, and compared.
"""

from __future__ import annotations

import ctypes
import enum
import json
import re
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort

from tests.vendor_api.fake_gpu import CaptureError, FakeGpu, facts

MAGIC = b"fakeplan"
_KINDS: dict[str, tuple[type, ...]] = {
    "int": (int,), "typing.SupportsInt": (int,), "str": (str,), "bool": (bool,),
    "buffer": (bytes,), "typing_extensions.Buffer": (bytes,),
}  # fmt: skip


def tensorrt_module(record: str, gpu: FakeGpu) -> ModuleType:
    """The module of the TensorRT that `record` ("tensorrt-10.3", "tensorrt-rtx", …) describes."""
    known = facts(record)
    module = ModuleType(record)
    module.__version__ = known["version"]
    for name, members in known["enums"].items():
        if "." not in name:
            setattr(module, name, _enum(name, members))
    behaviour = Behaviour(module, gpu, rtx=record.endswith("rtx"))
    for name, members in known["classes"].items():
        setattr(module, name, _class(name, members, behaviour))
    module.ILogger.Severity = _enum("Severity", known["enums"]["ILogger.Severity"])
    module.behaviour = behaviour
    return module


def _enum(name: str, members: dict[str, int]) -> Any:
    """Like pybind11's: not an int, but convertible to one."""
    made = enum.Enum(name, members)
    made.__int__ = lambda self: self.value  # type: ignore[attr-defined]
    return made


def _class(name: str, members: dict[str, Any], behaviour: Behaviour) -> type:
    body: dict[str, Any] = {"__setattr__": _guarded(members)}
    for member, fact in members.items():
        if isinstance(fact, str):
            body[member] = _property(name, member, writable="write" in fact, behaviour=behaviour)
        else:
            body[member] = _method(name, member, fact, behaviour)
    if name == "IHostMemory":
        body["__bytes__"] = lambda self: self._content
    return type(name, (), body)


def _guarded(members: dict[str, Any]) -> Callable[[Any, str, Any], None]:
    def setattr_(self: Any, name: str, value: Any) -> None:
        ours = type(self).__module__ != __name__  # Python subclasses of pybind11 classes take any attribute
        assert ours or name.startswith("_") or name in members, f"{type(self).__name__} has no attribute {name!r}"
        object.__setattr__(self, name, value)

    return setattr_


def _property(cls: str, member: str, *, writable: bool, behaviour: Behaviour) -> property:
    def read(self: Any) -> Any:
        work = getattr(behaviour, f"{cls}_{member}", None)
        return work(self) if work else self.__dict__["_values"][member]

    def write(self: Any, value: Any) -> None:
        self.__dict__.setdefault("_values", {})[member] = value

    return property(read, write if writable else None)


def _method(cls: str, member: str, signatures: list[str], behaviour: Behaviour) -> Callable[..., Any]:
    overloads = [_parameters(signature) for signature in signatures]

    def call(self: Any, *arguments: Any) -> Any:
        assert any(_accepts(parameters, arguments, behaviour.module) for parameters in overloads), (
            f"{cls}.{member}{signatures} was given {arguments}"
        )
        work = getattr(behaviour, f"{cls}_{member.strip('_')}", None)
        assert work, f"the fake does not model {cls}.{member}"
        return work(self, *arguments)

    return call


def _parameters(signature: str) -> list[tuple[str, bool]]:
    """Type and "has a default" of every parameter after self."""
    inside = re.sub(r"<[^>]*>", "value", signature[1 : signature.rindex(") ->")])
    parts = re.findall(r"(\w+): ([^=,\[]+?(?:\[[^\]]*\])?)( = [^,]*)?(?:, |$)", inside)
    return [(kind.strip(), bool(default)) for _, kind, default in parts[1:]]


def _accepts(parameters: list[tuple[str, bool]], arguments: tuple[Any, ...], module: Any) -> bool:
    required = sum(not default for _, default in parameters)
    if not required <= len(arguments) <= len(parameters):
        return False
    for (kind, _), value in zip(parameters, arguments, strict=False):
        wanted = _KINDS.get(kind) or getattr(module, kind, None)
        if wanted is not None and not isinstance(value, wanted):
            return False
    return True


class Behaviour:
    """What the calls do; one method for each that the product uses, named Class_method."""

    def __init__(self, module: Any, gpu: FakeGpu, rtx: bool) -> None:
        self.module, self.gpu, self.rtx = module, gpu, rtx
        self.dla_cores = 0
        self.capturable = True  # whether a CUDA graph can hold the plan
        self.refuse_build = ""
        self.progress: list[str] = []

    def new(self, name: str, **state: Any) -> Any:
        made = object.__new__(getattr(self.module, name))
        for key, value in state.items():
            object.__setattr__(made, f"_{key}", value)
        return made

    def log(self, logger: Any, message: str) -> None:
        logger.log(self.module.ILogger.Severity.ERROR, message)

    def ILogger_init(self, this: Any) -> None:
        """Nothing to keep."""

    def IProgressMonitor_init(self, this: Any) -> None:
        """Nothing to keep."""

    def Builder_init(self, this: Any, logger: Any) -> None:
        this._logger = logger

    def Builder_num_DLA_cores(self, this: Any) -> int:
        return self.dla_cores

    def Builder_create_network(self, this: Any, flags: int) -> Any:
        assert flags == 1 << int(self.module.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
        return self.new("INetworkDefinition")

    def Builder_create_builder_config(self, this: Any) -> Any:
        values = {"num_compute_capabilities": 0, "set": {}, "flags": set()}
        return self.new("IBuilderConfig", values=values, logger=this._logger)

    def OnnxParser_init(self, this: Any, network: Any, logger: Any) -> None:
        this._values = {"network": network, "errors": []}

    def OnnxParser_parse(self, this: Any, model: bytes, path: str) -> bool:
        graph = onnx.load_model_from_string(model)
        onnx.checker.check_model(graph)
        for port in graph.graph.input:
            if port.type.tensor_type.elem_type == onnx.TensorProto.UINT16:
                this._values["errors"].append("Failed to convert ONNX date type to TensorRT data type.")
        this._values["network"]._graph = model
        return not this._values["errors"]

    def OnnxParser_num_errors(self, this: Any) -> int:
        return len(this._values["errors"])

    def OnnxParser_get_error(self, this: Any, index: int) -> Any:
        return self.new("ParserError", content=this._values["errors"][index])

    def ParserError_desc(self, this: Any) -> str:
        return str(this._content)

    def ParserError_node(self, this: Any) -> int:
        return -1

    def IBuilderConfig_set_memory_pool_limit(self, this: Any, pool: Any, size: int) -> None:
        this._values["set"][pool.name] = size

    def IBuilderConfig_set_flag(self, this: Any, flag: Any) -> None:
        this._values["flags"].add(flag.name)

    def IBuilderConfig_set_compute_capability(self, this: Any, capability: Any, index: int) -> bool:
        this._values["set"][index] = capability.name.lower()
        return 0 <= index < this._values["num_compute_capabilities"]

    def IBuilderConfig_create_timing_cache(self, this: Any, content: bytes) -> Any:
        return self.new("ITimingCache", content=content)

    def IBuilderConfig_set_timing_cache(self, this: Any, cache: Any, ignore_mismatch: bool) -> bool:
        this._values["cache"] = cache
        usable = cache._content in (b"", b"timings")
        if not usable:
            self.log(this._logger, "the timing cache is of another version")
        return usable

    def IBuilderConfig_get_timing_cache(self, this: Any) -> Any:
        return this._values["cache"]

    def ITimingCache_serialize(self, this: Any) -> Any:
        return self.new("IHostMemory", content=b"timings")

    def Builder_build_serialized_network(self, this: Any, network: Any, config: Any) -> Any:
        if self.refuse_build:
            self.log(this._logger, self.refuse_build)
            return None
        monitor = config._values["progress_monitor"]
        monitor.phase_start("build", None, 2)
        if not monitor.step_complete("build", 0):
            return None
        monitor.phase_finish("build")
        ours = "sm{}{}".format(*self.gpu.capability)
        targets = [config._values["set"][i] for i in range(config._values["num_compute_capabilities"])]
        header = {
            "version": self.module.__version__,
            "targets": targets if self.rtx else [ours],
            "flags": sorted(config._values["flags"]),
            "workspace": config._values["set"].get("WORKSPACE"),
            "compatibility": getattr(config._values.get("hardware_compatibility_level"), "name", None),
            "device": getattr(config._values.get("default_device_type"), "name", None),
        }
        return self.new("IHostMemory", content=MAGIC + json.dumps(header).encode() + b"\n" + network._graph)

    def Runtime_init(self, this: Any, logger: Any) -> None:
        this._logger = logger

    def Runtime_deserialize_cuda_engine(self, this: Any, plan: bytes) -> Any:
        assert this._values["engine_host_code_allowed"] is False, "a plan must not bring host code"
        header, _, graph = plan.removeprefix(MAGIC).partition(b"\n")
        facts_ = json.loads(header)
        if facts_["version"] != self.module.__version__:
            self.log(this._logger, "Serialization assertion stdVersionRead == kSERIALIZATION_VERSION failed.")
            return None
        session = ort.InferenceSession(graph, providers=["CPUExecutionProvider"])
        return self.new("ICudaEngine", session=session)

    def _ports(self, this: Any) -> list[Any]:
        return [*this._session.get_inputs(), *this._session.get_outputs()]

    def _port(self, this: Any, name: str) -> Any:
        return next(port for port in self._ports(this) if port.name == name)

    def ICudaEngine_num_io_tensors(self, this: Any) -> int:
        return len(self._ports(this))

    def ICudaEngine_get_tensor_name(self, this: Any, index: int) -> str:
        return str(self._ports(this)[index].name)

    def ICudaEngine_get_tensor_shape(self, this: Any, name: str) -> list[int]:
        return [size if isinstance(size, int) else -1 for size in self._port(this, name).shape]

    def ICudaEngine_get_tensor_dtype(self, this: Any, name: str) -> Any:
        types = {"uint8": "UINT8", "float": "FLOAT", "float16": "HALF", "int32": "INT32", "double": "FP8"}
        return self.module.DataType[types[self._port(this, name).type[7:-1]]]

    def ICudaEngine_get_tensor_mode(self, this: Any, name: str) -> Any:
        inputs = [port.name for port in this._session.get_inputs()]
        return self.module.TensorIOMode.INPUT if name in inputs else self.module.TensorIOMode.OUTPUT

    def ICudaEngine_create_runtime_config(self, this: Any) -> Any:
        return self.new("IRuntimeConfig")

    def ICudaEngine_create_execution_context(self, this: Any, config: Any = None) -> Any:
        if self.rtx:
            assert config._values["cuda_graph_strategy"] == self.module.CudaGraphStrategy.WHOLE_GRAPH_CAPTURE
        return self.new("IExecutionContext", owner=this, addresses={})

    def IExecutionContext_set_tensor_address(self, this: Any, name: str, address: int) -> bool:
        this._addresses[name] = address
        return address in self.gpu.device and address % 256 == 0

    def IExecutionContext_execute_async_v3(self, this: Any, stream: int) -> bool:
        if stream in self.gpu.capturing and not self.capturable:
            return False
        self.gpu.queue(stream, lambda: self._execute(this))
        return True

    def _execute(self, context: Any) -> None:
        engine = context._owner
        inputs = {port.name: self._view(engine, port, context) for port in engine._session.get_inputs()}
        results = engine._session.run(None, {name: value.copy() for name, value in inputs.items()})
        for port, result in zip(engine._session.get_outputs(), results, strict=True):
            self._view(engine, port, context)[...] = result

    def _view(self, engine: Any, port: Any, context: Any) -> Any:
        dtype = {"uint8": "uint8", "float": "float32", "float16": "float16", "int32": "int32"}[port.type[7:-1]]
        nbytes = int(np.prod(port.shape)) * np.dtype(dtype).itemsize
        memory = (ctypes.c_uint8 * nbytes).from_address(context._addresses[port.name])
        return np.ctypeslib.as_array(memory).view(dtype).reshape(port.shape)


__all__ = ["Behaviour", "CaptureError", "tensorrt_module"]
