"""*Serving*: are calls answered, in time, and if not, why."""

from streamflow_monitoring.boards.parts import GATEWAYS, Dashboard, figure, graph, quantile, query


def dashboard() -> Dashboard:
    """Return the dashboard of rate, errors and duration."""
    board = Dashboard(
        "StreamFlow / Serving",
        name="serving",
        description="Whether calls are answered in time, and if not, why. The objectives are in monitoring/README.md.",
    )
    _objectives(board)
    _calls(board)
    _parts_of_a_call(board)
    _feature_servers(board)
    return board


def _objectives(board: Dashboard) -> None:
    board.row(
        "Objectives",
        figure(
            "Calls a second",
            "Calls that ended in the last five minutes, without those that their callers cancelled.",
            query(f"sum(namespace_job:gateway_calls:rate5m{{{GATEWAYS}}})"),
            unit="reqps",
        ),
        figure(
            "Gateways ready",
            "The share of gateways to which calls should be sent.",
            query(f"avg(gateway_ready{{{GATEWAYS}}})"),
            unit="percentunit",
            good_from=1,
        ),
        figure(
            "Error budget burns",
            "How many times as fast as a month allows calls failed in the last hour. ErrorBudgetBurnsFast: 14.4.",
            query(f"max(namespace_job:gateway_call_errors:ratio_rate1h{{{GATEWAYS}}}) / 0.001"),
            bad_from=14.4,
        ),
        figure(
            "Latency budget burns",
            "How many times as fast as a month allows GetUserFeatures took more than 20 ms in the last hour. "
            "LatencyBudgetBurnsFast: 14.4.",
            query(f"max(namespace_job:gateway_slow_calls:ratio_rate1h{{{GATEWAYS}}}) / 0.01"),
            bad_from=14.4,
        ),
        figure(
            "p50",
            "The median time of GetUserFeatures in the gateway, over five minutes.",
            quantile(0.5, "gateway_call_duration_seconds", where='method="GetUserFeatures"'),
            unit="s",
        ),
        figure(
            "p99",
            "99 % of GetUserFeatures took less in the gateway, over five minutes.",
            quantile(0.99, "gateway_call_duration_seconds", where='method="GetUserFeatures"'),
            unit="s",
            bad_from=0.02,
        ),
    )


def _calls(board: Dashboard) -> None:
    windows = ("5m", "1h", "2h", "1d")
    board.row(
        "Calls",
        graph(
            "Calls by method",
            "A batch is one call, and so is each message of a stream.",
            query(f"sum by (method) (rate(gateway_calls_total{{{GATEWAYS}}}[$__rate_interval]))", "{{method}}"),
            unit="reqps",
        ),
        graph(
            "Calls by window",
            "Calls a second over each window that the alerts look at.",
            *(query(f"sum(namespace_job:gateway_calls:rate{window}{{{GATEWAYS}}})", window) for window in windows),
            unit="reqps",
        ),
        graph(
            "Errors by reason",
            "Calls that ended with an error. The runbook's entry ErrorBudgetBurns says where to look for each reason.",
            query(
                f"sum by (method, reason) (rate(gateway_call_errors_total{{{GATEWAYS}}}[$__rate_interval]))",
                "{{method}} {{reason}}",
            ),
            unit="reqps",
        ),
        graph(
            "Failed calls",
            "The share of calls that failed for a reason that is not the caller's doing. The line is the objective.",
            *(
                query(f"max(namespace_job:gateway_call_errors:ratio_rate{window}{{{GATEWAYS}}})", window)
                for window in windows
            ),
            unit="percentunit",
            limit=0.001,
        ),
        graph(
            "Slow calls",
            "The share of GetUserFeatures that took more than 20 ms. The line is the objective.",
            *(
                query(f"max(namespace_job:gateway_slow_calls:ratio_rate{window}{{{GATEWAYS}}})", window)
                for window in windows
            ),
            unit="percentunit",
            limit=0.01,
        ),
        graph(
            "Duration by method",
            "99 % of calls took less in the gateway.",
            quantile(0.99, "gateway_call_duration_seconds", "method", legend="{{method}}"),
            unit="s",
        ),
    )


def _parts_of_a_call(board: Dashboard) -> None:
    board.row(
        "Parts of a call",
        graph(
            "Waiting",
            "How long a row waited for a read to start. It waits while all feature servers are busy.",
            quantile(0.5, "gateway_queue_duration_seconds"),
            quantile(0.99, "gateway_queue_duration_seconds"),
            unit="s",
        ),
        graph(
            "Reading",
            "How long feature servers took for a read, retry and hedge included.",
            quantile(0.5, "gateway_read_duration_seconds", "outcome", legend="p50 {{outcome}}"),
            quantile(0.99, "gateway_read_duration_seconds", "outcome", legend="p99 {{outcome}}"),
            unit="s",
        ),
        graph(
            "Event loop lag",
            "How much later than asked the gateway ran a timer. A long lag means that its process lacks CPU.",
            quantile(0.99, "gateway_event_loop_lag_seconds", "instance", legend="{{instance}}"),
            unit="s",
        ),
    )


def _feature_servers(board: Dashboard) -> None:
    by = "feature_server"
    reads = f"gateway_feature_server_read_duration_seconds_count{{{GATEWAYS}}}"
    seconds = f"gateway_feature_server_read_duration_seconds_sum{{{GATEWAYS}}}"
    board.row(
        "Feature servers",
        graph(
            "Reads by feature server",
            "Reads a second, by what became of them.",
            query(f"sum by ({by}, outcome) (rate({reads}[$__rate_interval]))", "{{feature_server}} {{outcome}}"),
            unit="rps",
        ),
        graph(
            "Read duration by feature server",
            "The mean time of a read. One slow feature server, or all: then look at Redis.",
            query(
                f"sum by ({by}) (rate({seconds}[$__rate_interval])) / sum by ({by}) (rate({reads}[$__rate_interval]))",
                "{{feature_server}}",
            ),
            unit="s",
        ),
        graph(
            "Feature servers ejected",
            "1 while a gateway does not use a feature server. ReplicasSetAside: five minutes.",
            query(f"max by ({by}) (gateway_feature_server_ejected{{{GATEWAYS}}})", "{{feature_server}}"),
        ),
        graph(
            "Retries and hedges",
            "Failed and slow reads that were sent to a second feature server, and rows answered from memory.",
            query(f"sum(rate(gateway_read_retries_total{{{GATEWAYS}}}[$__rate_interval]))", "retries"),
            query(f"sum(rate(gateway_read_hedges_total{{{GATEWAYS}}}[$__rate_interval]))", "hedges"),
            query(f"sum(rate(gateway_stale_answers_total{{{GATEWAYS}}}[$__rate_interval]))", "stale answers"),
            unit="ops",
        ),
        graph(
            "Ejections",
            "Times that a feature server was ejected, in each hour.",
            query(
                f"sum by ({by}) (increase(gateway_feature_server_ejections_total{{{GATEWAYS}}}[1h]))",
                "{{feature_server}}",
            ),
        ),
        graph(
            "Contracts",
            "1 while a gateway has a new contract that waits for feature servers, or whose file it can't use.",
            query(f"max by (instance) (gateway_contract_pending{{{GATEWAYS}}})", "{{instance}} pending"),
            query(f"max by (instance) (gateway_contract_file_refused{{{GATEWAYS}}})", "{{instance}} refused"),
            query(f"count by (hash) (gateway_contract_info{{{GATEWAYS}}})", "gateways with {{hash}}"),
        ),
    )
