"""The search: what shapes cost, how times become those of parts, what is chosen, what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.search import __main__ as command
from benchmarks.search import choose as choosing
from benchmarks.search import table as tables
from benchmarks.search.fit import fit
from benchmarks.search.probes import write_probe
from benchmarks.search.report import frontier
from benchmarks.search.shapes import REFERENCE, SCALE, Shape, candidates, probes
from benchmarks.search.table import Pace, Table
from benchmarks.search.teacher import ask, check_teacher
from models.checkpoint import load_system
from models.errors import DataError
from models.networks import compact
from runtime.engine import open_engine
from runtime.errors import EngineError, SourceError
from runtime.manifest import ImagePort, verify_engine

WriteEngine = Callable[..., Path]


@pytest.fixture
def pictures(tmp_path: Path) -> Callable[[int], Path]:
    """`pictures(count)`: a folder of smooth 40×32 pictures."""

    def write(count: int) -> Path:
        folder = tmp_path / f"pictures{count}"
        folder.mkdir()
        random = np.random.default_rng(0)
        for k in range(count):
            coarse = random.integers(0, 256, (4, 5, 3), dtype=np.uint8)
            cv2.imwrite(str(folder / f"{k}.png"), cv2.resize(coarse, (40, 32), interpolation=cv2.INTER_CUBIC))
        return folder

    return write


def true_ms(shape: Shape) -> float:
    """A made-up device: a frame costs 0.4 ms, a multiply-accumulate less where it is done for more channels."""
    parts = shape.parts
    rates = {part: 0.002 * int(part.split()[1]) ** 1.8 / 10 for part in parts if part.startswith("block")}
    others = {"frame": 0.4, "ends per channel": 0.01, "1/8 and back per 1000 channel pairs": 0.3}
    others |= {"stem 8 per channel": 0.004, "head 5 per channel": 0.02}
    return sum(count * (rates | others)[part] for part, count in parts.items())


def made_up_table(size: tuple[int, int] = (256, 256)) -> Table:
    figures = {shape: {"ms": true_ms(shape), "low": true_ms(shape), "high": true_ms(shape)} for shape in probes()}
    return Table(size, 3, "openvino 0", {"cpu": "made up", "cores": 2}, true_ms(REFERENCE), figures)


@pytest.mark.parametrize(
    "shape", [Shape(32, 2), Shape(48, 3, 96, 2), Shape(32, 1, stem=8, head=5), Shape(64, 1, 64, 1, 8, 3)]
)
def test_counts_are_those_of_the_network(shape: Shape) -> None:
    """torch counts operations, two for a multiply-accumulate."""
    settings = {name: value for name, value in shape.settings.items() if name != "generator"}
    network = compact.CompactGenerator(**settings)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.zeros(1, 3, 32, 48))
    assert shape.macs(32, 48, 3) == counter.get_total_flops() // 2
    assert shape.parameters(3) == sum(p.numel() for p in network.parameters() if p.ndim == 4)
    assert compact.SCALE == SCALE


def test_the_times_of_parts_are_found_and_predict_shapes_that_were_not_timed() -> None:
    shapes = probes()
    costs = fit(shapes, [true_ms(shape) for shape in shapes])
    unseen = [shape for shape in candidates(set(costs.ms)) if shape not in shapes]
    assert len(unseen) > 1000
    assert costs.worst_error < 1e-6
    assert max(abs(costs.predict(shape) / true_ms(shape) - 1) for shape in unseen) < 1e-6


def test_noisy_times_give_no_negative_part_and_predict_within_a_tenth() -> None:
    random = np.random.default_rng(0)
    shapes = probes()
    costs = fit(shapes, [true_ms(shape) * random.normal(1, 0.02) for shape in shapes])
    assert min(costs.ms.values()) >= 0
    # Depths within what was timed; the time of a part is known less well the further its count is extrapolated.
    inner = [Shape(w, b, d, e) for w, d in ((64, 128), (48, 96)) for b in (1, 3, 4) for e in (2, 3)]
    assert max(abs(costs.predict(shape) / true_ms(shape) - 1) for shape in inner) < 0.1


def test_too_few_probes_are_refused() -> None:
    shapes = probes()[:3]
    with pytest.raises(EngineError, match="do not tell"):
        fit(shapes, [true_ms(shape) for shape in shapes])


def test_what_is_chosen_meets_the_budget_and_is_of_unlike_kinds() -> None:
    costs = fit(probes(), [true_ms(shape) for shape in probes()])
    chosen = choosing.choose(candidates(set(costs.ms)), costs, 8.0, 4)
    assert len(chosen) == 4
    assert all(ms == pytest.approx(true_ms(shape)) for shape, ms in chosen)
    assert all(ms <= 8.0 for _, ms in chosen)
    assert len({(shape.width, shape.deep_width) for shape, _ in chosen[:-1]}) == 3
    assert chosen[-1][1] <= 4.0, "one for the Pareto plot at half the budget"
    better = [s for s in candidates(set(costs.ms)) if true_ms(s) <= choosing.MARGIN * 8.0]
    assert choosing.promise(chosen[0][0]) == max(map(choosing.promise, better))


def test_a_budget_that_none_meets_names_the_fastest() -> None:
    costs = fit(probes(), [true_ms(shape) for shape in probes()])
    fastest = min(candidates(set(costs.ms)), key=true_ms)
    with pytest.raises(EngineError, match=rf"{fastest.name}, takes {true_ms(fastest):.2f} ms"):
        choosing.choose(candidates(set(costs.ms)), costs, 0.1, 4)


class Scripted:
    """Takes as long as it is told, in turn."""

    def __init__(self, name: str, times: Iterator[float]) -> None:
        self.name, self.times = name, times

    def time_ms(self) -> float:
        return next(self.times)


def test_a_machine_that_slows_down_changes_no_ratio() -> None:
    """Both are the same share of a speed that halves over the run; the middle round stands for the reference."""
    slowness = {"now": 1.0}

    def times(ms: float) -> Iterator[float]:
        while True:
            slowness["now"] *= 1.002
            yield ms * slowness["now"]

    middle, (figure,) = tables.against_reference(
        Scripted("reference", times(4.0)), [Scripted("other", times(10.0))], Pace(rounds=40, block_s=0.0)
    )
    assert figure["ms"] / middle == pytest.approx(2.5, rel=0.01)
    assert slowness["now"] > 1.5


def test_a_table_is_read_as_it_was_written(tmp_path: Path) -> None:
    tables.write_table(made_up_table(), tmp_path / "table.json")
    assert tables.read_table(tmp_path / "table.json") == made_up_table()


@pytest.mark.parametrize(
    ("change", "message"),
    [("{", "no table"), ('{"schema": 99}', "another schema"), ('{"schema": 1}', "no table"), (None, "cannot read")],
)
def test_what_is_no_table_is_refused(tmp_path: Path, change: str | None, message: str) -> None:
    path = tmp_path / "table.json"
    if change is not None:
        path.write_text(change, encoding="utf-8")
    with pytest.raises(SourceError, match=message):
        tables.read_table(path)


def test_a_device_times_a_folder_of_probes(write_engine: WriteEngine, tmp_path: Path) -> None:
    shapes = [REFERENCE, Shape(32, 2)]
    index = {write_engine(f"{shape.name}.onnx", 32, 40).name: asdict(shape) for shape in shapes}
    (tmp_path / tables.INDEX).write_text(json.dumps(index), encoding="utf-8")
    assert tables.main([str(tmp_path), "--out", str(tmp_path / "t.json"), "--rounds", "2"]) == 0
    table = tables.read_table(tmp_path / "t.json")
    assert list(table.probes) == shapes
    assert table.size == (32, 40)
    assert all(figures["ms"] > 0 for figures in table.probes.values())


def test_a_folder_without_the_reference_is_refused(write_engine: WriteEngine, tmp_path: Path) -> None:
    index = {write_engine("w32b2.onnx").name: asdict(Shape(32, 2))}
    (tmp_path / tables.INDEX).write_text(json.dumps(index), encoding="utf-8")
    with pytest.raises(SourceError, match=f"lacks the reference {REFERENCE.name}"):
        tables.measure_table(tmp_path)
    with pytest.raises(SourceError, match=r"holds no probes\.json"):
        tables.measure_table(tmp_path / "none")


def test_a_probe_is_an_int8_engine_of_its_shape(tmp_path: Path) -> None:
    shape = Shape(32, 1, 64, 1)
    write_probe(shape, (32, 40), 3, tmp_path / "probe.onnx")
    nodes = onnx.load(tmp_path / "probe.onnx").graph.node
    rounded = [node for node in nodes if node.op_type == "DequantizeLinear" and "weight" in node.output[0]]
    assert len(rounded) == 2 * (shape.blocks + shape.deep_blocks) + 2  # all but the stem and the head
    manifest = verify_engine(tmp_path / "probe.onnx")
    assert (manifest.precision, manifest.macs) == ("int8", shape.macs(32, 40, 3))
    open_engine(tmp_path / "probe.onnx").close()


def test_a_teacher_of_another_output_size_is_refused(write_engine: WriteEngine) -> None:
    manifest = verify_engine(write_engine(translated=(ImagePort("translated", 96, 128, 3),)))
    with pytest.raises(EngineError, match=r"makes 96×128×3 of 48×64×3 images"):
        check_teacher(manifest, "teacher")
    with pytest.raises(EngineError, match="does not translate images"):
        check_teacher(replace(manifest, frame=None), "teacher")


def test_few_images_are_told_and_fewer_refused(
    write_engine: WriteEngine, pictures: Callable[[int], Path], tmp_path: Path
) -> None:
    teacher = write_engine(height=32, width=40)
    lessons, warning = ask(teacher, pictures(20), tmp_path / "lessons")
    assert "with 20 images" in warning
    taught, held = sorted(lessons.images.iterdir()), sorted(lessons.held_images.iterdir())
    assert (len(taught), len(held)) == (18, 2)
    assert len(list(lessons.frames.iterdir())) == 80, "turned over, to calibrate on"
    for path in taught:  # an identity answers with the image
        np.testing.assert_array_equal(cv2.imread(str(path)), cv2.imread(str(lessons.answers / path.name)))
    with pytest.raises(DataError, match="7 images of a domain are too few"):
        ask(teacher, pictures(7), tmp_path / "none")


def test_the_front_keeps_what_nothing_beats() -> None:
    assert frontier([(3, 30), (1, 20), (2, 19), (4, 29), (3, 28)]) == [(1, 20), (3, 30)]


def test_the_command_finds_a_student_for_a_device_s_table(
    write_engine: WriteEngine, pictures: Callable[[int], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    teacher = write_engine("teacher.plan", 32, 40)
    tables.write_table(made_up_table((32, 40)), tmp_path / "device.json")
    given = ["--teacher", str(teacher), "--data", str(pictures(24)), "--device", str(tmp_path / "device.json")]
    few = ["--train", "1", "--kimg", "0.17", "--qat-after", "0.2", "--crop", "16"]
    assert command.main([*given, *few, "--budget", "1.2ms", "--out", str(tmp_path / "found")]) == 0
    facts = json.loads((tmp_path / "found" / "search.json").read_text(encoding="utf-8"))
    (student,) = facts["students"]
    assert student["predicted_ms"] <= 1.2
    assert verify_engine(tmp_path / "found" / "winner_int8.onnx").decisions["calibration_method"] == "trained"
    assert load_system(tmp_path / "found" / "winner.safetensors")[1].ranges
    assert cv2.imread(str(tmp_path / "found" / "pareto.png")) is not None
    assert f"**{facts['winner']}**" in (tmp_path / "found" / "report.md").read_text(encoding="utf-8")
    assert "not measured" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--budget", "fast"], "write milliseconds"),
        (["--budget", "0.01ms"], "no student meets 0.01 ms"),
        (["--device", "other.json"], "measured at 256x256"),
    ],
)
def test_what_cannot_be_searched_is_refused(
    write_engine: WriteEngine, pictures: Callable[[int], Path], tmp_path: Path, arguments: list[str], message: str
) -> None:
    tables.write_table(made_up_table((32, 40)), tmp_path / "device.json")
    tables.write_table(made_up_table(), tmp_path / "other.json")
    arguments = [str(tmp_path / text) if text.endswith(".json") else text for text in arguments]
    given = ["--teacher", str(write_engine("teacher.plan", 32, 40)), "--data", str(pictures(24))]
    device = ["--device", str(tmp_path / "device.json"), "--out", str(tmp_path / "found")]
    with pytest.raises((EngineError, SourceError), match=message):
        command.main([*given, *device, *arguments])
