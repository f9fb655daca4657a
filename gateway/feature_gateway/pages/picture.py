"""A picture of what depends on what: a column for each kind, a line for each dependency; pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from feature_gateway.pages.catalogue import ENTITY, ON_DEMAND, SERVICE, VIEW, Entry

MAX_NODES = 150
"""With more, a picture shows nothing."""

_COLUMNS = (ENTITY, VIEW, ON_DEMAND, SERVICE)
_WIDTH, _HEIGHT = 210, 30
_GAP_X, _GAP_Y = 70, 14
_TOP = 28
_SWEEPS = 4

_Identity = tuple[str, str]


@dataclass(frozen=True)
class Node:
    """A definition, with the upper left corner of its box."""

    kind: str
    name: str
    x: float
    y: float

    anchor: str
    """Where the page has it; empty if it has not."""


@dataclass(frozen=True)
class Picture:
    """Boxes and lines, and how large they are together."""

    nodes: Sequence[Node]
    lines: Sequence[str]
    """The lines, as SVG's paths have them."""

    titles: Sequence[tuple[str, float]]
    """The name of each column, and where it begins."""

    width: float
    height: float
    box: tuple[int, int] = (_WIDTH, _HEIGHT)


def picture_of(entries: Sequence[Entry]) -> Picture | None:
    """Return the picture of some definitions and of what they stand on; None if they are none, or too many."""
    anchors = {entry.identity: entry.anchor for entry in entries}
    uses = {entry.identity: list(entry.uses) for entry in entries}
    identities = list(dict.fromkeys([*anchors, *(used for some in uses.values() for used in some)]))
    if not identities or len(identities) > MAX_NODES:
        return None
    columns = [some for kind in _COLUMNS if (some := [one for one in identities if one[0] == kind])]
    places = _placed(columns, uses)
    height = max(y for _, y in places.values()) + _HEIGHT + _GAP_Y
    return Picture(
        nodes=[Node(*one, *place, anchors.get(one, "")) for one, place in places.items()],
        lines=[_line(places[used], places[one]) for one, some in uses.items() for used in some],
        titles=[(some[0][0], at * (_WIDTH + _GAP_X)) for at, some in enumerate(columns)],
        width=len(columns) * (_WIDTH + _GAP_X) - _GAP_X,
        height=height,
    )


def _placed(
    columns: Sequence[list[_Identity]], uses: Mapping[_Identity, Sequence[_Identity]]
) -> dict[_Identity, tuple[float, float]]:
    """Return where each box is: each column in the order of its neighbours' mean, so that few lines cross."""
    neighbours: dict[_Identity, list[_Identity]] = {}
    for one, some in uses.items():
        for used in some:
            neighbours.setdefault(one, []).append(used)
            neighbours.setdefault(used, []).append(one)
    rank = {one: float(at) for column in columns for at, one in enumerate(sorted(column))}
    for _ in range(_SWEEPS):
        for column in columns:
            mean = {one: _mean([rank[near] for near in neighbours.get(one, [])], rank[one]) for one in column}
            column.sort(key=lambda one: (mean[one], one))  # sorted at once
            rank |= {one: float(at) for at, one in enumerate(column)}
    # Lines from feature views to feature services pass above the on-demand ones.
    above = max(len(column) for column in columns if column[0][0] != ON_DEMAND) if len(columns) > 1 else 0
    return {
        one: (at * (_WIDTH + _GAP_X), _TOP + (row + (above if one[0] == ON_DEMAND else 0)) * (_HEIGHT + _GAP_Y))
        for at, column in enumerate(columns)
        for row, one in enumerate(column)
    }


def _mean(values: Sequence[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise


def _line(start: tuple[float, float], end: tuple[float, float]) -> str:
    x, y = start[0] + _WIDTH, start[1] + _HEIGHT / 2
    to_x, to_y = end[0], end[1] + _HEIGHT / 2
    middle = (x + to_x) / 2
    return f"M{x:g} {y:g}C{middle:g} {y:g} {middle:g} {to_y:g} {to_x:g} {to_y:g}"
