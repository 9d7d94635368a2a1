"""Inception v3 from a file of the user's: without it there is no FID, and with another network there is none either."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from pickle import UnpicklingError
from zipfile import BadZipFile

import numpy as np
import onnx
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from benchmarks.quality.inception import CLASSES, DIMENSIONS, SIDE, Inception
from calibration.evaluate import Graph
from runtime.errors import SourceError
from runtime.frames import Array
from runtime.manifest import file_sha256

Reader = Callable[[Array], tuple[Array, Array | None]]  # (3, 299, 299) float32 → (2048), (1008) where there are logits

PUBLISHED = "6726825d"  # how the SHA-256 of the published conversion begins; its file's name says so as well
WAY = (
    "give --inception pt_inception-2015-12-05-6726825d.pth, which the projects pytorch-fid and torch-fidelity publish "
    "with their releases on GitHub (copy it here from a machine that is on the net), or an ONNX export of it; without "
    "it there are fd_squeezenet and kid_squeezenet"
)


def open_inception(path: Path) -> tuple[Reader, str]:
    """The network of a file (.pth, .safetensors or .onnx), and what is to be said of it: "" for the published weights.

    An ONNX takes (1, 3, 299, 299) float32 RGB as (level - 128) / 128 and gives 2048 features; 1008 logits, if it has
    them, are for the Inception score.

    Raises:
        SourceError: the file is missing, damaged, or another network's.
    """
    if not path.is_file():
        raise SourceError(f"there is no file {path}: {WAY}")
    reader = _from_onnx(path) if path.suffix == ".onnx" else _from_weights(path)
    digest = file_sha256(path)
    if digest.startswith(PUBLISHED):
        return reader, ""
    told = f"Inception from {path.name}, SHA-256 {digest[:12]}…, not the published file: compare only with itself"
    return reader, told


def _from_weights(path: Path) -> Reader:
    try:
        stored = load_file(path) if path.suffix == ".safetensors" else torch.load(path, "cpu", weights_only=True)
    except (OSError, EOFError, ValueError, SafetensorError, UnpicklingError, RuntimeError, BadZipFile) as error:
        raise SourceError(f"{path} is damaged, or no .pth, .safetensors or .onnx file: {WAY}") from error
    weights = {str(name): value for name, value in dict(stored).items() if "num_batches_tracked" not in str(name)}
    head = weights.get("fc.weight")
    if head is not None and tuple(head.shape) == (1000, DIMENSIONS):
        raise SourceError(f"{path} holds torchvision's Inception (1000 classes), whose features give no FID: {WAY}")
    network = Inception().eval()
    wanted = {name for name in network.state_dict() if "num_batches_tracked" not in name}
    try:
        found = network.load_state_dict(weights, strict=False)
        same = wanted.isdisjoint(found.missing_keys) and not found.unexpected_keys
    except (RuntimeError, AttributeError):  # other shapes; no tensors
        same = False
    if not same:
        raise SourceError(f"the weights in {path} are not those of FID's Inception v3: {WAY}")

    @torch.no_grad()
    def read(image: Array) -> tuple[Array, Array]:
        features, logits = network(torch.from_numpy(image)[None])
        return features[0].numpy(), logits[0].numpy()

    return read


def _from_onnx(path: Path) -> Reader:
    try:
        model = onnx.load(path)
    except Exception as error:  # protobuf and onnx raise unrelated types
        raise SourceError(f"{path} is damaged, or no ONNX file: {WAY}") from error
    if _convolutions(model) != _published_convolutions():
        count, numbers = _convolutions(model)
        raise SourceError(
            f"{path} is not Inception v3, which has 94 convolutions with 21.7 million weights (it has {count} with "
            f"{numbers / 1e6:.1f} million): {WAY}"
        )
    graph, constants = Graph(model), {tensor.name for tensor in model.graph.initializer}
    given = next(port.name for port in model.graph.input if port.name not in constants)

    def read(image: Array) -> tuple[Array, Array | None]:
        found = {output.size: output.ravel() for output in graph({given: image[None]}).values()}
        return found[DIMENSIONS], found.get(CLASSES)

    try:
        read(np.zeros((3, SIDE, SIDE), np.float32))
    except Exception as error:  # ONNX Runtime raises several unrelated types
        raise SourceError(f"{path} does not give {DIMENSIONS} features of a (1, 3, {SIDE}, {SIDE}) image") from error
    return read


def _convolutions(model: onnx.ModelProto) -> tuple[int, int]:
    """How many there are, and how many weights they have together."""
    sizes = {tensor.name: int(np.prod(tensor.dims)) for tensor in model.graph.initializer}
    found = [sizes.get(node.input[1], 0) for node in model.graph.node if node.op_type == "Conv"]
    return len(found), sum(found)


@cache
def _published_convolutions() -> tuple[int, int]:
    with torch.device("meta"):
        weights = [module.weight for module in Inception().modules() if isinstance(module, torch.nn.Conv2d)]
    return len(weights), sum(weight.numel() for weight in weights)


def prepared(rgb: Array) -> Array:
    """(H, W, 3) uint8 RGB → (3, 299, 299) float32 as Inception takes it.

    Resized as TensorFlow 1 did inside the graph: bilinear from the corner, each output pixel from the four around
    (y · H / 299, x · W / 299), without smoothing where it shrinks.
    """
    x = torch.from_numpy(rgb.astype(np.float32)).permute(2, 0, 1)
    for axis in (1, 2):
        size = x.shape[axis]
        place = torch.arange(SIDE) * (size / SIDE)
        low = place.long()
        x = _mixed(x, axis, low, (low + 1).clamp(max=size - 1), (place - low).float())
    return np.asarray((x.numpy() - 128) / 128, np.float32)


def _mixed(x: Tensor, axis: int, low: Tensor, high: Tensor, share: Tensor) -> Tensor:
    share = share[:, None] if axis == 1 else share
    return x.index_select(axis, low) * (1 - share) + x.index_select(axis, high) * share
