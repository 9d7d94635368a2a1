"""Whether engines can take each other's turn on a ladder: the same kind of frames in and out, and the same controls."""

from __future__ import annotations

from collections.abc import Sequence

from runtime.errors import EngineError
from runtime.manifest import Control, ImagePort, Manifest
from runtime.notes import Say

_OF_A_NETWORK = ("style", "noise", "content")  # kinds whose numbers mean something to the network that learned them
OF_A_PLACE = ("boxes", "mask", "image")  # kinds that are made for frames of one size


def check_rungs(manifests: Sequence[Manifest], fit: str, original: bool, say: Say) -> None:
    """Raise EngineError for the first engine that cannot stand on the ladder below the first.

    A control that a lower engine lacks has no effect there: that is said. One that it has and the first lacks, or one
    of another shape, range or classes, is refused: there would be nothing to set it by.
    """
    first = manifests[0]
    frame, picture = _ports(first)
    for rung in manifests[1:]:
        _check_pixels(rung, (frame, picture), first)
        _check_controls(rung, first, say)
    if original and (frame.dtype != picture.dtype or (frame.channels == 1) < (picture.channels == 1)):
        raise EngineError(
            f"{first.file} turns {_pixels(frame)} into {_pixels(picture)}: its original cannot stand in; "
            "add --no-original"
        )


def _check_pixels(rung: Manifest, wanted: tuple[ImagePort, ImagePort], first: Manifest) -> None:
    for found, needed, what in zip(_ports(rung), wanted, ("takes", "gives"), strict=True):
        if (found.channels, found.dtype) != (needed.channels, needed.dtype):
            raise EngineError(
                f"{rung.file} {what} {_pixels(found)}, {first.file} {_pixels(needed)}: "
                "engines of one ladder must be alike; export it for the same pixels"
            )


def _check_controls(rung: Manifest, first: Manifest, say: Say) -> None:
    known = {control.name: control for control in first.controls}
    for control in rung.controls:
        if control.name not in known:
            raise EngineError(
                f"{rung.file} has a control {control.name!r} that {first.file} lacks: there is nothing to set it by; "
                "bake it in when you export"
            )
        if _shape(control) != _shape(known[control.name]):
            raise EngineError(
                f"control {control.name!r} of {rung.file} is not that of {first.file} (kind, shape, range or classes): "
                "engines of one ladder must take the same"
            )
        if control.kind in OF_A_PLACE and _ports(rung)[0].shape != _ports(first)[0].shape:
            raise EngineError(
                f"control {control.name!r} belongs to frames of one size, and {rung.file} has another than {first.file}"
            )
    for name in sorted(known.keys() - {control.name for control in rung.controls}):
        say(f"{rung.file} has no control {name!r}: it has no effect on that step of the ladder")
    learned = [control.name for control in rung.controls if control.kind in _OF_A_NETWORK]
    if learned and rung.sha256.get("checkpoint") != first.sha256.get("checkpoint"):
        say(f"{rung.file} was trained apart from {first.file}: the same {learned[0]!r} may look different")


def _shape(control: Control) -> tuple[object, ...]:
    return control.kind, control.shape, control.low, control.high, control.names


def _ports(manifest: Manifest) -> tuple[ImagePort, ImagePort]:
    if manifest.frame is None or len(manifest.translated) != 1:
        raise EngineError(f"{manifest.file} is not one image in, one image out: it cannot stand on a ladder")
    return manifest.frame, manifest.translated[0]


def _pixels(port: ImagePort) -> str:
    return f"{port.channels} channel(s) of {port.dtype}"
