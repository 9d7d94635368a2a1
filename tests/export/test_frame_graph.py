"""The definition of a frame graph in torch, against arithmetic written out in NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from export.frame_graph import FrameGraph, PixelFormat, controls_at, signature_of
from models.system import Control, Deployable
from runtime.errors import GraphError


class Recorder(nn.Module):
    """Identity that keeps what it was given."""

    def forward(self, x: Tensor) -> Tensor:
        self.given = x.detach().clone()
        return x


def every_level(bits: int) -> Tensor:
    """(1, 16, 16, 3): all 256 levels, or 256 of the 65536, other ones in each channel."""
    step = 1 if bits == 8 else 257
    levels = np.arange(256, dtype=np.int64).reshape(1, 16, 16, 1) * step
    frame = np.concatenate([levels, levels[:, ::-1], 255 * step - levels.transpose(0, 2, 1, 3)], axis=3)
    return torch.from_numpy(frame.astype(np.uint8 if bits == 8 else np.uint16))


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("layout", ["nchw", "nhwc"])
@pytest.mark.parametrize("colour", ["rgb", "bgr"])
@pytest.mark.parametrize(("low", "high"), [(-1, 1), (0, 1), (0, 255), (-0.5, 2)])
def test_every_level_reaches_the_network_as_stated_and_returns_unchanged(
    low: float, high: float, colour: str, layout: str, bits: int
) -> None:
    network = Recorder()
    frame = every_level(bits)
    (returned,) = FrameGraph(network, 3, pixels=PixelFormat(low, high, colour, layout, bits))(frame)
    assert torch.equal(returned, frame)
    wanted = low + frame.numpy().astype(np.float64) / (2**bits - 1) * (high - low)
    wanted = wanted[..., ::-1] if colour == "rgb" else wanted
    wanted = wanted.transpose(0, 3, 1, 2) if layout == "nchw" else wanted
    np.testing.assert_allclose(network.given.numpy(), wanted, atol=2e-7 * max(abs(low), abs(high)))


def test_halves_round_to_even_and_values_beyond_the_range_are_clamped() -> None:
    graph = FrameGraph(nn.Identity(), 0, pixels=PixelFormat(0, 255))
    given = torch.tensor([-7.0, 0.5, 1.5, 2.5, 254.5, 255.4, 1e9]).reshape(1, 1, 1, 7)
    assert graph(given)[0].flatten().tolist() == [0, 0, 2, 2, 254, 255, 255]


def test_a_gray_network_that_gives_colour_gives_bgr() -> None:
    class Colouriser(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.cat([x, x * 0, x * 0 - 1], dim=1)  # red carries the picture

    graph = FrameGraph(Colouriser(), 1, pixels=PixelFormat(colour="gray"))
    frame = torch.full((1, 4, 4, 1), 200, dtype=torch.uint8)
    assert graph(frame)[0][0, 0, 0].tolist() == [0, 128, 200]


class Several(nn.Module):
    """image, style, mask → image, classes, a second image."""

    def forward(self, x: Tensor, style: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return x * mask, style.repeat(1, 2), x[:, :1, ::2, ::2]


def test_ports_are_named_and_measured() -> None:
    controls = (Control("style", "style", (1, 5)), Control("mask", "mask", (1, 1, 0, 0)))
    part = Deployable(Several(), controls=controls, returns=("image", "classes", "image"), names=("cat", "dog"))
    signature = signature_of(FrameGraph.around(part), (8, 12), controls_at(part, (8, 12)), part.names)
    assert signature.input_names == ("frame", "style", "mask")
    assert signature.output_names == ("translated", "classes", "translated_1")
    assert [control.shape for control in signature.controls] == [(1, 5), (1, 1, 8, 12)]
    assert [(port.shape, port.colour) for port in signature.translated] == [((8, 12, 3), "bgr"), ((4, 6, 1), "gray")]
    assert signature.outputs[0].shape == (1, 10)
    assert signature.outputs[0].names == ("cat", "dog")


def test_a_generator_of_noise_has_no_frame() -> None:
    part = Deployable(nn.Unflatten(1, (3, 4, 5)), channels_in=0, controls=(Control("z", "noise", (1, 60)),))
    signature = signature_of(FrameGraph.around(part), (1, 1), controls_at(part, (1, 1)))
    assert signature.frame is None
    assert signature.translated[0].shape == (4, 5, 3)


def test_an_undeclared_output_is_refused() -> None:
    part = Deployable(Several(), controls=(Control("style", "style", (1, 5)), Control("mask", "mask", (1, 1, 0, 0))))
    with pytest.raises(GraphError, match="returns 3 tensors, but 1 are declared"):
        signature_of(FrameGraph.around(part), (8, 12), controls_at(part, (8, 12)))
