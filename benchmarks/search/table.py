"""Times probes on the device at hand and writes its table; needs neither torch nor onnx there.

    python -m models.compress --probes probes --size 256x256      # on the workstation: INT8 graphs of known shapes
    python -m benchmarks.search.table probes --out jetson.json    # on the device, with `--backend tensorrt` on a Jetson
    python -m models.compress --device jetson.json --teacher … --budget 8ms …

The table is JSON: `schema`, `size` [H, W], `channels`, `precision`, `backend`, `machine`, `reference_ms`, and `probes`:
each a `shape` (width, blocks, deep_width, deep_blocks, stem, head) with `ms`, and `low` and `high` over the rounds.
Every probe is timed in turn with the reference, and its time is that ratio times the reference's median.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from tqdm import tqdm

from benchmarks.machine import describe_machine
from benchmarks.percentiles import spread
from benchmarks.search.shapes import REFERENCE, Shape
from benchmarks.subjects import Choice, Subject
from benchmarks.timing import Timed, warm_up
from runtime.engine import BACKENDS
from runtime.errors import DONE, EngineError, SourceError, run_command

SCHEMA = 1
INDEX = "probes.json"  # what stands in a folder of probes: file → shape
_PLANS = ("tensorrt", "tensorrt-rtx")
_FEWEST = 3  # frames of a block


@dataclass(frozen=True)
class Pace:
    """How long to measure."""

    rounds: int = 7
    block_s: float = 0.06


@dataclass(frozen=True)
class Table:
    """What a device takes for known shapes."""

    size: tuple[int, int]
    channels: int
    backend: str
    machine: dict[str, Any]
    reference_ms: float
    probes: dict[Shape, dict[str, float]]  # ms, low, high
    precision: str = "int8"

    def as_json(self) -> dict[str, Any]:
        """As it stands in a file."""
        probes = [{"shape": asdict(shape), **figures} for shape, figures in self.probes.items()]
        return {"schema": SCHEMA} | {**vars(self), "probes": probes}


def read_table(path: Path) -> Table:
    """Raises SourceError when the file is missing or is no table."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if values.pop("schema") != SCHEMA:
            raise SourceError(f"{path} has another schema than {SCHEMA}: time the device again with this version")
        probes = {
            Shape(**probe["shape"]): {name: float(probe[name]) for name in ("ms", "low", "high")}
            for probe in values.pop("probes")
        }
        return Table(**{**values, "size": tuple(values["size"])}, probes=probes)
    except OSError as error:
        raise SourceError(f"cannot read the device's table {path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise SourceError(
            f"{path} is no table of a device ({error}); make one there with `python -m benchmarks.search.table`"
        ) from error


def against_reference(
    reference: Timed, others: Sequence[Timed], pace: Pace, progress: Callable[[], object] = lambda: None
) -> tuple[float, list[dict[str, float]]]:
    """The reference's median in ms, and each other's ms, low and high: its ratio to the reference, which stands right
    before and behind it in every round, times that median."""
    warm_up([reference, *others])
    own: list[float] = []
    found: list[list[float]] = [[] for _ in others]
    for _ in range(pace.rounds):
        before = _block(reference, pace)
        for ratios, other in zip(found, others, strict=True):
            time = _block(other, pace)
            after = _block(reference, pace)
            ratios.append(time / ((before + after) / 2))
            own += [before]
            before = after
            progress()
    middle = float(np.median(own or [before]))
    scaled = [spread([ratio * middle for ratio in ratios]) for ratios in found]
    return middle, [{"ms": s["median"], "low": s["low"], "high": s["high"]} for s in scaled]


def _block(subject: Timed, pace: Pace) -> float:
    """The median of a block, in ms."""
    times: list[float] = []
    end = perf_counter() + pace.block_s
    while len(times) < _FEWEST or perf_counter() < end:
        times.append(subject.time_ms())
    return float(np.median(times))


def measure_table(folder: Path, backend: str | None = None, pace: Pace | None = None) -> Table:
    """Time a folder of probes.

    Raises:
        SourceError: it is no such folder.
        InlocoError: an engine cannot be built or run here.
    """
    pace = pace or Pace()
    shapes = read_index(folder)
    with ExitStack() as stack:
        opened = {
            shape: stack.enter_context(Subject(Choice(built(folder / name, backend), backend)))
            for name, shape in tqdm(shapes.items(), desc="opening probes", unit="probe", leave=False)
        }
        if REFERENCE not in opened:
            raise SourceError(f"{folder} lacks the reference {REFERENCE.name}: make the probes again")
        manifest, name = opened[REFERENCE].manifest, opened[REFERENCE].backend
        with tqdm(total=pace.rounds * len(opened), desc="timing probes", unit="block", leave=False) as bar:
            middle, figures = against_reference(opened[REFERENCE], list(opened.values()), pace, bar.update)
    assert manifest.frame is not None
    size = (manifest.frame.height, manifest.frame.width)
    probes = dict(zip(opened, figures, strict=True))
    return Table(size, manifest.frame.channels, name, describe_machine(), round(middle, 4), probes)


def read_index(folder: Path) -> dict[str, Shape]:
    """File → shape of a folder of probes."""
    try:
        listed = json.loads((folder / INDEX).read_text(encoding="utf-8"))
        return {name: Shape(**shape) for name, shape in listed.items()}
    except OSError as error:
        raise SourceError(f"{folder} holds no {INDEX}: make it with `python -m models.compress --probes`") from error
    except (ValueError, TypeError, AttributeError) as error:
        raise SourceError(f"{folder / INDEX} is damaged ({error}): make the probes again") from error


def built(graph: Path, backend: str | None) -> Path:
    """What `backend` opens: the graph itself, or an engine that is built of it beside it, once."""
    if backend is None or backend == "openvino":
        return graph
    if backend not in BACKENDS:
        raise EngineError(f"there is no backend {backend!r}; there are {', '.join(BACKENDS)}")
    out = graph.with_name(f"{graph.stem}_{backend}{'.plan' if backend in _PLANS else '.onnx'}")
    if not out.is_file():
        from export import engine  # a device that builds plans has it

        engine.main([str(graph), "--backend", backend, "--out", str(out), "--json"])
    return out


def write_table(table: Table, out: Path) -> None:
    """Whole or not at all."""
    partial = out.with_name(out.name + ".tmp")
    partial.write_text(json.dumps(table.as_json(), indent=1) + "\n", encoding="utf-8")
    partial.replace(out)


def main(arguments: Sequence[str] | None = None) -> int:
    """Time, write, tell."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.search.table", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("probes", type=Path, help="folder that `python -m models.compress --probes` wrote")
    parser.add_argument("--out", type=Path, required=True, help="the table to write, .json")
    parser.add_argument("--backend", help="tensorrt on a Jetson; default: what opens the graph here")
    parser.add_argument("--rounds", type=int, default=Pace.rounds, help="turns of each probe (default %(default)d)")
    options = parser.parse_args(arguments)
    if not options.out.parent.is_dir():
        raise SourceError(f"there is no folder {options.out.parent} to write the table into: make it first")
    table = measure_table(options.probes, options.backend, Pace(max(1, options.rounds)))
    write_table(table, options.out)
    print(f"{options.out}: {len(table.probes)} probes on {table.backend}, reference {table.reference_ms:.2f} ms")
    return DONE


if __name__ == "__main__":
    raise SystemExit(run_command(main))
