"""What all dashboards are made of: the same variables, links and kinds of panels."""

import itertools
from typing import Literal, Self

from grafana_foundation_sdk.builders.common import (
    GraphThresholdsStyleConfig,
    ReduceDataOptions,
    VizLegendOptions,
    VizTooltipOptions,
)
from grafana_foundation_sdk.builders.dashboard import (
    AnnotationQuery,
    DashboardLink,
    DatasourceVariable,
    QueryVariable,
    Row,
    ThresholdsConfig,
)
from grafana_foundation_sdk.builders.dashboard import Dashboard as GrafanaDashboard
from grafana_foundation_sdk.builders.prometheus import Dataquery
from grafana_foundation_sdk.builders.stat import Panel as Stat
from grafana_foundation_sdk.builders.timeseries import Panel as TimeSeries
from grafana_foundation_sdk.models.common import (
    BigValueGraphMode,
    GraphThresholdsStyleMode,
    LegendDisplayMode,
    LegendPlacement,
    SortOrder,
    TooltipDisplayMode,
)
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DashboardLinkType,
    DataSourceRef,
    Threshold,
    ThresholdsMode,
    VariableRefresh,
    VariableSort,
)

Unit = Literal["short", "percentunit", "s", "reqps", "ops", "rps", "bytes", "bool", "none"]

TAG = "streamflow"
"""The tag of the dashboards, by which each links to the others."""

GATEWAYS = 'namespace=~"$namespace", job=~"$job"'
"""Selects the series of the gateways that the viewer has chosen."""

JOBS = 'namespace=~"$namespace"'
"""Selects the results of jobs, which have another `job` than gateways."""

_DATA_SOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")
_GRAPHS_A_ROW = 3
_STATS_A_ROW = 6
_COLUMNS = 24
_RED, _GREEN = "red", "green"


class Dashboard(GrafanaDashboard):
    """A dashboard of gateways: one data source, namespaces and jobs to choose from, and alerts as annotations."""

    def __init__(self, title: str, *, name: str, description: str) -> None:
        super().__init__(title)
        self._ids = itertools.count(1)
        self.uid(f"streamflow-{name}")
        self.description(description)
        self.tags([TAG])
        self.readonly()
        self.refresh("30s")
        self.time("now-3h", "now")
        self.timezone("browser")
        self.tooltip(DashboardCursorSync.CROSSHAIR)
        self.link(DashboardLink("StreamFlow").type(DashboardLinkType.DASHBOARDS).tags([TAG]).include_vars(True))
        self.annotation(
            AnnotationQuery()
            .name("Alerts")
            .datasource(_DATA_SOURCE)
            .enable(True)
            .icon_color(_RED)
            .expr(f'ALERTS{{alertstate="firing", {JOBS}}}')
        )
        self.with_variable(DatasourceVariable("datasource").label("Data source").type("prometheus"))
        self.with_variable(_label_values("namespace", "label_values(gateway_ready, namespace)"))
        self.with_variable(_label_values("job", 'label_values(gateway_ready{namespace=~"$namespace"}, job)'))

    def row(self, title: str, *panels: TimeSeries | Stat) -> Self:
        """Add panels under a title."""
        self.with_row(Row(title).id(next(self._ids)))
        for panel in panels:
            self.with_panel(panel.id(next(self._ids)))
        return self


def _label_values(label: str, query: str) -> QueryVariable:
    # ".*" also matches what has no such label, as outside of Kubernetes.
    return (
        QueryVariable(label)
        .label(label.capitalize())
        .datasource(_DATA_SOURCE)
        .query(query)
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(VariableSort.ALPHABETICAL_ASC)
        .include_all(True)
        .all_value(".*")
        .multi(True)
    )


def query(expression: str, legend: str = "") -> Dataquery:
    """Return a query of Prometheus; `legend` names each series, by labels in double braces."""
    return Dataquery().datasource(_DATA_SOURCE).expr(expression).legend_format(legend or "__auto")


def quantile(share: float, metric: str, *by: str, where: str = "", legend: str = "") -> Dataquery:
    """Return a query of a quantile of a histogram, for each value of the labels `by`."""
    selected = ", ".join(filter(None, (GATEWAYS, where)))
    rate = f"rate({metric}_bucket{{{selected}}}[$__rate_interval])"
    labels = ", ".join((*by, "le"))
    return query(f"histogram_quantile({share}, sum by ({labels}) ({rate}))", legend or f"p{share * 100:g}")


def graph(
    title: str, description: str, *queries: Dataquery, unit: Unit = "short", limit: float | None = None
) -> TimeSeries:
    """Return lines over time, from 0; `limit` is drawn as a line, and what is above it is marked."""
    panel = (
        TimeSeries()
        .title(title)
        .description(description)
        .datasource(_DATA_SOURCE)
        .unit(unit)
        .min(0)
        .fill_opacity(10)
        .span(_COLUMNS // _GRAPHS_A_ROW)
        .legend(
            VizLegendOptions().display_mode(LegendDisplayMode.LIST).placement(LegendPlacement.BOTTOM).show_legend(True)
        )
        .tooltip(VizTooltipOptions().mode(TooltipDisplayMode.MULTI).sort(SortOrder.DESCENDING))
    )
    if limit is not None:
        panel.thresholds(_above(limit)).thresholds_style(
            GraphThresholdsStyleConfig().mode(GraphThresholdsStyleMode.DASHED)
        )
    for number, one in enumerate(queries):
        panel.with_target(one.ref_id(chr(ord("A") + number)))
    return panel


def figure(
    title: str,
    description: str,
    one: Dataquery,
    *,
    unit: Unit = "short",
    bad_from: float | None = None,
    good_from: float | None = None,
) -> Stat:
    """Return one figure of now: red when it is not below `bad_from`, or is below `good_from`."""
    panel = (
        Stat()
        .title(title)
        .description(description)
        .datasource(_DATA_SOURCE)
        .unit(unit)
        .span(_COLUMNS // _STATS_A_ROW)
        .height(4)
        .graph_mode(BigValueGraphMode.NONE)
        .reduce_options(ReduceDataOptions().calcs(["lastNotNull"]))
        .with_target(one.instant().ref_id("A"))
    )
    if bad_from is not None:
        panel.thresholds(_above(bad_from))
    if good_from is not None:
        panel.thresholds(_steps((None, _RED), (good_from, _GREEN)))
    return panel


def _above(limit: float) -> ThresholdsConfig:
    return _steps((None, _GREEN), (limit, _RED))


def _steps(*steps: tuple[float | None, str]) -> ThresholdsConfig:
    return (
        ThresholdsConfig()
        .mode(ThresholdsMode.ABSOLUTE)
        .steps([Threshold(value=value, color=color) for value, color in steps])
    )
