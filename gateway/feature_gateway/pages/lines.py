"""Lines over the last minutes, as SVG; pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 640, 190
_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 630, 12, 158
_STEPS = (1, 2, 5, 10)

Points = Sequence[tuple[float, float | None]]
"""How long ago, in seconds, and the value; None where there is none."""


@dataclass(frozen=True)
class Line:
    """One line of a plot."""

    label: str
    path: str
    now: str
    """The newest value in words."""


@dataclass(frozen=True)
class Plot:
    """Lines over time, with marks of the value."""

    title: str
    unit: str
    lines: Sequence[Line]
    marks: Sequence[tuple[float, str]]
    """The height of each mark, and what it says."""

    span_s: float
    box: tuple[int, int, int, int, int, int] = (WIDTH, HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM)

    @property
    def summary(self) -> str:
        """What the plot shows, for who does not see it."""
        return f"{self.title}, now: " + ", ".join(f"{line.label} {line.now}" for line in self.lines)


def plot_of(title: str, unit: str, series: dict[str, Points], *, span_s: float, least: float = 0.0) -> Plot:
    """Return the plot of some series over the last `span_s` seconds, each of a point at least; `least` as in number."""
    values = [value for points in series.values() for _, value in points if value is not None]
    top = round_up(max(values, default=0.0))
    return Plot(
        title,
        unit,
        [
            Line(
                label,
                _path(points, top=top, span_s=span_s),
                number(points[-1][1] if points else None, unit, least=least),
            )
            for label, points in series.items()
        ],
        [(_y(top * share, top), number(top * share, unit)) for share in (0.0, 0.5, 1.0)],
        span_s,
    )


def round_up(value: float) -> float:
    """Return the next of 1, 2 or 5 times a power of ten; 1 for 0."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in _STEPS if step * power >= value)


def number(value: float | None, unit: str, *, least: float = 0.0) -> str:
    """Return a number of up to three digits with its unit, or that it is under the least that is measured."""
    if value is None:
        return "none"
    if value < least:
        return f"under {number(least, unit)}"
    digits = 0 if value >= 100 else 1 if value >= 10 else 2  # noqa: PLR2004  # three in all
    text = f"{value:,.{digits}f}"
    if digits:
        text = text.rstrip("0").rstrip(".")
    return f"{text} {unit}" if unit else text


def _path(points: Points, *, top: float, span_s: float) -> str:
    parts = []
    pen_up = True
    for ago_s, value in points:
        if value is None or ago_s > span_s:
            pen_up = True
            continue
        x = _RIGHT - (_RIGHT - _LEFT) * ago_s / span_s
        parts.append(f"{'M' if pen_up else 'L'}{x:.1f} {_y(value, top):.1f}")
        pen_up = False
    return "".join(parts)


def _y(value: float, top: float) -> float:
    return _BOTTOM - (_BOTTOM - _TOP) * value / top
