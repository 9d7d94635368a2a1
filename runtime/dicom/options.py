"""What a node is told, checked before any library for DICOM is loaded."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from runtime.dicom.values import WINDOW, check_choice
from runtime.errors import DicomError

LOOPBACK = ("127.0.0.1", "localhost", "::1")
_PEER = re.compile(r"(?:([^@:\\]{1,16})@)?(?:([^@:]+|\[[0-9a-fA-F:]+\]):)?(\d{1,5})")
_LONGEST_LABEL = 32


@dataclass(frozen=True)
class Peer:
    """An application entity: what it is called and where it is."""

    title: str
    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.title}@{self.host}:{self.port}"


@dataclass(frozen=True)
class NodeOptions:
    """One node."""

    engine: Path
    state: Path
    pacs: Peer
    here: Peer
    allowed: tuple[str, ...] = ()  # calling AE titles; empty = any
    backend: str | None = None  # None: the manifest's
    controls: tuple[str, ...] = ()  # NAME=VALUE, as in runtime/controls.py
    fit: str = "letterbox"
    values: str = WINDOW  # as in values.py
    label: str = "SYNTHETIC"  # burned in; "" = none
    deidentify: bool = False

    def check(self) -> None:
        """Raise DicomError for what no node can do, or should not."""
        check_choice(self.values)
        if self.here.host not in LOOPBACK and not self.allowed:
            raise DicomError(f"listening on {self.here.host} needs --allow AET: who may send here?")
        if not self.label.isascii() or not self.label.isprintable() or len(self.label) > _LONGEST_LABEL:
            raise DicomError(f"--label takes up to {_LONGEST_LABEL} printable ASCII characters")

    @property
    def recipe(self) -> str:
        """What, beside the engine, decides what a derived image is; another recipe makes another series."""
        return "\n".join((*sorted(self.controls), self.fit, self.values, self.label, str(self.deidentify)))


def parse_peer(text: str, title: str, host: str = "") -> Peer:
    """`[AET@][HOST:]PORT`, with `title` and `host` where they are left out.

    Raises:
        DicomError: anything else, or no host where `host` is empty.
    """
    match = _PEER.fullmatch(text)
    if match is None or not text.isascii() or int(match[3]) > 65535 or not (match[2] or host):
        raise DicomError(f"{text!r} is not AET@HOST:PORT, such as ORTHANC@127.0.0.1:4242")
    return Peer(match[1] or title, (match[2] or host).strip("[]"), int(match[3]))
