"""Reads the streams of `--config`: one table each, with the names of the command's options; what stands above the
tables holds for every stream that does not say otherwise.

    engine = "cyclegan_int8.onnx"
    deadline = "50ms"

    [streams.line1]
    source = "rtsp://10.0.0.7/line"
    sink = "line1.mp4"

    [streams.line2]
    camera = 0
    sink = "null:"
    control = ["style=seed:3"]
"""

from __future__ import annotations

import sys
from argparse import Action, ArgumentParser, _AppendAction
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NoReturn

from runtime.errors import ConfigError
from runtime.stream_options import StreamOptions, options_of, stream_parser

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # the same parser, before it joined the standard library

_STREAMS = "streams"
_NOT_HERE = ("config", "json", "help", "control-stdin")  # of the process, or of its one standard input
_INSTEAD = {"camera": "source", "source": "camera", "realtime": "lossless", "lossless": "realtime"}


class _Parser(ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ConfigError(message)


def read_streams(path: Path) -> dict[str, StreamOptions]:
    """The streams of a file by name, in its order.

    Raises:
        ConfigError: it cannot be read, or says what cannot be; with the stream and the nearest word that there is.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read {path}: {error}; it holds a table [streams.NAME] for every stream") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is not TOML: {error}") from error
    tables = content.pop(_STREAMS, None)
    if not isinstance(tables, dict) or not tables:
        raise ConfigError(f"{path} names no stream: add a table [streams.NAME] for each")
    found = {}
    for name, table in tables.items():
        if not isinstance(table, dict):
            raise ConfigError(f"{path}: streams.{name} is no table; write [streams.{name}] above its options")
        try:
            found[name] = _options({**_without_overruled(content, table), **table})
        except ConfigError as error:
            raise ConfigError(f"{path}: stream {name!r}: {error}") from error
    _refuse_shared_places(found, path)
    return found


def _without_overruled(common: Mapping[str, Any], table: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in common.items() if _INSTEAD.get(key) not in table}


def _options(values: Mapping[str, Any]) -> StreamOptions:
    """One stream, through the parser of the command itself."""
    parser = stream_parser(_Parser)
    known = {name.removeprefix("--"): action for action in parser._actions for name in action.option_strings}
    allowed = [name for name in known if name not in (*_NOT_HERE, "-h")]
    arguments: list[str] = []
    for key, value in values.items():
        if key not in allowed:
            near = get_close_matches(key.replace("_", "-"), allowed, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(allowed)}"
            raise ConfigError(f"there is no option {key!r}; {hint}")
        action = known[key]
        arguments += _as_arguments(key, value, action)
    for needed in (("engine",), ("source", "camera"), ("sink",)):
        if not any(key in values for key in needed):
            raise ConfigError(f"it names no {' or '.join(needed)}")
    return options_of(parser.parse_args(arguments))


def _as_arguments(key: str, value: Any, action: Action) -> list[str]:
    """As on a command line. `action.nargs`: 0 for switches, "?" where the value may be left out."""
    is_list = isinstance(action, _AppendAction)
    if action.nargs == 0 and not isinstance(value, bool):
        raise ConfigError(f"{key} is true or false, not {value!r}")
    if action.nargs in (0, "?") and isinstance(value, bool):
        return [f"--{key}"] if value else []
    values = value if is_list and isinstance(value, list) else [value]
    for item in values:
        if isinstance(item, bool) or not isinstance(item, (str, int, float)):
            raise ConfigError(f"{key} is {'a list of texts' if is_list else 'one text or number'}, not {value!r}")
    return [f"--{key}={item}" for item in values]


def _refuse_shared_places(streams: Mapping[str, StreamOptions], path: Path) -> None:
    taken: dict[str, str] = {}
    for name, options in streams.items():
        folder = options.record.folder if options.record else None
        for where in map(str, filter(None, (options.sink, options.report, folder))):
            if where == "null:":
                continue
            if where in taken:
                raise ConfigError(f"{path}: streams {taken[where]!r} and {name!r} both write to {where}")
            taken[where] = name
