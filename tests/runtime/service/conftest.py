"""A real service in a process of its own, an engine with controls to serve, and a browser to look with."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import httpx
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from runtime.manifest import Control, ImagePort, Manifest, file_sha256, write_manifest

Start = Callable[..., "Served"]


class Served:
    """`python -m runtime.serve`, from its announcement to its end."""

    def __init__(self, root: Path, engine: Path, *arguments: str | Path, **environment: str) -> None:
        command = [sys.executable, "-m", "runtime.serve", "--engine", engine, *arguments]
        if "--port" not in arguments:
            command += ["--port", "0"]
        self.process = subprocess.Popen(
            list(map(str, command)), cwd=root, env=os.environ | environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, self.process.communicate()[1]
        self.url = json.loads(line)["url"].rstrip("/").replace("0.0.0.0", "127.0.0.1")
        self.port = httpx.URL(self.url).port

    def client(self, **options: object) -> httpx.Client:
        """Talks to it. Its certificate is its own."""
        return httpx.Client(base_url=self.url, timeout=30, verify=False, **options)  # type: ignore[arg-type]

    def end(self) -> tuple[int, str]:
        """SIGTERM; (exit code, what it said on stderr)."""
        self.process.terminate()
        _, errors = self.process.communicate(timeout=20)
        return self.process.returncode, errors

    def kill(self) -> None:
        """As a power cut."""
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def serve(root: Path, tmp_path: Path) -> Iterator[Start]:
    """`serve(engine, *arguments)`: a running service, killed after the test where it still runs."""
    running: list[Served] = []

    def start(engine: Path, *arguments: str | Path, **environment: str) -> Served:
        running.append(Served(root, engine, *arguments, XDG_STATE_HOME=str(tmp_path / "state"), **environment))
        return running[-1]

    yield start
    for service in running:
        service.kill()


def tinting_graph(height: int, width: int) -> bytes:
    """translated = clip(frame + 100 · style + 200 · season[0]), channel by channel: what a control does is visible."""
    shape = [1, height, width, 3]
    port = {name: helper.make_tensor_value_info(name, TensorProto.UINT8, shape) for name in ("frame", "translated")}
    style = helper.make_tensor_value_info("style", TensorProto.FLOAT, [1, 3])
    season = helper.make_tensor_value_info("season", TensorProto.FLOAT, [1, 2])
    weights = {
        "gain": np.float32(100.0), "weight": np.array([[200.0], [0.0]], np.float32), "low": np.float32(0),
        "high": np.float32(255),
    }  # fmt: skip
    nodes = [
        helper.make_node("Cast", ["frame"], ["x"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["style", "gain"], ["tint"]),
        helper.make_node("MatMul", ["season", "weight"], ["light"]),
        helper.make_node("Add", ["x", "tint"], ["tinted"]),
        helper.make_node("Add", ["tinted", "light"], ["lit"]),
        helper.make_node("Clip", ["lit", "low", "high"], ["clipped"]),
        helper.make_node("Cast", ["clipped"], ["translated"], to=TensorProto.UINT8),
    ]
    constants = [numpy_helper.from_array(np.asarray(value), name) for name, value in weights.items()]
    graph = helper.make_graph(nodes, "tint", [port["frame"], style, season], [port["translated"]], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    content: bytes = model.SerializeToString()
    return content


@pytest.fixture(scope="session")
def tint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An engine with a sampled style of three numbers and two seasons, 48×64."""
    controls = (
        Control("style", "style", (1, 3), low=-1.0, high=1.0, distribution="uniform"),
        Control("season", "label", (1, 2), low=0.0, high=1.0, default=(0.0, 1.0), names=("summer", "winter")),
    )
    path = tmp_path_factory.mktemp("tint") / "tint.onnx"
    path.write_bytes(tinting_graph(48, 64))
    ports = [ImagePort(name, 48, 64, 3) for name in ("frame", "translated")]
    manifest = Manifest(
        path.name, {"engine": file_sha256(path)}, "tint", frame=ports[0], translated=(ports[1],), controls=controls,
        backend="onnxruntime",
    )  # fmt: skip
    write_manifest(manifest, path)
    return path


def png(frame: np.ndarray) -> bytes:
    """A picture's file."""
    return bytes(cv2.imencode(".png", frame)[1])
