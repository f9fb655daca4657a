"""Fields of a frozen object that are read from environment variables."""

from collections.abc import Callable, Mapping
from dataclasses import Field, field, fields
from typing import Any


class SettingsError(ValueError):
    """A setting that can't be used; the message names the variable, its value and what it takes."""


def setting(
    variable: str,
    default: object,
    parse: Callable[[str], object],
    *,
    other_name: str | None = None,
    secret: bool = False,
    quoted: bool = True,
) -> Any:
    """Return a field with its variable; `other_name` is a second variable, which is read as well.

    An error quotes the value, unless the value is `secret` or not to be `quoted`.
    """
    quoted = quoted and not secret
    metadata = {"variable": variable, "parse": parse, "other_name": other_name, "quoted": quoted}
    return field(default=default, repr=not secret, metadata=metadata)


def values_of(kind: type[Any], environment: Mapping[str, str], *, prefix: str) -> dict[str, Any]:
    """Return the values of a dataclass's fields that an environment has; raise SettingsError.

    An unknown variable that starts with `prefix` is an error, so that a typing error is noticed.
    """
    by_variable = {variable: each for each in fields(kind) for variable in _variables(each)}
    unknown = sorted(name for name in environment if name.startswith(prefix) and name not in by_variable)
    if unknown:
        raise SettingsError(f"{', '.join(unknown)}: no such setting; there are {', '.join(sorted(by_variable))}")
    values: dict[str, Any] = {}
    for variable, each in by_variable.items():
        if variable not in environment:
            continue
        value = _parsed(variable, each, environment[variable])
        if values.setdefault(each.name, value) != value:
            both = " and ".join(f"{name} is {environment[name]!r}" for name in _variables(each))
            raise SettingsError(f"{both}: they are two names of one setting; set one")
    return values


def _variables(each: "Field[Any]") -> list[str]:
    other_name = each.metadata["other_name"]
    return [each.metadata["variable"], *([other_name] if other_name else [])]


def _parsed(variable: str, each: "Field[Any]", text: str) -> Any:
    try:
        return each.metadata["parse"](text)
    except ValueError as error:
        shown = f" is {text!r}" if each.metadata["quoted"] else ""
        raise SettingsError(f"{variable}{shown}: {error}") from error
