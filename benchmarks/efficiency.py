"""How near an INT8 engine comes to what its backend can do: its GMAC/s against bare INT8 convolutions of its own width.

    python -m benchmarks.efficiency cyclegan_int8.onnx
    python -m benchmarks.efficiency cyclegan_int8.onnx@onnxruntime --seconds 8 --json

The yardstick is made for the engine: two chains of its busiest kind of convolution (most multiply-accumulates; as many
channels out as in), rounded as its own are. Their difference in time is that of the further convolutions alone, without
frame input and output. Engine and chains are timed in turn in one run, so that a busy machine slows all of them.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx
from onnx import ModelProto, TensorProto, helper, numpy_helper

from benchmarks.machine import describe_machine, package_versions
from benchmarks.percentiles import spread
from benchmarks.subjects import Choice, Subject, parse_choice
from benchmarks.timing import BackToBack, Plan, measure_back_to_back, warm_up
from calibration import int8
from calibration.relabel import relabel_u8
from calibration.wiring import Wiring, attribute, prepared
from export.macs import count_macs
from runtime.errors import DONE, EngineError, run_command
from runtime.manifest import ImagePort, Manifest, file_sha256, write_manifest

SHORT, LONG = 2, 10  # convolutions of the two chains
_SEED = 0


@dataclass(frozen=True)
class Convolution:
    """A kind of convolution: stride 1, dense, as many channels out as in."""

    channels: int
    kernel: int
    height: int
    width: int

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one."""
        return self.channels**2 * self.kernel**2 * self.height * self.width


def busiest_convolution(model: ModelProto) -> Convolution:
    """The kind of INT8 convolution on which a quantised graph spends most multiply-accumulates.

    Raises:
        EngineError: it has none.
    """
    wiring = Wiring(prepared(model))
    found: Counter[Convolution] = Counter()
    for node in wiring.nodes.values():
        maker = wiring.maker.get(node.input[1]) if node.op_type == "Conv" else None
        if maker is None or maker.op_type != "DequantizeLinear" or attribute(node, "group", 1) != 1:
            continue
        outputs, inputs, kernel, _ = wiring.shape(node.input[1])
        height, width = wiring.shape(node.output[0])[2:]
        if inputs == outputs and wiring.shape(node.input[0])[2:] == (height, width):
            kind = Convolution(inputs, kernel, height, width)
            found[kind] += kind.macs
    if not found:
        raise EngineError("this graph has no dense INT8 convolution to compare it with; give a quantised .onnx engine")
    return found.most_common(1)[0][0]


def chain(kind: Convolution, length: int, weight_bits: int = 7) -> ModelProto:
    """A frame graph of `length` INT8 convolutions between two 1×1 float ones; weights are random."""
    random = np.random.default_rng(_SEED)
    constants: list[TensorProto] = []
    nodes = [
        helper.make_node("Cast", ["frame"], ["levels"], "cast", to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["levels"], ["planes"], "planes", perm=[0, 3, 1, 2]),
    ]

    def convolve(source: str, name: str, shape: tuple[int, int, int]) -> str:
        outputs, inputs, kernel = shape
        weight = random.standard_normal((outputs, inputs, kernel, kernel)) / np.sqrt(inputs * kernel**2)
        constants.append(numpy_helper.from_array(weight.astype(np.float32), f"{name}.weight"))
        pads = [kernel // 2] * 4
        nodes.append(helper.make_node("Conv", [source, f"{name}.weight"], [name], name, pads=pads))
        return name

    x = convolve("planes", "first", (kind.channels, 1, 1))
    for k in range(length):
        x = convolve(x, f"layer{k}", (kind.channels, kind.channels, kind.kernel))
    convolve(x, "last", (1, kind.channels, 1))
    nodes += [
        helper.make_node("Clip", ["last", "black", "white"], ["clipped"], "clip"),
        helper.make_node("Transpose", ["clipped"], ["turned"], "turn", perm=[0, 2, 3, 1]),
        helper.make_node("Cast", ["turned"], ["translated"], "back", to=TensorProto.UINT8),
    ]
    constants += [numpy_helper.from_array(np.array(v, np.float32), n) for v, n in ((0.0, "black"), (255.0, "white"))]
    port = [1, kind.height, kind.width, 1]
    values = [helper.make_tensor_value_info(name, TensorProto.UINT8, port) for name in ("frame", "translated")]
    graph = helper.make_graph(nodes, "chain", values[:1], values[1:], constants)
    model = prepared(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9))
    layers = int8.candidates(model, int8.Policy())
    return int8.quantise(model, layers, dict.fromkeys(int8.activations(model, layers), 255.0), weight_bits)


