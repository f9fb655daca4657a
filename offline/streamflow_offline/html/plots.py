"""Plots as pictures inside a page.

A picture is an SVG in a data URL: a browser runs no script of an image and loads nothing for it.
"""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from streamflow_offline.html.shown import shown

if TYPE_CHECKING:
    import altair as alt

_WIDTH_PX, _ROW_PX, _PLOT_PX = 560, 22, 220
# The plot is laid out for vl-convert's font. A browser's may be wider, and what is outside of the picture is cut.
_PADDING = {"left": 40, "right": 40, "top": 5, "bottom": 5}
_SMALL_WIDTH_PX, _SMALL_HEIGHT_PX, _COLUMNS = 240, 90, 3


def bars(values: Mapping[str, float], *, title: str, percent: bool = False) -> str:
    """Return horizontal bars, one for each name, in the order given."""
    import altair as alt  # noqa: PLC0415  # the extra html

    rows = [{"name": shown(name), "value": value} for name, value in values.items()]
    axis = alt.Axis(format=".1%" if percent else "~g")
    chart = alt.Chart(alt.Data(values=rows)).mark_bar()
    return _url(
        chart.encode(
            x=alt.X("value:Q", title=title, axis=axis),
            y=alt.Y("name:N", title=None, sort=None, axis=alt.Axis(labelLimit=_WIDTH_PX // 2)),
        ).properties(width=_WIDTH_PX, height=alt.Step(_ROW_PX))
    )


def lines(
    series: Mapping[str, Sequence[tuple[float | str, float]]], *, x_title: str, title: str, log: bool = False
) -> str:
    """Return a line with points for each series; x are numbers, or texts that are in order."""
    import altair as alt  # noqa: PLC0415  # the extra html

    rows = [{"name": shown(name), "x": x, "y": y} for name, points in series.items() for x, y in points]
    numbers = all(isinstance(row["x"], int | float) for row in rows)
    chart = alt.Chart(alt.Data(values=rows)).mark_line(point=True)
    return _url(
        chart.encode(
            x=alt.X("x:Q" if numbers else "x:O", title=x_title, scale=alt.Scale(type="log") if log else alt.Undefined),
            y=alt.Y("y:Q", title=title),
            color=alt.Color("name:N", title=None, sort=None),
        ).properties(width=_WIDTH_PX, height=_PLOT_PX)
    )


def histograms(counts: Mapping[str, Mapping[str, Sequence[tuple[str, int]]]]) -> str:
    """Return a small plot for each name: the share of each bin, a line for each group; bins stay in order."""
    import altair as alt  # noqa: PLC0415  # the extra html

    plots = []
    for name, groups in counts.items():
        rows = [
            {"bin": shown(label), "share": count / (sum(each for _, each in bins) or 1), "group": shown(group)}
            for group, bins in groups.items()
            for label, count in bins
        ]
        plots.append(
            alt.Chart(alt.Data(values=rows), title=shown(name))
            .mark_line(point=True)
            .encode(
                x=alt.X("bin:O", title=None, sort=None, axis=alt.Axis(labelAngle=-40, labelLimit=70)),
                y=alt.Y("share:Q", title=None, axis=alt.Axis(format=".0%", tickCount=3)),
                color=alt.Color("group:O", title=None),
            )
            .properties(width=_SMALL_WIDTH_PX, height=_SMALL_HEIGHT_PX)
        )
    return _url(alt.concat(*plots, columns=_COLUMNS))


def _url(chart: "alt.TopLevelMixin") -> str:
    import vl_convert  # noqa: PLC0415  # the extra html

    specification: dict[str, Any] = chart.to_dict() | {"padding": _PADDING}
    svg = vl_convert.vegalite_to_svg(specification, allowed_base_urls=[])
    return f"data:image/svg+xml;base64,{b64encode(svg.encode()).decode()}"
