"""From a source to a checked frame graph on disk, or to a bundle: the graph and its companions."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path

import onnx
import torch

from export.bake import baked
from export.colour_order import fold_flips
from export.compose import frame_graph_from_network
from export.fold import fold_affine
from export.macs import count_macs
from export.parity import measure_parity, parity_items
from export.rounding import with_trained_ranges
from export.simplify import refuse_random_nodes, simplified
from export.source import Source
from export.trace import OPSET
from runtime.companions import EngineCompanions
from runtime.controls import Surroundings
from runtime.errors import GraphError
from runtime.images import list_images
from runtime.manifest import Control, Manifest, companion_hash, file_sha256, write_manifest
from runtime.notes import note, say_nothing


@dataclass(frozen=True)
class Plan:
    """What is asked for: a source, its companions by name, real frames for the comparison, and controls to fix."""

    source: Callable[[], Source]
    companion: Callable[[str], Source]
    frames: Path | None = None
    bake: tuple[str, ...] = ()  # NAME=VALUE


def export_bundle(plan: Plan, out: Path) -> dict[str, Manifest]:
    """Write the graph `out` and its companions beside it, with manifests; return those by file name, `out`'s last.

    Raises:
        GraphError, GateError, SourceError: as `export_graph`.
        ControlError: what shall be baked in is wrong.
    """
    source = plan.source()
    made: dict[str, Manifest] = {}
    for role in source.companions:
        path = out.with_name(companion_name(out.name, role))
        made[path.name] = export_graph(plan.companion(role), path, plan.frames)
        write_manifest(made[path.name], path)
    ports = _ports(source, out)
    with closing(EngineCompanions(out, ports, "onnxruntime", say_nothing)) as companions:
        if plan.bake:
            source = baked(source, plan.bake, Surroundings(ports, companions, "crop", note))
        source = _with_default_styles(source, companions, plan.frames)
        manifest = export_graph(source, out, plan.frames, companions)
    pins = {companion_hash(role): made[name].sha256["engine"] for role, name in manifest.companions.items()}
    manifest = replace(manifest, sha256=manifest.sha256 | pins)
    write_manifest(manifest, out)
    kept = {name: made[name] for name in manifest.companions.values()}
    return {**kept, out.name: manifest}


def export_graph(
    source: Source, out: Path, frames: Path | None = None, companions: EngineCompanions | None = None
) -> Manifest:
    """Compose, simplify, fold and check the frame graph of `source`, write it to `out`; return its manifest, unwritten.

    `companions` compute the styles that the comparison draws.

    Raises:
        GraphError: the graph draws random numbers or is not valid ONNX.
        GateError: it differs from the trained network.
        SourceError: `frames` cannot be read.
    """
    ports = _ports(source, out)
    items, described = parity_items(ports, frames, companions)
    pixels, returns = source.reference.pixels, source.reference.returns
    graph = frame_graph_from_network(source.network, source.signature, pixels, returns)
    refuse_random_nodes(graph.graph)
    graph, simplification = simplified(graph, items[:2])
    graph = fold_flips(fold_affine(graph))
    _check(graph)
    parity = measure_parity(graph, source.run_reference, items)
    graph = with_trained_ranges(graph, source, items[0])
    out.write_bytes(graph.SerializeToString())
    return replace(
        ports,
        sha256={"engine": file_sha256(out), "checkpoint": source.sha256},
        backend_version=f"opset {OPSET}",
        parity={"frames": described, "reference": f"torch {torch.__version__}", **parity.figures()},
        decisions=source.decisions | {"simplification": simplification} | _rounding(source),
        macs=count_macs(graph).exact,
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
    )


def _rounding(source: Source) -> dict[str, str]:
    """What the manifest says of a network that was trained rounded."""
    if (trained := source.ranges) is None:
        return {}
    return {"trained rounded": f"{trained.placement.weight_bits}-bit weights, {len(trained.ranges)} ranges"}


def companion_name(engine: str, part: str) -> str:
    """File name of the companion `part` beside an engine: x.onnx → x_style_encoder.onnx."""
    return f"{Path(engine).stem}_{part}{Path(engine).suffix}"


def _ports(source: Source, out: Path) -> Manifest:
    """The manifest of `out` as far as it is known before there is a graph."""
    signature = source.signature
    return Manifest(
        out.name, {}, source.system, source.task, signature.frame, signature.translated, signature.outputs,
        signature.controls, companions={role: companion_name(out.name, role) for role in source.companions},
    )  # fmt: skip


def _with_default_styles(source: Source, companions: EngineCompanions, frames: Path | None) -> Source:
    """Styles without a plain distribution get a default that the generator has seen: a draw, or the first frame's."""
    controls: list[Control] = []
    told: dict[str, str] = {}
    for control in source.signature.controls:
        if control.kind == "style" and control.default is None and not control.distribution:
            control, text = _default_style(control, companions, frames)
            told |= {f"default {control.name}": text} if text else {}
        controls.append(control)
    signature = replace(source.signature, controls=tuple(controls))
    return replace(source, signature=signature, decisions=source.decisions | told)


def _default_style(control: Control, companions: EngineCompanions, frames: Path | None) -> tuple[Control, str]:
    role = control.sampler or (control.companion if frames is not None else "")
    if not role:
        return control, ""
    own = companions.manifest_of(role).controls
    labels = [f"{label.name}={label.names[0]}" for label in own if label.kind == "label" and label.names]
    if control.sampler:
        value, text = companions.sample(control, 0, labels), "seed:0"
    else:
        assert frames is not None
        picture = list_images(frames)[0]
        value, text = companions.encode(control, picture, labels), picture.name
    return replace(control, default=tuple(value.ravel().tolist())), ",".join([text, *labels])


def _check(graph: onnx.ModelProto) -> None:
    try:
        onnx.checker.check_model(graph, full_check=True)
    except onnx.checker.ValidationError as error:
        raise GraphError(f"the exported graph is not valid ONNX: {str(error).splitlines()[0]}") from error