def write_chain(folder: Path, kind: Convolution, length: int, like: Subject) -> Choice:
    """The chain as an engine for the backend of `like`, rounded with its weight bits."""
    backend = like.backend.split()[0]
    model = chain(kind, length, int(like.manifest.decisions.get("weight_bits", "7")))
    path = folder / f"chain{length}.onnx"
    onnx.save(relabel_u8(model) if backend == "onnxruntime" else model, path)
    ports = [ImagePort(name, kind.height, kind.width, 1, colour="gray") for name in ("frame", "translated")]
    digest = {"engine": file_sha256(path)}
    write_manifest(Manifest(path.name, digest, frame=ports[0], translated=(ports[1],), precision="int8"), path)
    return Choice(path, backend)


def measure(choice: Choice, plan: Plan) -> dict[str, Any]:
    """The figures of one engine: GMAC/s of it and of bare convolutions, and their ratio over the rounds.

    Raises:
        EngineError: the file is no INT8 graph.
    """
    if choice.path.suffix != ".onnx":
        raise EngineError(f"{choice.path} is no graph: bare convolutions can be made for .onnx engines only")
    with ExitStack() as stack:
        subject = stack.enter_context(Subject(choice))
        model = onnx.load(choice.path)
        kind, macs = busiest_convolution(model), count_macs(model).exact
        folder = Path(stack.enter_context(TemporaryDirectory()))
        chains = [stack.enter_context(Subject(write_chain(folder, kind, n, subject))) for n in (SHORT, LONG)]
        subjects = [subject, *chains]
        warm_up(subjects)
        results = list(measure_back_to_back(subjects, plan).values())
    bare = LONG - SHORT
    return {
        "engine": subject.name, "backend": subject.backend, "gmac": round(macs / 1e9, 4),
        "convolution": asdict(kind), "latency_ms": spread(_medians(results[0])),
        **_rates(results, macs, kind.macs * bare),
        "machine": describe_machine(), "versions": package_versions(),
    }  # fmt: skip


def _medians(result: BackToBack) -> list[float]:
    return [float(np.median(block)) for block in result.rounds]


def _rates(results: Sequence[BackToBack], macs: int, bare_macs: int) -> dict[str, dict[str, float]]:
    """GMAC/s by round; a round in which the longer chain was not slower says nothing."""
    engine, short, long = (np.array(_medians(result)) for result in results)
    sound = long > short
    if not sound.any():
        raise EngineError("the machine is too busy to time a convolution: run it again, or with more --seconds")
    own, bare = macs / engine[sound] / 1e6, bare_macs / (long - short)[sound] / 1e6
    return {
        "engine_gmac_per_s": spread(own.tolist()), "bare_gmac_per_s": spread(bare.tolist()),
        "efficiency": spread((own / bare).tolist()),
    }  # fmt: skip


def as_text(found: dict[str, Any]) -> str:
    """The figures for people."""
    kind = Convolution(**found["convolution"])
    lines = [
        f"{found['engine']}, {found['gmac']:.2f} GMAC, {found['backend']}, on {found['machine']['cpu']}, "
        f"{found['machine']['cores']} cores",
        f"yardstick  {kind.kernel}×{kind.kernel} convolution, {kind.channels} channels, {kind.height}×{kind.width}",
    ]
    for name, title, unit in (
        ("latency_ms", "latency", "ms"), ("engine_gmac_per_s", "engine", "GMAC/s"),
        ("bare_gmac_per_s", "bare", "GMAC/s"),
    ):  # fmt: skip
        value = found[name]
        lines.append(f"{title:<11}{value['median']:.4g} {unit} ({value['low']:.4g}–{value['high']:.4g} over rounds)")
    share = found["efficiency"]
    lines.append(f"{'efficiency':<11}{share['median']:.0%} ({share['low']:.0%}–{share['high']:.0%})")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    plan = Plan(seconds=8.0, rounds=32)  # short turns: what disturbs one subject disturbs the next
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.efficiency", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("engine", metavar="ENGINE[@BACKEND]", type=parse_choice, help="a quantised .onnx engine")
    parser.add_argument("--seconds", type=float, default=plan.seconds, help="for each of three (default %(default)g)")
    parser.add_argument("--rounds", type=int, default=plan.rounds, help="turns (default %(default)d)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args(arguments)
    if options.seconds <= 0 or options.rounds < 1:
        raise EngineError(f"--seconds {options.seconds:g} and --rounds {options.rounds} must be above 0")
    found = measure(options.engine, Plan(options.seconds, options.rounds))
    print(json.dumps(found) if options.json else as_text(found))
    return DONE


if __name__ == "__main__":
    raise SystemExit(run_command(main))
