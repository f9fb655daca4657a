"""The error of this package, and the lines that say what a contract leaves out."""

from collections.abc import Iterable, Mapping


class ContractError(ValueError):
    """A contract can't be made, written or read; the message says why and what to do."""


def left_out_lines(left_out: Iterable[Mapping[str, str]]) -> list[str]:
    """Return a line for each definition that a contract leaves out, with the reason."""
    return [f"{kind_name(entry['kind'])} {entry['name']}: {entry['why']}" for entry in left_out]


def kind_name(kind: str) -> str:
    """Return a kind of definition as it is said: "on-demand feature view" for "on_demand_feature_view"."""
    return kind.replace("on_demand", "on-demand").replace("_", " ")
