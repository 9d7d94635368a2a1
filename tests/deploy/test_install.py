"""`make install` into a folder of its own: what lies where, that it runs, and that it goes again."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

# Without what `make test` tells those that it calls.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")}


def make(root: Path, *words: str | Path) -> str:
    done = subprocess.run(["make", *map(str, words)], cwd=root, env=ENVIRONMENT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc"}


def test_it_lies_where_debian_wants_it_and_goes_again(root: Path, tmp_path: Path) -> None:
    make(root, "install", f"DESTDIR={tmp_path}", "PREFIX=/usr")
    laid = files(tmp_path)
    assert {
        "usr/bin/inloco", "usr/lib/inloco/runtime/stream.py", "usr/lib/inloco/runtime/service/page/index.html",
        "usr/lib/systemd/system/inloco-stream@.service", "usr/share/doc/inloco/install.md",
        "usr/share/doc/inloco/drop-ins/private-network.conf", "etc/inloco/stream.env.example",
    } <= laid  # fmt: skip
    assert not [name for name in laid if "__pycache__" in name or name.endswith((".new", ".tmp"))]
    texts = ("usr/bin/inloco", *(name for name in laid if name.endswith(".service")))
    for name in texts:
        text = (tmp_path / name).read_text()
        assert str(tmp_path) not in text, "DESTDIR is where it was packed, not where it will be"
        assert not any(word in text for word in ("@BIN@", "@LIB@", "@CONF@", "@DOC@", "@SERVICE@"))
    own = tmp_path / "etc" / "inloco" / "line3.env"
    own.write_text("ENGINE=mine\n")
    make(root, "uninstall", f"DESTDIR={tmp_path}", "PREFIX=/usr")
    assert files(tmp_path) == {"etc/inloco/line3.env"}


def test_it_runs_from_anywhere_and_imports_nothing_from_there(root: Path, tmp_path: Path) -> None:
    prefix, elsewhere = tmp_path / "a prefix", tmp_path / "elsewhere"
    make(root, "install", f"PREFIX='{prefix}'")
    (elsewhere / "runtime").mkdir(parents=True)
    (elsewhere / "runtime" / "__init__.py").write_text("raise SystemExit('this is not the installed one')\n")
    environment = {"PATH": os.environ["PATH"], "INLOCO_PYTHON": sys.executable}
    engine = root / "examples" / "bottling" / "cyclegan_int8.onnx"
    done = subprocess.run(
        [prefix / "bin" / "inloco", "verify", engine], cwd=elsewhere, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "verified" in done.stdout
    again = make(root, "install", f"PREFIX='{prefix}'")
    assert again == "", "a second time replaces the first"


@pytest.mark.parametrize("prefix", ["usr", "./usr"])
def test_a_relative_prefix_is_refused(root: Path, prefix: str) -> None:
    words = ["make", "install", f"PREFIX={prefix}"]
    done = subprocess.run(words, cwd=root, env=ENVIRONMENT, capture_output=True, text=True)
    assert done.returncode != 0
    assert "PREFIX must be an absolute path" in done.stderr
