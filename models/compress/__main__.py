"""The door to the search for the best student of a teacher: `python -m models.compress --help`.

The search trains, exports, quantises and times, so it stands where all of that may be imported, in benchmarks/search;
models/ imports none of it, and opens it by name as `inloco` does.
"""

from __future__ import annotations

import runpy
import sys
from importlib.util import find_spec

from models.errors import ConfigError, run_command

SEARCH = "benchmarks.search"


def main() -> int:
    """As `python -m benchmarks.search` with the same arguments."""
    if find_spec(SEARCH.partition(".")[0]) is None:
        raise ConfigError("the search needs the package benchmarks/, which this installation lacks")
    sys.argv[0] = "python -m models.compress"
    runpy.run_module(SEARCH, run_name="__main__", alter_sys=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(run_command(main))
