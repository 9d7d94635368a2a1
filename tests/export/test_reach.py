"""How far a pixel is felt, against what the layers' sizes say; and that tiles by it are one whole frame."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from export.frame_graph import FrameGraph
from export.reach import reach_of
from export.source import Trained
from runtime.engine import infer, open_engine
from runtime.manifest import Control
from runtime.tile_layout import Seam
from runtime.tiling import TiledEngine

SIZE = (64, 96)


def conv(kernel: int, dilation: int = 1, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(3, 3, kernel, stride, padding=dilation * (kernel // 2), dilation=dilation)


class Strided(nn.Module):
    """Half the size and back: whole 2×2 cells, and their neighbours to each side."""

    def __init__(self) -> None:
        super().__init__()
        self.down, self.middle = nn.Conv2d(3, 4, 2, 2), nn.Conv2d(4, 4, 3, padding=1)
        self.up = nn.ConvTranspose2d(4, 3, 2, 2)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.up(F.relu(self.middle(self.down(x))))
        return torch.tanh(y)


class Gain(nn.Module):
    """Each pixel by the mean of all: what global average pooling does."""

    def forward(self, x: Tensor) -> Tensor:
        return x * x.mean(dim=(2, 3), keepdim=True)


class Styled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = conv(5)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        y: Tensor = self.conv(x) * (1 + style.view(1, 3, 1, 1))
        return y


@pytest.mark.parametrize(
    ("build", "stride", "reach"),
    [
        (nn.Identity, 1, "0"),
        (lambda: conv(7), 1, "3"),
        (lambda: conv(3, dilation=4), 1, "4"),
        (lambda: nn.Sequential(conv(3), nn.ReLU(), conv(3), nn.ReLU(), conv(5), nn.Tanh()), 1, "4"),
        (lambda: nn.Sequential(nn.ReflectionPad2d(3), nn.Conv2d(3, 3, 7), nn.BatchNorm2d(3)), 1, "3"),
        (Strided, 2, "4"),  # 2 to the left, 1 + 2 to the right, and one for the place in the cell
        (lambda: nn.Sequential(conv(3), nn.PixelShuffle(1), nn.Upsample(scale_factor=2)), 1, "1"),
        (lambda: nn.Sequential(conv(3), nn.InstanceNorm2d(3)), 1, "frame"),
        (Gain, 1, "frame"),
        (lambda: nn.Sequential(conv(3, 16), conv(3, 16)), 1, "frame"),  # as far as the frame is high
        (lambda: nn.GroupNorm(3, 3), 1, "frame"),
    ],
)
def test_reach_is_what_the_layers_say(build: Callable[[], nn.Module], stride: int, reach: str) -> None:
    torch.manual_seed(0)
    graph = FrameGraph(build().eval(), 3)
    assert reach_of(graph, SIZE, (), stride) == {"reach": reach, "stride": str(stride)}


def test_a_control_belongs_to_no_place() -> None:
    torch.manual_seed(0)
    control = Control("style", "style", (1, 3))
    assert reach_of(FrameGraph(Styled(), 3), SIZE, (control,), 1)["reach"] == "2"


@pytest.fixture(scope="module")
def example(root: Path) -> Path:
    return root / "examples" / "bottling"


@pytest.fixture(scope="module")
def frame(example: Path) -> np.ndarray:
    """Twice as high and wide as the shipped engine's."""
    _, picture = cv2.VideoCapture(str(example / "degraded.mp4")).read()
    return np.ascontiguousarray(cv2.resize(picture, (1280, 720), interpolation=cv2.INTER_LINEAR))


@pytest.fixture(scope="module")
def whole(example: Path, frame: np.ndarray) -> np.ndarray:
    """What the trained network gives for all of it at once."""
    part = Trained.load(example / "cyclegan.safetensors").part("generator")
    with torch.no_grad():
        (result,) = FrameGraph.around(part)(torch.from_numpy(frame[None]))
    return np.asarray(result.numpy()[0].astype(int))


def test_the_shipped_manifests_say_how_far_the_network_sees(example: Path) -> None:
    part = Trained.load(example / "cyclegan.safetensors").part("generator")
    found = reach_of(FrameGraph.around(part), (192, 192), (), part.multiple)
    assert found == {"reach": "42", "stride": "4"}
    for manifest in example.glob("*.onnx.json"):
        assert json.loads(manifest.read_text())["decisions"].items() >= found.items()


def test_tiles_of_a_network_without_statistics_are_the_whole_frame(
    example: Path, frame: np.ndarray, whole: np.ndarray
) -> None:
    said: list[str] = []
    with closing(TiledEngine(open_engine(example / "cyclegan.onnx"), said.append)) as tiles:
        tiled = infer(tiles, {"frame": frame[None]})["translated"][0]
    assert said == []
    assert whole.std() > 20
    difference = np.abs(tiled - whole)
    assert difference.max() <= 1
    assert (difference > 0).mean() < 1e-3


def test_tiles_without_the_margin_are_not(example: Path, frame: np.ndarray, whole: np.ndarray) -> None:
    """The test above can fail: where rims are used, the seams show."""
    with closing(TiledEngine(open_engine(example / "cyclegan.onnx"))) as tiles:
        tiles._seam = Seam(0, (4, 4), 4)
        tiled = infer(tiles, {"frame": frame[None]})["translated"][0]
    assert np.abs(tiled - whole).max() > 2
