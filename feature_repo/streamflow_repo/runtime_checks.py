"""Feast imported without the checks of arguments at run time."""

from typing import TypeVar

import typeguard

_Target = TypeVar("_Target")


def leave_out_runtime_checks() -> None:
    """Have Feast imported without run-time checks of arguments. Call it before anything of Feast is imported.

    Feast 0.67 has typeguard write checks into the constructors of its definitions, which takes 2.7 of the 4.1 s that
    importing it takes. Only authors of definitions need the checks; `feast apply` and `offline apply` keep them.
    Python's -O does the same, and removes assertions too.
    """
    typeguard.typechecked = _as_it_is  # type: ignore[assignment]  # Feast uses it without arguments alone


def _as_it_is(target: _Target) -> _Target:
    return target
