"""*Feature health*: how old features are, how many are missing, and whether the jobs that bring them run."""

from streamflow_monitoring.boards.parts import GATEWAYS, JOBS, Dashboard, figure, graph, query

_VIEW = "{{feature_view}}"
_JOB = "{{command}} {{feature_service}}"


def dashboard() -> Dashboard:
    """Return the dashboard of feature views and jobs."""
    board = Dashboard(
        "StreamFlow / Feature health",
        name="feature-health",
        description="How old the features are that are served, how many are missing, and how the jobs ended.",
    )
    _now(board)
    _served(board)
    _jobs(board)
    return board


def _by_view(recorded: str) -> str:
    return f"max by (feature_view) ({recorded}{{{GATEWAYS}}})"


def _now(board: Dashboard) -> None:
    board.row(
        "Now",
        figure(
            "Materialized",
            "Time since the last materialize that succeeded. MaterializeLate: three hours.",
            query(f'time() - max(streamflow_job_last_success_timestamp_seconds{{{JOBS}, command="materialize"}})'),
            unit="s",
            bad_from=3 * 3600,
        ),
        figure(
            "Last materialize succeeded",
            "0 after a failure: see MaterializeFailed.",
            query(f'min(streamflow_job_last_succeeded{{{JOBS}, command="materialize"}})'),
            good_from=1,
        ),
        figure(
            "Last audit passed",
            "0 when the last skew audit found that training and serving differ: see AuditDiffers.",
            query(f"min(streamflow_audit_passed{{{JOBS}}})"),
            good_from=1,
        ),
        figure(
            "Too old",
            "The largest share of too old features of any view. FeaturesTooOld: 5 %.",
            query(f"max(namespace_job_feature_view:gateway_features_too_old:ratio_rate5m{{{GATEWAYS}}})"),
            unit="percentunit",
            bad_from=0.05,
        ),
        figure(
            "Not found",
            "The largest share of features of any view that had no row.",
            query(f"max(namespace_job_feature_view:gateway_features_not_found:ratio_rate5m{{{GATEWAYS}}})"),
            unit="percentunit",
        ),
        figure(
            "Contracts in service",
            "The number of different contracts that gateways answer by. GatewaysDiffer: 2, for half an hour.",
            query(f"count(count by (hash) (gateway_contract_info{{{GATEWAYS}}}))"),
            bad_from=2,
        ),
    )


def _served(board: Dashboard) -> None:
    statuses = f"gateway_feature_statuses_total{{{GATEWAYS}}}"
    nulls = f'gateway_feature_statuses_total{{{GATEWAYS}, status="NULL_VALUE"}}'
    buckets = f"gateway_feature_age_seconds_bucket{{{GATEWAYS}}}"
    board.row(
        "Features that are served",
        graph(
            "Age by feature view",
            "The median age of the rows in answers, from their event timestamps.",
            query(
                _by_view("namespace_job_feature_view:gateway_feature_age_seconds:p50_rate5m"),
                _VIEW,
            ),
            unit="s",
        ),
        graph(
            "Oldest rows by feature view",
            "99 % of the rows in answers are younger; the view's maximum age, where it has one.",
            query(
                f"histogram_quantile(0.99, sum by (feature_view, le) (rate({buckets}[$__rate_interval])))",
                f"p99 {_VIEW}",
            ),
            query(f"max by (feature_view) (gateway_feature_max_age_seconds{{{GATEWAYS}}})", f"maximum {_VIEW}"),
            unit="s",
        ),
        graph(
            "Too old by feature view",
            "Of the features that had a row, the share whose row was older than its maximum age.",
            query(
                _by_view("namespace_job_feature_view:gateway_features_too_old:ratio_rate5m"),
                _VIEW,
            ),
            unit="percentunit",
            limit=0.05,
        ),
        graph(
            "Not found by feature view",
            "The share of features whose view had no row for the user.",
            query(
                _by_view("namespace_job_feature_view:gateway_features_not_found:ratio_rate5m"),
                _VIEW,
            ),
            unit="percentunit",
        ),
        graph(
            "Null by feature view",
            "The share of features whose row has a null.",
            query(
                f"(sum by (feature_view) (rate({nulls}[$__rate_interval])) "
                f"or 0 * sum by (feature_view) (rate({statuses}[$__rate_interval]))) "
                f"/ sum by (feature_view) (rate({statuses}[$__rate_interval]))",
                _VIEW,
            ),
            unit="percentunit",
        ),
        graph(
            "Features by status",
            "Features in answers, a second.",
            query(f"sum by (status) (rate({statuses}[$__rate_interval]))", "{{status}}"),
            unit="ops",
        ),
    )


def _jobs(board: Dashboard) -> None:
    def by_job(metric: str) -> str:
        return f"max by (command, feature_service) ({metric}{{{JOBS}}})"

    board.row(
        "Jobs",
        graph(
            "Time since the last success",
            "Of each job. It rises until the next run.",
            query(f"time() - {by_job('streamflow_job_last_success_timestamp_seconds')}", _JOB),
            unit="s",
        ),
        graph(
            "Last run succeeded",
            "0 after a failure: see JobFailed.",
            query(f"min by (command, feature_service) (streamflow_job_last_succeeded{{{JOBS}}})", _JOB),
        ),
        graph(
            "Time since the last run",
            "Of each job, whether it succeeded or not.",
            query(f"time() - {by_job('streamflow_job_last_end_timestamp_seconds')}", _JOB),
            unit="s",
        ),
        graph(
            "Duration of the last run",
            "Of each job.",
            query(by_job("streamflow_job_last_duration_seconds"), _JOB),
            unit="s",
        ),
        graph(
            "Rows of the last run",
            "Rows loaded, written to Redis or to files, or values compared.",
            query(by_job("streamflow_job_last_rows"), _JOB),
        ),
    )
