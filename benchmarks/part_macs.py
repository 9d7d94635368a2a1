"""Multiply-accumulates of what a system ships, without building it: counted on the meta device, at paper settings.

The same convention as export/macs.py's exact one, which counts in the exported graph.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode
from tqdm import tqdm

from models.errors import DataError
from models.recipe import Recipe, read_recipe
from models.registry import SYSTEMS, system_class
from models.system import Control, Deployable

RECIPES = Path(__file__).parents[1] / "models" / "recipes"
GMACS_FILE = Path(__file__).parent / "results" / "gmacs.json"


@dataclass(frozen=True)
class Costs:
    """Of one system, at the size of its paper's recipe."""

    size: int  # px of the image that goes in (of the one that comes out, where none goes in)
    gmacs: dict[str, float]  # part → 10⁹ multiply-accumulates of one image
    controls: list[str]  # of the parts that make images: "`z`: noise"

    @staticmethod
    def read(path: Path) -> dict[str, Costs]:
        """System → costs; raises DataError when the file is none."""
        try:
            return {name: Costs(**values) for name, values in json.loads(path.read_text(encoding="utf-8")).items()}
        except (OSError, ValueError, TypeError) as error:
            raise DataError(f"{path} cannot be read ({error}): benchmarks.systems_page --count makes it") from error


def paper_recipe(name: str) -> Recipe:
    """The system's recipe of paper settings."""
    # SRGAN's recipe leaves the file of its content network to the user; what ships does not depend on it.
    return read_recipe(RECIPES / f"{name}.toml", ["content=mse"] if name == "srgan" else [])


def part_gmacs(part: Deployable, size: int) -> float:
    """Of one image of `size` px, in 10⁹."""
    height, width = part.fixed_size or (size, size)
    inputs = [torch.zeros(1, part.channels_in, height, width)] if part.channels_in else []
    inputs += [torch.zeros([length or size for length in control.shape]) for control in part.controls]
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        part.module(*inputs)
    return float(counter.get_total_flops() / 2e9)


def costs(name: str) -> Costs:
    """What a system's parts cost, and what steers them."""
    recipe = paper_recipe(name)
    kind = system_class(name)
    size = recipe.data.size // (recipe.data.scale if kind.data == "high_resolution" else 1)
    with torch.device("meta"):
        parts = kind(recipe.system).eval().deployables()
        gmacs = {part: part_gmacs(deployable, size) for part, deployable in parts.items()}
    made = [part for part in parts.values() if "image" in part.returns]
    controls = dict.fromkeys(_control(control) for part in made for control in part.controls)
    return Costs(size, gmacs, list(controls))


def _control(control: Control) -> str:
    names = f" ({', '.join(control.names[:3])}{', …' if len(control.names) > 3 else ''})" if control.names else ""
    return f"`{control.name}`: {control.kind}{names}"


def counted(path: Path, known: dict[str, Costs]) -> dict[str, Costs]:
    """The costs of every system; what is not known is counted, and then written."""
    unknown = [name for name in SYSTEMS if name not in known]
    if not unknown:
        return known
    new = {name: costs(name) for name in tqdm(unknown, desc="counting", unit="system")}
    every = {name: (known | new)[name] for name in sorted(SYSTEMS)}
    found = {name: asdict(values) for name, values in every.items()}
    partial = path.with_name(path.name + ".tmp")
    partial.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    partial.replace(path)
    return every
