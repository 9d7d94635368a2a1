"""A network seen through camera frames: whole levels in, whole levels out, no arithmetic left to the host.

`FrameGraph` is the definition, in torch: an exported graph must equal it to one level. `export.compose` writes the same
steps as graph nodes.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.system import Deployable
from runtime.errors import GraphError
from runtime.manifest import Control, ImagePort, Output

IMAGE = "image"
LEVELS = {8: 255, 16: 65535}
DTYPES = {8: "uint8", 16: "uint16"}
_TORCH_DTYPES = {8: torch.uint8, 16: torch.uint16}


@dataclass(frozen=True)
class PixelFormat:
    """How a network wants its images, and at which depth the camera gives them."""

    low: float = -1.0  # value of black
    high: float = 1.0  # value of white
    colour: str = "rgb"  # "rgb", "bgr" or "gray"; frames are always BGR or gray
    layout: str = "nchw"  # or "nhwc"
    bits: int = 8  # of the frames, 8 or 16

    @property
    def levels(self) -> int:
        """The greatest level of a frame, 255 or 65535."""
        return LEVELS[self.bits]

    @property
    def affine(self) -> tuple[float, float, float]:
        """(centre, scale, offset): value = (level − centre) · scale + offset.

        A range around 0 is centred on whole and half levels first, which half precision holds exactly.
        """
        centre = self.levels / 2 if self.low == -self.high else 0.0
        return centre, (self.high - self.low) / self.levels, 0.0 if centre else self.low

    @property
    def channel_axis(self) -> int:
        """1 of NCHW, 3 of NHWC."""
        return 1 if self.layout == "nchw" else 3

    def flips(self, channels: int) -> bool:
        """Whether an image of the network stands in another channel order than a frame (BGR)."""
        return channels == 3 and self.colour != "bgr"


class FrameGraph(nn.Module):
    """`forward([frame,] *controls)` → tuple: images (1, H, W, C) of levels in camera order, other outputs as they are.

    `frame` is (1, H, W, C) uint8 or uint16, BGR or gray; `network` gets it as `pixels` says.
    """

    def __init__(
        self, network: nn.Module, channels_in: int, returns: tuple[str, ...] = (IMAGE,),
        pixels: PixelFormat | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.network = network
        self.channels_in = channels_in
        self.returns = returns
        self.pixels = pixels or PixelFormat()

    @classmethod
    def around(cls, part: Deployable, bits: int = 8) -> FrameGraph:
        """The frame graph of a system's deployable, whose images are RGB or gray in [-1, 1]."""
        return cls(part.module, part.channels_in, part.returns, PixelFormat(bits=bits)).eval()

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        if self.channels_in:
            inputs = (self.to_network(inputs[0]), *inputs[1:])
        outputs = self.network(*inputs)
        outputs = (outputs,) if isinstance(outputs, Tensor) else tuple(outputs)
        if len(outputs) != len(self.returns):
            raise GraphError(f"the network returns {len(outputs)} tensors, but {len(self.returns)} are declared")
        return tuple(
            self.to_frame(output) if kind == IMAGE else output
            for output, kind in zip(outputs, self.returns, strict=True)
        )

    def to_network(self, frame: Tensor) -> Tensor:
        """(1, H, W, C) levels, BGR or gray → the network's layout, colour order and range."""
        image = frame.float()  # first: TensorRT transposes no integers
        if self.pixels.layout == "nchw":
            image = image.permute(0, 3, 1, 2)
        centre, scale, offset = self.pixels.affine
        return (self._flip(image) - centre) * scale + offset

    def to_frame(self, image: Tensor) -> Tensor:
        """The network's image → (1, H, W, C) levels, clamped and rounded half to even."""
        centre, scale, offset = self.pixels.affine
        levels = self._flip((image - offset) * (1 / scale) + centre).clamp(0, self.pixels.levels).round()
        if self.pixels.layout == "nchw":
            levels = levels.permute(0, 2, 3, 1)
        return levels.to(_TORCH_DTYPES[self.pixels.bits])

    def _flip(self, image: Tensor) -> Tensor:
        axis = self.pixels.channel_axis
        return image.flip(axis) if self.pixels.flips(image.shape[axis]) else image


@dataclass(frozen=True)
class Signature:
    """The named ports of a graph, in the order of its inputs and outputs."""

    frame: ImagePort | None
    controls: tuple[Control, ...]
    translated: tuple[ImagePort, ...]
    outputs: tuple[Output, ...]
    output_names: tuple[str, ...]

    @property
    def input_names(self) -> tuple[str, ...]:
        """`frame` where there is one, then the controls."""
        return (*(("frame",) if self.frame else ()), *(control.name for control in self.controls))


def controls_at(part: Deployable, size: tuple[int, int]) -> tuple[Control, ...]:
    """The controls with the open heights and widths of masks, images and maps, and the range of boxes, fixed to `size`
    (H, W)."""
    return tuple(
        Control(**{
            **vars(control), "shape": control.fixed(*size),
            "high": float(max(size)) if control.kind == "boxes" else control.high,
        })
        for control in part.controls
    )  # fmt: skip


def signature_of(
    graph: FrameGraph, size: tuple[int, int], controls: tuple[Control, ...] = (), names: tuple[str, ...] = ()
) -> Signature:
    """Run `graph` once on black to learn the shapes that come out at `size` (H, W); `names` are of its classes."""
    dtype = DTYPES[graph.pixels.bits]
    frame = _port("frame", (*size, graph.channels_in), dtype) if graph.channels_in else None
    black = [torch.zeros(1, *frame.shape, dtype=_TORCH_DTYPES[graph.pixels.bits])] if frame else []
    with torch.no_grad():
        results = graph(*black, *(torch.zeros(control.shape) for control in controls))
    translated: list[ImagePort] = []
    outputs: list[Output] = []
    order: list[str] = []
    for kind, result in zip(graph.returns, results, strict=True):
        name = _next_name("translated" if kind == IMAGE else kind, order)
        order.append(name)
        if kind == IMAGE:
            translated.append(_port(name, tuple(result.shape[1:]), dtype))
        else:
            classes = names if kind in ("classes", "segmentation") else ()
            outputs.append(Output(name, kind, tuple(result.shape), classes))
    return Signature(frame, controls, tuple(translated), tuple(outputs), tuple(order))


def _next_name(stem: str, taken: list[str]) -> str:
    """"translated", then "translated_1", "translated_2", …"""
    count = sum(name == stem or name.startswith(f"{stem}_") for name in taken)
    return f"{stem}_{count}" if count else stem


def _port(name: str, shape: tuple[int, ...], dtype: str) -> ImagePort:
    if len(shape) != 3 or shape[2] not in (1, 3):
        raise GraphError(f"{name} has the shape (H, W, C) = {shape}; an image has 1 or 3 channels")
    return ImagePort(name, *shape, dtype, "gray" if shape[2] == 1 else "bgr")
