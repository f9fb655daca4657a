"""The page of what the dashboards' queries give."""

from streamflow_monitoring.dashboard_queries import PanelQuery
from streamflow_monitoring.prometheus import Series
from streamflow_monitoring.results_table import page


def test_each_dashboard_has_a_table_with_the_first_series_of_each_query() -> None:
    servers = [
        Series({"__name__": "up", "feature_server": f"http://{name}:6566"}, number) for number, name in enumerate("abc")
    ]
    written = page(
        [
            (PanelQuery("Serving", "Ready", 'avg(gateway_ready{job=~"a|b"})'), [Series({}, 0.5)]),
            (PanelQuery("Serving", "Servers", "up"), servers),
            (PanelQuery("Capacity", "Slots", "slots"), [Series({"instance": "a"}, 12_345.678)]),
        ]
    )
    assert written.partition("\n## ")[2].splitlines() == [
        "Serving",
        "",
        "| panel | query | series | such as |",
        "|---|---|---|---|",
        r'| Ready | `avg(gateway_ready{job=~"a\|b"})` | 1 | 0.5 |',
        "| Servers | `up` | 3 | http://a:6566 0; http://b:6566 1 |",
        "",
        "## Capacity",
        "",
        "| panel | query | series | such as |",
        "|---|---|---|---|",
        "| Slots | `slots` | 1 | a 1.235e+04 |",
    ]
