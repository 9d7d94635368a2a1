#!/bin/sh
# in loco: the environment beside the sources, unless INLOCO_PYTHON names another; else the system's Python.
python=${INLOCO_PYTHON:-@LIB@/venv/bin/python}
[ -n "${INLOCO_PYTHON:-}" ] || [ -x "$python" ] || python=python3
exec "$python" "@LIB@" "$@"
