"""Say what an engine is and prove that its bytes are those of its manifest, without loading a vendor library.

    python -m runtime.verify cyclegan_fp16.plan
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from runtime.controls import describe
from runtime.errors import DONE, run_command
from runtime.manifest import ImagePort, Manifest, verify_engine


def describe_engine(manifest: Manifest) -> str:
    """A few lines for people: what the engine is, takes, gives, and how it was judged."""
    facts = {
        "engine": f"{manifest.file}, verified (SHA-256 {manifest.sha256['engine'][:16]}…)",
        "system": ", ".join(filter(None, (manifest.system, manifest.task))),
        "takes": _port(manifest.frame) if manifest.frame else "no frame",
        "gives": ", ".join(map(_port, manifest.translated)) or ", ".join(o.kind for o in manifest.outputs),
        "controls": describe(manifest.controls) if manifest.controls else "none",
        "companions": ", ".join(manifest.companions.values()),
        "precision": manifest.precision,
        "backend": f"{manifest.backend} {manifest.backend_version}".strip(),
        "targets": ", ".join(manifest.targets),
        "parity": _figures(manifest.parity),
        "gate": _figures(manifest.gate),
        "licence": manifest.licence,
    }
    return "\n".join(f"{name:<11}{fact}" for name, fact in facts.items() if fact)


def _port(port: ImagePort) -> str:
    return f"{port.name} {port.height}×{port.width} {port.colour} {port.dtype}"


def _figures(figures: dict[str, object]) -> str:
    """The plain values of a gate or a parity check; what is nested is for machines."""
    return ", ".join(f"{name} {value}" for name, value in figures.items() if not isinstance(value, dict | list))


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(
        prog="python -m runtime.verify",
        description="Check an engine and the engines it needs against their manifests.",
        epilog="example: python -m runtime.verify cyclegan_fp16.plan",
    )
    parser.add_argument("engine", type=Path, help="engine with its manifest beside it")
    parser.add_argument("--json", action="store_true", help="print the manifest as one JSON object")
    arguments = parser.parse_args()
    manifest = verify_engine(arguments.engine)
    print(json.dumps(asdict(manifest)) if arguments.json else describe_engine(manifest))
    return DONE


if __name__ == "__main__":
    raise SystemExit(run_command(main))
