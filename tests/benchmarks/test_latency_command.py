"""The latency benchmark through its command, on the identity backend."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.latency import main
from benchmarks.machine import cpu_model
from benchmarks.percentiles import SUMMARY
from benchmarks.subjects import parse_choice
from runtime.errors import EngineError, ManifestError, SinkError

QUICK = ["--seconds", "0.05", "--rounds", "2", "--fps", "200"]


@pytest.fixture(scope="module")
def report(write_null_engine: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("latency")
    engines = [str(write_null_engine(folder, "slow.bin")), str(write_null_engine(folder, "fast.bin", macs=0))]
    assert main([*engines, "--report", str(folder / "new" / "report"), *QUICK]) == 0
    return folder / "new" / "report"


def test_the_report_states_engines_figures_machine_versions_and_command(report: Path) -> None:
    facts = json.loads((report / "report.json").read_text())
    assert {"schema", "created", "command", "settings", "machine", "versions", "engines"} == set(facts)
    assert [engine["name"] for engine in facts["engines"]] == ["slow · null", "fast · null"]
    first = facts["engines"][0]
    assert (first["gmac_exact"], first["precision"], first["input"]) == (2.5, "int8", "24x16x3")
    assert facts["engines"][1]["gmac_exact"] is None
    assert first["back_to_back"]["ratio"] == {"median": 1.0, "low": 1.0, "high": 1.0}
    assert first["cadence"]["offered"] == 10
    assert first["cold_start"]["rss_mib"] > 10
    assert 0 < first["cold_start"]["first_frame_s"] < 60
    for engine in facts["engines"]:
        for figures in (engine["back_to_back"]["latency_ms"], engine["cadence"]["latency_ms"]):
            assert tuple(figures) == SUMMARY
            ordered = [figures[name] for name in ("min", "median", "p90", "p95", "p99", "p99.9", "max")]
            assert ordered == sorted(ordered)
    assert facts["machine"]["cores"] >= 1
    assert "numpy" in facts["versions"]


def test_the_page_needs_nothing_beside_itself_and_the_tables_agree(report: Path) -> None:
    page, tables = (report / "report.html").read_text(), (report / "report.md").read_text()
    facts = json.loads((report / "report.json").read_text())
    assert not re.search(r'(src|href)="(?!#)', page.replace("xlink:href", "href"))
    drawings = re.findall(r"<svg .*?</svg>", page, re.DOTALL)
    assert len(drawings) == 2
    for drawing in drawings:
        ET.fromstring(drawing)
        assert "slow · null" in drawing
        assert "currentColor" in drawing
    assert "color-scheme: light dark" in page
    median = f"{facts['engines'][1]['back_to_back']['latency_ms']['median']:.2f}"
    for text in (page, tables):
        assert facts["command"] in text
        assert facts["machine"]["cpu"] in text
        assert median in text
        assert "p99.9" in text
    assert sorted(path.name for path in report.iterdir()) == ["report.html", "report.json", "report.md"]


def test_no_path_of_the_machine_is_published(report: Path, root: Path) -> None:
    for file in report.iterdir():
        for folder in (report.parents[1], root, Path.home()):
            assert f"{folder}/" not in file.read_text()


def test_json_is_one_object_on_stdout(null_engine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(null_engine), "--json", *QUICK]) == 0
    assert json.loads(capsys.readouterr().out)["engines"][0]["file"] == "identity.bin"


def test_the_backend_stands_behind_the_last_at() -> None:
    choice = parse_choice("folder@home/x.onnx@onnxruntime")
    assert (choice.path, choice.backend) == (Path("folder@home/x.onnx"), "onnxruntime")
    assert choice.text == "x.onnx@onnxruntime"
    assert parse_choice("a@b.onnx").path == Path("a@b.onnx")


def test_bad_engines_are_refused_in_words(null_engine: Path, tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="there is no engine"):
        main([str(tmp_path / "absent.onnx"), *QUICK])
    with pytest.raises(EngineError, match="given twice"):
        main([str(null_engine), str(null_engine), *QUICK])


@pytest.mark.parametrize("words", [["--fps", "0"], ["--seconds", "-1"], ["--rounds", "0"], ["--fps", "inf"], []])
def test_bad_arguments_end_with_code_2(null_engine: Path, words: list[str]) -> None:
    engine = [str(null_engine)] if words else []
    with pytest.raises(SystemExit) as ended:
        main([*engine, *words])
    assert ended.value.code == 2


def test_a_folder_that_cannot_be_written_is_refused_before_the_measurement(null_engine: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SinkError, match="cannot write a report"):
        main([str(null_engine), "--report", str(tmp_path / "file" / "report"), "--seconds", "1e6"])


def test_the_command_says_one_sentence_and_loads_no_torch(root: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.latency", str(tmp_path / "absent.onnx")]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("error: there is no engine")
    assert done.stderr.count("\n") == 1
    probe = "import sys, benchmarks.latency; sys.exit(bool({'torch', 'onnx'} & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", probe], cwd=root, check=False).returncode == 0


def test_the_processor_is_named_with_its_notable_instructions(tmp_path: Path) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("model name\t: A CPU @ 2.50GHz\nflags\t\t: fpu avx2 avx512_vnni\n\nprocessor : 1\n")
    assert cpu_model(cpuinfo) == "A CPU @ 2.50GHz (AVX2, VNNI)"
    cpuinfo.write_text("processor : 0\n\nModel : NVIDIA Orin NX\n")
    assert cpu_model(cpuinfo) == "NVIDIA Orin NX"
    assert cpu_model(tmp_path / "absent")
