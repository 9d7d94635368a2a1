"""Joins an engine and a node for as long as the process lives."""

from __future__ import annotations

import signal
from collections.abc import Callable
from contextlib import closing
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from types import FrameType

from runtime.controls import parse_controls
from runtime.dicom.derive import Provenance
from runtime.dicom.discretion import keep_silent
from runtime.dicom.node import Node
from runtime.dicom.options import NodeOptions
from runtime.dicom.translate import Translator
from runtime.engine import open_engine
from runtime.manifest import read_manifest
from runtime.service_manager import ServiceManager


def serve(options: NodeOptions, ready: Callable[[int], None]) -> dict[str, int]:
    """Run a node until SIGINT or SIGTERM; `ready` gets the port once senders may come.

    Returns how often each event happened, and how many files are left in each stage. Raises InlocoError in one sentence
    for whatever is wrong at the start, and when the engine fails; what was taken over stays in the queue.
    """
    controls = parse_controls(options.controls, read_manifest(options.engine).controls)
    keep_silent()
    with closing(Node(options)) as node, closing(open_engine(options.engine, options.backend)) as engine:
        made = Provenance(engine.manifest, engine.backend, _version(), options.recipe, options.label)
        _stop_on_signals(node)
        manager = ServiceManager()
        node.beat = partial(_tell, manager, node)

        def say_ready(port: int) -> None:
            ready(port)
            manager.ready()

        node.run(Translator(engine, controls, options.fit, options.values), made, say_ready)
        manager.stopping()
        return {**node.counts, **node.waiting()}


def _tell(manager: ServiceManager, node: Node) -> None:
    manager.say(", ".join(f"{count} {event}" for event, count in node.counts.items()))
    manager.alive()


def _version() -> str:
    try:
        return version("inloco")
    except PackageNotFoundError:  # a folder with `runtime` only
        return "source"


def _stop_on_signals(node: Node) -> None:
    """Let SIGINT and SIGTERM end the node, and a second one interrupt it."""

    def stop(number: int, frame: FrameType | None) -> None:
        signal.signal(number, signal.default_int_handler)
        node.stop()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
