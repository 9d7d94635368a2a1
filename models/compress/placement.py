"""Where the INT8 graph of a network rounds, found in torch: the rule of `calibration/int8.py` on what a forward pass
calls.

A network is run once in eval mode while every torch function is noted with the tensors that it reads and makes. On that
record the rule is the same as on the exported graph: convolutions with constant weights take rounded inputs, the first
and the last are spared, and additions of a rounded convolution's result to a skip take both operands rounded. A batch
norm behind a convolution is part of it, as export folds it. `export` proves the agreement value by value.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

CONVOLUTIONS = ("conv2d", "conv_transpose2d")
ADDITIONS = ("add", "add_", "__add__", "__radd__", "__iadd__")
_NORM = "batch_norm"
# Functions that give their argument back when a network is not in training.
_IDENTITIES = ("contiguous", "dropout", "dropout2d", "feature_dropout", "identity", "requires_grad_", "to", "float")


@dataclass(frozen=True)
class Placement:
    """What may be rounded; as `calibration.int8.Policy`."""

    ends: bool = False  # the first and the last convolutions too
    transposed: bool = False  # transposed convolutions too
    weight_bits: int = 7


@dataclass(frozen=True)
class Site:
    """A call whose operands are rounded."""

    kind: str  # a name of CONVOLUTIONS, or "add"
    ranges: tuple[int, ...]  # of the first operands: the index of each one's range
    norm: str = ""  # of a convolution: the batch norm that export folds into it, as a module's name


@dataclass(frozen=True)
class Plan:
    """Where a network rounds. Calls of CONVOLUTIONS and ADDITIONS are counted from 0 in the order of a forward pass."""

    sites: dict[int, Site]
    tensors: int  # distinct rounded tensors: so many ranges


@dataclass
class _Call:
    """A noted call; values are numbered, one for every tensor that was made of the network's inputs."""

    name: str
    number: int  # among the counted; -1 for others
    reads: tuple[int, ...]
    makes: tuple[int, ...]
    alike: bool = False  # two operands of one shape, neither of them constant
    constant_weight: bool = False
    module: str = ""  # of a batch norm


@dataclass(eq=False)
class Record(TorchFunctionMode):
    """What a forward pass does; enter it around the call. `values` holds every tensor that depends on the inputs."""

    inputs: Sequence[Tensor]
    norms: dict[int, str]  # id of running variance → module's name
    calls: list[_Call] = field(default_factory=list)
    values: list[Tensor] = field(default_factory=list)  # kept, or an id could come again

    def __post_init__(self) -> None:
        super().__init__()
        self.counted = 0
        self.number_of: dict[int, int] = {}
        for tensor in self.inputs:
            self._number(tensor)

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        name, given = getattr(func, "__name__", ""), (*args, *(kwargs or {}).values())
        reads = tuple(self.number_of[id(t)] for t in _tensors(given) if id(t) in self.number_of)
        call = _Call(name, -1, reads, ())
        if name in CONVOLUTIONS + ADDITIONS:
            call.number, self.counted = self.counted, self.counted + 1
            call.alike = _alike(given, self.number_of)
            call.constant_weight = len(reads) == 1
        if name == _NORM:
            call.module = next((self.norms[id(t)] for t in _tensors(given) if id(t) in self.norms), "")
        result = func(*args, **(kwargs or {}))
        made = [t for t in _tensors((result,)) if not (name in _IDENTITIES and id(t) in self.number_of)]
        if reads and made:
            call.makes = tuple(self._number(tensor) for tensor in made)
            self.calls.append(call)
        return result

    def _number(self, tensor: Tensor) -> int:
        self.values.append(tensor)
        self.number_of[id(tensor)] = len(self.values) - 1
        return len(self.values) - 1


def plan_rounding(network: nn.Module, inputs: Sequence[Tensor], placement: Placement) -> Plan:
    """Where `network` rounds under `placement`; `inputs` are of any size it takes."""
    return _plan(_record(network, inputs), placement)[0]


def rounded_tensors(network: nn.Module, inputs: Sequence[Tensor], placement: Placement) -> list[Tensor]:
    """The tensors that are rounded, exact, in the order of their ranges."""
    record = _record(network, inputs)
    return [record.values[value] for value in _plan(record, placement)[1]]


