"""The one layout of all reports: a title, facts, and sections with a text, a picture and a table."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from streamflow_offline.html.shown import shown

Cell = object
"""A number, a text, or None; numbers stand on the right."""


@dataclass(frozen=True, kw_only=True)
class Table:
    """Rows of cells; each cell is shown as text."""

    header: Sequence[str]
    rows: Sequence[Sequence[Cell]]


@dataclass(frozen=True, kw_only=True)
class Section:
    """A part of a page; what it does not have is left out."""

    title: str
    text: str = ""

    picture: str = ""
    """A plot, as the URL that `plots` return."""

    picture_says: str = ""
    """What the plot shows, for who can't see it."""

    table: Table | None = None


def html_page(title: str, *, passed: bool | None = None, facts: Mapping[str, Cell], sections: Sequence[Section]) -> str:
    """Return a page; `passed` colors the title. All texts may have any characters."""
    from jinja2 import Environment, PackageLoader, StrictUndefined  # noqa: PLC0415  # the extra html

    environment = Environment(
        loader=PackageLoader("streamflow_offline.html", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["shown"] = _cell
    environment.tests["number"] = lambda value: isinstance(value, int | float) and not isinstance(value, bool)
    template = environment.get_template("report.html")
    return template.render(title=title, passed=passed, facts=facts, sections=sections)


def _cell(value: Cell) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:,.6g}" if isinstance(value, float) else shown(value)
