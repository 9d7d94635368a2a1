"""Settings are frozen dataclasses filled from one flat table of names and values; a wrong name or type is refused."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any, TypeVar

from models.errors import ConfigError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # the same parser, before it joined the standard library

C = TypeVar("C")


def build_configs(classes: Sequence[type[Any]], values: Mapping[str, Any]) -> list[Any]:
    """One instance of each dataclass; a name that several of them have goes to all of them, the last one's default too.

    Raises:
        ConfigError: a name that none has (with the nearest one), or a value of another type than the default's.
    """
    defaults = [dataclasses.asdict(cls()) for cls in classes]
    known = {name: value for table in defaults for name, value in table.items()}
    for name in values:
        if name not in known:
            near = get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(sorted(known))}"
            raise ConfigError(f"there is no setting {name!r}; {hint}")
    return [
        cls(**{name: _typed(name, values[name], known[name]) if name in values else known[name] for name in table})
        for cls, table in zip(classes, defaults, strict=True)
    ]


def build_config(cls: type[C], values: Mapping[str, Any]) -> C:
    """One instance of one dataclass; errors as `build_configs`."""
    config: C = build_configs([cls], values)[0]
    return config


def parse_toml(text: str) -> dict[str, Any]:
    """A TOML document as a dictionary; raises ValueError in the parser's words."""
    return tomllib.loads(text)


def parse_setting(text: str) -> tuple[str, Any]:
    """`width=32` → ("width", 32): the value as in TOML; a bare word is a string."""
    name, equals, value = text.partition("=")
    if not equals:
        raise ConfigError(f"--set takes NAME=VALUE, got {text!r}")
    try:
        return name.strip(), parse_toml(f"value = {value}")["value"]
    except ValueError:
        return name.strip(), value.strip()


def _typed(name: str, value: Any, default: Any) -> Any:
    wanted = type(default)
    if wanted is float and type(value) is int:
        return float(value)
    if wanted is tuple and isinstance(value, (list, tuple)):
        return tuple(_typed(name, item, default[0]) if default else item for item in value)
    if type(value) is not wanted:
        raise ConfigError(f"{name} must be {wanted.__name__} like {default!r}, got {value!r}")
    return value