@torch.no_grad()
def _record(network: nn.Module, inputs: Sequence[Tensor]) -> Record:
    norms = {id(m.running_var): name for name, m in network.named_modules() if isinstance(m, nn.BatchNorm2d)}
    modes = {module: module.training for module in network.modules()}
    network.eval()
    record = Record(inputs, norms)
    try:
        with record:
            network(*inputs)
    finally:
        for module, mode in modes.items():
            module.training = mode
    return record


def _plan(record: Record, placement: Placement) -> tuple[Plan, list[int]]:
    """The plan, and the value behind each range: convolutions' inputs first, as `calibration.int8.activations`."""
    calls, norms = _folded(record.calls)
    flow = _Flow(calls)
    layers = [
        call for call in calls
        if call.name in CONVOLUTIONS and call.constant_weight and not flow.is_spared(call, placement.ends)
        and (call.name == "conv2d" or placement.transposed)
    ]  # fmt: skip
    rounded = {call.number for call in layers}
    operands = {call.number: call.reads[:1] for call in layers}
    operands |= {
        call.number: call.reads for call in calls if call.name in ADDITIONS and flow.is_residual(call, rounded)
    }
    values = list(dict.fromkeys(value for reads in operands.values() for value in reads))
    kinds = {call.number: "add" if call.name in ADDITIONS else call.name for call in calls}
    sites = {
        number: Site(kinds[number], tuple(values.index(value) for value in reads), norms.get(number, ""))
        for number, reads in operands.items()
    }
    return Plan(sites, len(values)), values


def _folded(calls: list[_Call]) -> tuple[list[_Call], dict[int, str]]:
    """The calls with batch norms taken into the convolutions before them; those norms' names by convolution."""
    makers = {value: call for call in calls for value in call.makes}
    readers = _readers(calls)
    norms: dict[int, str] = {}
    kept = []
    for call in calls:
        before = makers.get(call.reads[0])
        if call.module and before and before.name in CONVOLUTIONS and len(readers[call.reads[0]]) == 1:
            norms[before.number] = call.module
            before.makes = call.makes
            makers |= dict.fromkeys(call.makes, before)
        else:
            kept.append(call)
    return kept, norms


class _Flow:
    """Who makes and who reads each value."""

    def __init__(self, calls: list[_Call]) -> None:
        self.maker = {value: call for call in calls for value in call.makes}
        self.readers = _readers(calls)

    def is_spared(self, call: _Call, ends: bool) -> bool:
        """As `calibration.int8._is_spared`."""
        inner = [self._reaches_layer(call, before) for before in (True, False)]
        return not any(inner) if ends else not all(inner)

    def is_residual(self, call: _Call, rounded: set[int]) -> bool:
        """As `calibration.int8._is_residual`."""
        joined = any(
            value in self.maker and self.maker[value].number in rounded and len(self.readers[value]) == 1
            for value in call.reads
        )
        return call.alike and joined and self._reaches_layer(call, before=False)

    def _reaches_layer(self, call: _Call, before: bool) -> bool:
        seen: set[int] = set()
        pending = [call]
        while pending:
            for other in self._beside(pending.pop(), before):
                if other.name in CONVOLUTIONS:
                    return True
                if id(other) not in seen:
                    seen.add(id(other))
                    pending.append(other)
        return False

    def _beside(self, call: _Call, before: bool) -> Iterable[_Call]:
        if before:
            return [self.maker[value] for value in call.reads if value in self.maker]
        return [reader for value in call.makes for reader in self.readers[value]]


def _readers(calls: list[_Call]) -> dict[int, list[_Call]]:
    readers: dict[int, list[_Call]] = defaultdict(list)
    for call in calls:
        for value in dict.fromkeys(call.reads):
            readers[value].append(call)
    return readers


def _alike(given: tuple[Any, ...], known: dict[int, int]) -> bool:
    """Whether the two operands of an addition are of one shape and depend on the inputs."""
    operands = [item for item in given if isinstance(item, Tensor)]
    return len(operands) == 2 and all(id(t) in known for t in operands) and operands[0].shape == operands[1].shape


def _tensors(items: Iterable[Any]) -> list[Tensor]:
    found: list[Tensor] = []
    for item in items:
        if isinstance(item, Tensor):
            found.append(item)
        elif isinstance(item, (list, tuple)):
            found += _tensors(item)
    return found
