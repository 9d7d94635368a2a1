"""Two files hold a run: `checkpoint.safetensors`, what ships, and `training.pt`, everything needed to go on.

The first is data only (safetensors: no code runs when it is opened) with the system's name and settings inside; the
second is read with torch's restricted loader.

    python -m models.checkpoint RUN/checkpoint.safetensors --part ab --out cyclegan.safetensors
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from models.compress.last_phase import TrainedRanges, read_ranges, separate_ranges
from models.ema import shipped_names
from models.errors import CheckpointError, ConfigError, run_command
from models.registry import build_system
from models.system import System

FORMAT = "inloco-1"


@dataclass(frozen=True)
class CheckpointInfo:
    """What a checkpoint says about itself."""

    system: str
    config: dict[str, Any]
    kimg: float
    parts: tuple[str, ...]  # names of System.deployables() whose weights it holds
    sha256: str
    ranges: dict[str, TrainedRanges] = field(default_factory=dict)  # of the parts that were trained rounded


def save_checkpoint(path: Path, system: System, name: str, kimg: float, weights: dict[str, Tensor]) -> None:
    """Write the shipped `weights` (by their names in the system) whole or not at all."""
    weights, ranges = separate_ranges(system, weights)
    metadata = {
        "format": FORMAT, "system": name, "config": json.dumps(asdict(system.cfg)), "kimg": str(kimg),
        "parts": json.dumps(list(system.deployables())), "ranges": ranges,
    }  # fmt: skip
    _write(path, weights, metadata)


def load_system(path: Path) -> tuple[System, CheckpointInfo]:
    """The system in eval mode with the shipped weights; networks that do not ship keep random ones.

    Raises:
        CheckpointError: the file is missing, damaged, not ours, holds NaN, or does not fit the system it names.
    """
    weights, metadata = _read(path)
    info = CheckpointInfo(
        metadata["system"], json.loads(metadata["config"]), float(metadata["kimg"]),
        tuple(json.loads(metadata["parts"])), hashlib.sha256(path.read_bytes()).hexdigest(),
        read_ranges(metadata.get("ranges", "{}")),
    )  # fmt: skip
    for name, tensor in weights.items():
        if not torch.isfinite(tensor).all():
            raise CheckpointError(f"{path} holds NaN or infinity in {name}: training diverged; take an earlier one")
    settings = {key: tuple(value) if isinstance(value, list) else value for key, value in info.config.items()}
    try:
        system = build_system(info.system, settings)
    except ConfigError as error:
        raise CheckpointError(f"{path} was written by another version: {error}") from error
    _fill(system, info, weights, path)
    return system.eval(), info


def strip_checkpoint(path: Path, part: str, out: Path) -> None:
    """Write a checkpoint that holds only one deployable's weights."""
    system, info = load_system(path)
    if part not in info.parts:
        raise CheckpointError(f"{path} has no part {part!r}; it has {', '.join(info.parts)}")
    weights, metadata = _read(path)
    wanted = _part_names(system, part)
    metadata["parts"] = json.dumps([part])
    _write(out, {name: tensor for name, tensor in weights.items() if name in wanted}, metadata)


def _fill(system: System, info: CheckpointInfo, weights: dict[str, Tensor], path: Path) -> None:
    needed = set().union(*(_part_names(system, part) for part in info.parts))
    state = system.state_dict()
    if missing := needed - weights.keys():
        raise CheckpointError(f"{path} lacks {sorted(missing)[0]!r} of system {info.system!r}: it is damaged")
    for name, tensor in weights.items():
        if name not in state or state[name].shape != tensor.shape:
            raise CheckpointError(f"{path} does not fit system {info.system!r}: {name!r} is another network's")
        state[name].copy_(tensor)


def _part_names(system: System, part: str) -> set[str]:
    own = {id(t) for t in system.deployables()[part].module.state_dict(keep_vars=True).values()}
    return {name for name, t in system.state_dict(keep_vars=True).items() if id(t) in own}


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    if not path.is_file():
        raise CheckpointError(f"there is no checkpoint {path}; train one with `python -m models.train`")
    try:
        with safe_open(path, "pt") as stream:
            metadata = stream.metadata() or {}
            weights = {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} is not a safetensors file or is damaged ({error}); copy it again") from error
    if metadata.get("format") != FORMAT:
        raise CheckpointError(f"{path} was not written by models.train (no {FORMAT!r} header)")
    return weights, metadata


def _write(path: Path, weights: dict[str, Tensor], metadata: dict[str, str]) -> None:
    partial = path.with_name(path.name + ".tmp")
    partial.write_bytes(save({name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}, metadata))
    os.replace(partial, path)


def shipped_weights(system: System) -> dict[str, Tensor]:
    """The present weights of the shipped networks, by name."""
    state = system.state_dict()
    return {name: state[name] for name in shipped_names(system)}


def main() -> int:
    """Keep one deployable of a checkpoint."""
    parser = argparse.ArgumentParser(
        prog="python -m models.checkpoint", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("checkpoint", type=Path, help="checkpoint.safetensors of a run")
    parser.add_argument("--part", required=True, help="the deployable to keep, e.g. ab")
    parser.add_argument("--out", type=Path, required=True, help="the smaller checkpoint to write")
    args = parser.parse_args()
    strip_checkpoint(args.checkpoint, args.part, args.out)
    print(args.out)
    return 0


if __name__ == "__main__":
    raise SystemExit(run_command(main))
