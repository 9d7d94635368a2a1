"""How far a pixel is felt: what decides whether tiles of a larger frame give what one whole frame would.

Measured on the network itself, so that no kind of layer has to be known: one pixel is made not a number, which whatever
depends on it becomes as well (a convolution its surroundings, instance norm and attention the whole picture), and, for
what swallows that, very bright and very dark.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from export.frame_graph import IMAGE, FrameGraph
from runtime.manifest import WHOLE_FRAME, Control

_LEVELS = (float("nan"), 1e3, -1e3)


def reach_of(
    graph: FrameGraph, size: tuple[int, int], controls: Sequence[Control], stride: int
) -> dict[str, str]:
    """What a manifest says of it: {"reach": pixels or WHOLE_FRAME, "stride": pixels}; {} where there is nothing to say.

    `size` (H, W) of the frames; `stride`: H and W are multiples of it, and a shift by it shifts the result. The reach
    is an upper bound for every place of a pixel within a stride.
    """
    if not graph.channels_in or graph.returns != (IMAGE,):
        return {}
    row, column = (side // 2 // stride * stride for side in size)
    felt = _felt(graph, size, controls, (row, column))
    scale = felt.shape[0] // size[0]
    if not scale or not felt.any():
        return {}
    rows, columns = (felt.any(dim=axis).nonzero().flatten() for axis in (1, 0))
    fits = _fits(rows, felt.shape[0]) and _fits(columns, felt.shape[1])
    if not fits:
        return {"reach": WHOLE_FRAME, "stride": str(stride)}
    far = max(
        max(place - int(axis[0]) // scale, int(axis[-1]) // scale - place)
        for axis, place in ((rows, row), (columns, column))
    )
    return {"reach": str(far + stride - 1), "stride": str(stride)}


def _fits(felt: Tensor, length: int) -> bool:
    """Whether the rows or columns that feel the pixel end before the picture does."""
    return int(felt[0]) > 0 and int(felt[-1]) < length - 1


def _felt(graph: FrameGraph, size: tuple[int, int], controls: Sequence[Control], place: tuple[int, int]) -> Tensor:
    """(H, W) bool of the result: what depends on the pixel at `place`."""
    others = [torch.zeros(control.shape) for control in controls]
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(1, graph.channels_in, *size, generator=generator) * 2 - 1
    found = []
    with torch.no_grad():
        for level in _LEVELS:
            changed = image.clone()
            changed[:, :, place[0], place[1]] = level
            result = graph.network(changed if graph.pixels.layout == "nchw" else changed.permute(0, 2, 3, 1), *others)
            result = result if isinstance(result, Tensor) else result[0]
            found.append(result if graph.pixels.layout == "nchw" else result.permute(0, 3, 1, 2))
    unknown, bright, dark = found
    return (unknown.isnan() | (bright != dark)).any(dim=1)[0]
