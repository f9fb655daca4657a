"""*Capacity*: how near each bound is, and what to add."""

from grafana_foundation_sdk.builders.prometheus import Dataquery

from streamflow_monitoring.boards.parts import GATEWAYS, Dashboard, figure, graph, quantile, query

_INSTANCE = "{{instance}}"


def dashboard() -> Dashboard:
    """Return the dashboard of saturation."""
    board = Dashboard(
        "StreamFlow / Capacity",
        name="capacity",
        description="How near each bound is. docs/capacity.md says how many gateways and feature servers a rate takes.",
    )
    _now(board)
    _reads(board)
    _bounds(board)
    _processes(board)
    return board


def _now(board: Dashboard) -> None:
    board.row(
        "Now",
        figure("Gateways", "Gateways that Prometheus scrapes.", query(f"count(gateway_ready{{{GATEWAYS}}})")),
        figure("Feature servers", "Feature servers that gateways know.", query(f"max(gateway_replicas{{{GATEWAYS}}})")),
        figure(
            "Ejected",
            "Feature servers that some gateway does not use now.",
            query(f"max(gateway_replicas_set_aside{{{GATEWAYS}}})"),
            bad_from=1,
        ),
        figure(
            "Refused calls",
            "The share of calls refused because too many wait, or because their deadlines can't be met. Overload: 1 %.",
            query(f"max(namespace_job:gateway_refused_calls:ratio_rate5m{{{GATEWAYS}}})"),
            unit="percentunit",
            bad_from=0.01,
        ),
        figure(
            "Out of time in the queue",
            "The share of waiting calls whose time ran out before their read began. CallersStarved: 1 %.",
            query(f"max(namespace_job:gateway_queue_timeouts:ratio_rate5m{{{GATEWAYS}}})"),
            unit="percentunit",
            bad_from=0.01,
        ),
        figure(
            "Slots taken",
            "The share of the reads that feature servers may have at once.",
            _share("gateway_slots_taken", "gateway_slots"),
            unit="percentunit",
            bad_from=0.9,
        ),
    )


def _share(taken: str, bound: str) -> Dataquery:
    return query(f"sum({taken}{{{GATEWAYS}}}) / sum({bound}{{{GATEWAYS}}})")


def _by_instance(metric: str, legend: str = _INSTANCE) -> Dataquery:
    return query(f"sum by (instance) ({metric}{{{GATEWAYS}}})", legend)


def _of_gateways(expression: str) -> Dataquery:
    """Return a query of processes by instance, of gateways alone: other programs have the same metrics."""
    return query(f"{expression} and on (instance) gateway_ready{{{GATEWAYS}}}", _INSTANCE)


def _reads(board: Dashboard) -> None:
    users = f"gateway_read_users_sum{{{GATEWAYS}}}"
    reads = f"gateway_read_users_count{{{GATEWAYS}}}"
    board.row(
        "Reads",
        graph(
            "Busy feature servers",
            "The share of its time in which a feature server had a read under way. Near 1 for all: add some.",
            query(
                "sum by (feature_server) "
                f"(namespace_job_feature_server:gateway_feature_server_busy:ratio_rate5m{{{GATEWAYS}}})",
                "{{feature_server}}",
            ),
            unit="percentunit",
            limit=0.7,
        ),
        graph(
            "Reads under way",
            "Reads of all feature servers, and of each.",
            query(f"sum(gateway_reads_in_flight{{{GATEWAYS}}})", "all"),
            query(
                f"sum by (feature_server) (gateway_feature_server_reads_in_flight{{{GATEWAYS}}})", "{{feature_server}}"
            ),
        ),
        graph(
            "Users a read",
            "The mean of distinct users of a read, and its 99th percentile. More means that more calls share a read.",
            query(f"sum(rate({users}[$__rate_interval])) / sum(rate({reads}[$__rate_interval]))", "mean"),
            quantile(0.99, "gateway_read_users"),
        ),
        graph(
            "Users not read twice",
            "Users a second whom the same read had already.",
            query(f"sum(rate(gateway_deduplicated_users_total{{{GATEWAYS}}}[$__rate_interval]))", "deduplicated"),
            unit="ops",
        ),
        graph(
            "Refused calls",
            "Calls a second refused because too many waited or their deadlines could not be met.",
            query(f"sum(rate(gateway_refused_calls_total{{{GATEWAYS}}}[$__rate_interval]))", "refused"),
            query(f"sum(rate(gateway_queue_timeouts_total{{{GATEWAYS}}}[$__rate_interval]))", "out of time"),
            unit="reqps",
        ),
        graph(
            "Event loop lag",
            "99 % of timers ran less late. Long: add gateways.",
            quantile(0.99, "gateway_event_loop_lag_seconds", "instance", legend=_INSTANCE),
            unit="s",
        ),
    )


def _bounds(board: Dashboard) -> None:
    ports = "sum by (instance, port)"
    board.row(
        "Bounds",
        graph(
            "Waiting calls",
            "Rows that wait for a read to start, and the most that may.",
            _by_instance("gateway_queued_calls"),
            _by_instance("gateway_max_queued_calls", "most, {{instance}}"),
        ),
        graph(
            "Waiting groups",
            "Groups take turns: calls of one group can share a read. Many groups mean many turns to wait for.",
            _by_instance("gateway_queued_groups"),
        ),
        graph(
            "Slots",
            "Slots of feature servers in use, and all of them.",
            _by_instance("gateway_slots_taken", "taken, {{instance}}"),
            _by_instance("gateway_slots", "all, {{instance}}"),
        ),
        graph(
            "Streams",
            "Streams open, and the most that may be.",
            _by_instance("gateway_streams"),
            _by_instance("gateway_max_streams", "most, {{instance}}"),
        ),
        graph(
            "Connections",
            "Connections open, by port.",
            query(f"{ports} (gateway_connections{{{GATEWAYS}}})", "{{instance}} {{port}}"),
        ),
        graph(
            "Share of connections",
            "Connections open, of the most that may be.",
            query(
                f"{ports} (gateway_connections{{{GATEWAYS}}}) / ({ports} (gateway_max_connections{{{GATEWAYS}}}) > 0)",
                "{{instance}} {{port}}",
            ),
            unit="percentunit",
            limit=0.9,
        ),
    )


def _processes(board: Dashboard) -> None:
    board.row(
        "Processes",
        graph(
            "CPU",
            "Cores that a gateway's process uses. Python uses one for most of its work.",
            _of_gateways(f"sum by (instance) (rate(process_cpu_seconds_total{{{GATEWAYS}}}[$__rate_interval]))"),
            limit=0.7,
        ),
        graph(
            "Memory",
            "Resident memory of a gateway's process.",
            _of_gateways(f"sum by (instance) (process_resident_memory_bytes{{{GATEWAYS}}})"),
            unit="bytes",
        ),
        graph(
            "Open files",
            "Files and connections of a gateway's process, of the most that the system allows.",
            _of_gateways(
                f"sum by (instance) (process_open_fds{{{GATEWAYS}}}) / sum by (instance) "
                f"(process_max_fds{{{GATEWAYS}}})"
            ),
            unit="percentunit",
            limit=0.9,
        ),
    )
