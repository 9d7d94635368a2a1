"""Compiles libinloco.so; needs a C compiler, cffi and a Python with a shared libpython.

    python -m runtime.capi.build --out build/capi
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory

from cffi import FFI

from runtime.errors import DONE, EngineError, run_command

HERE = Path(__file__).resolve().parent
HEADER = HERE / "inloco.h"
LIBRARY = "libinloco.so"
WARNINGS = ("-Wall", "-Wextra", "-Werror")
# Run by cffi once the interpreter has started; an error becomes a status and a text.
_START = """
from _inloco import ffi, lib
try:
    import os, sys
    root = ffi.string(lib.capi_root()).decode()
    if not root:
        raise ImportError("there is no runtime/ in a folder above libinloco.so; name its parent in INLOCO_ROOT")
    if not os.path.isdir(os.path.join(root, "runtime")):  # an installed one must not stand in for it silently
        raise ImportError(f"there is no runtime/ in INLOCO_ROOT = {root}")
    sys.path.insert(0, root)
    from runtime.capi.bridge import attach
    attach(ffi, lib)
    lib.capi_attached()
except BaseException as error:
    lib.capi_remember(f"{type(error).__name__}: {error}".encode())
"""
_SOURCE = """
#include "calls.h"
#include "start.h"
static int cffi_start_python(void);
int capi_start_bridge(void) { return cffi_start_python(); }
"""


def build(out: Path, extra_flags: tuple[str, ...] = ()) -> Path:
    """Compile the library into the folder `out`, with the header beside it; return the library's path.

    Raises:
        EngineError: this Python has no shared libpython, or the compiler is missing or refuses.
    """
    libpython = shared_libpython()
    out.mkdir(parents=True, exist_ok=True)
    library = out / LIBRARY
    with TemporaryDirectory() as folder:
        generated, exports = Path(folder) / "_inloco.c", Path(folder) / "exports.map"
        with redirect_stdout(StringIO()):  # cffi says what it does
            _interface().emit_c_code(str(generated))
        exports.write_text("{ global: inloco_*; local: *; };\n", encoding="ascii")
        partial = Path(folder) / LIBRARY
        include = ("-I", str(HERE), "-I", sysconfig.get_path("include"))
        own, objects = (*WARNINGS, *_definitions()), [Path(folder) / f"{name}.o" for name in ("a", "b", "c")]
        sources = ((HERE / "inloco.c", own), (HERE / "start.c", own), (generated, ("-w",)))
        for (source, flags), made in zip(sources, objects, strict=True):
            _compile("-std=gnu11", "-O2", "-fPIC", "-fvisibility=hidden", *flags, *extra_flags, *include,
                     "-c", str(source), "-o", str(made))  # fmt: skip
        _compile("-shared", *extra_flags, *map(str, objects), str(libpython), "-ldl", "-lpthread",
                 f"-Wl,-rpath,{libpython.parent}", f"-Wl,-soname,{LIBRARY}", f"-Wl,--version-script,{exports}",
                 "-Wl,-z,nodelete", "-o", str(partial))  # fmt: skip
        shutil.copy(partial, library.with_suffix(".tmp"))
    os.replace(library.with_suffix(".tmp"), library)
    shutil.copy(HEADER, out)
    return library


def shared_libpython() -> Path:
    """The shared library of this interpreter's Python.

    Raises:
        EngineError: it was built without one.
    """
    folder, name = sysconfig.get_config_var("LIBDIR"), sysconfig.get_config_var("INSTSONAME")
    library = Path(folder or "") / (name or "")
    multiarch = Path(folder or "") / (sysconfig.get_config_var("MULTIARCH") or "") / (name or "")
    for path in (library, multiarch):
        if path.is_file() and ".so" in path.name:
            return path
    raise EngineError(
        f"{sys.executable} has no shared libpython: install libpython3-dev, or build Python with --enable-shared"
    )


def declarations(header: Path) -> str:
    """The C declarations of a header of ours, without what only the preprocessor understands."""
    text = re.sub(r"/\*.*?\*/", "", header.read_text(encoding="utf-8"), flags=re.DOTALL)
    text = text.replace('#ifdef __cplusplus\nextern "C" {\n#endif\n', "").replace("#ifdef __cplusplus\n}\n#endif", "")
    return "\n".join(line for line in text.splitlines() if not line.startswith("#"))


def _interface() -> FFI:
    """What Python sees of C, and C of Python."""
    interface = FFI()
    calls = declarations(HERE / "calls.h")
    types = re.sub(r"^INLOCO_API[^;]*;", "", declarations(HEADER), flags=re.MULTILINE)
    interface.cdef(types)
    for name in re.findall(r"^PYTHON ([^;]*;)", calls, flags=re.MULTILINE):
        interface.cdef(f'extern "Python+C" {name}')
    interface.cdef(re.sub(r"^PYTHON [^;]*;", "", calls, flags=re.MULTILINE))
    interface.embedding_api("")
    interface.embedding_init_code(_START)
    interface.set_source("_inloco", _SOURCE)
    return interface


def _definitions() -> tuple[str, ...]:
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    return f'-DINLOCO_BUILD_PYTHON="{sys.executable}"', f'-DINLOCO_PYTHON_VERSION="{version}"'


def _compile(*arguments: str) -> None:
    compiler = shlex.split(os.environ.get("CC", "cc"))
    try:
        done = subprocess.run([*compiler, *arguments], capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise EngineError(f"there is no C compiler {compiler[0]!r}: install gcc, or name one in CC") from error
    if done.returncode:
        raise EngineError(f"the C compiler refuses:\n{done.stderr.strip()}")


def main() -> int:
    """Build the library; print where it is."""
    parser = argparse.ArgumentParser(
        prog="python -m runtime.capi.build",
        description="Compile the C library libinloco.so and put inloco.h beside it.",
        epilog="example: python -m runtime.capi.build --out build/capi",
    )
    parser.add_argument("--out", type=Path, default=Path("build/capi"), help="folder for both (default: %(default)s)")
    print(build(parser.parse_args().out))
    return DONE


if __name__ == "__main__":
    raise SystemExit(run_command(main))
