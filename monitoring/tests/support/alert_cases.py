"""What Prometheus sees, minute by minute, and the alerts that it must raise then; all others must not."""

from collections.abc import Mapping
from dataclasses import dataclass, field

_DAY = 1440

_GATEWAY = 'job="gateway",instance="a"'
_CALLS = f'{{{_GATEWAY},method="GetUserFeatures"'

_OK = f'gateway_calls_total{_CALLS},code="OK"}}'
_UNAVAILABLE_CALLS = f'gateway_calls_total{_CALLS},code="UNAVAILABLE"}}'
_UNAVAILABLE = f'gateway_call_errors_total{_CALLS},reason="UPSTREAM_UNAVAILABLE"}}'
_WITHIN = f'gateway_call_duration_seconds_bucket{_CALLS},le="0.02"}}'
_TIMED = f"gateway_call_duration_seconds_count{_CALLS}}}"
_REFUSED = f"gateway_refused_calls_total{{{_GATEWAY}}}"
_TIMEOUTS = f"gateway_queue_timeouts_total{{{_GATEWAY}}}"
_QUEUED = f"gateway_queue_duration_seconds_count{{{_GATEWAY}}}"
_READS = f'gateway_read_duration_seconds_count{{{_GATEWAY},outcome="answered"}}'
_EJECTED = f'gateway_feature_server_ejected{{{_GATEWAY},feature_server="http://b:6566"}}'
_READY = f"gateway_ready{{{_GATEWAY}}}"
_FILE_REFUSED = f"gateway_contract_file_refused{{{_GATEWAY}}}"
_PENDING = f"gateway_contract_pending{{{_GATEWAY}}}"
_INFO = f'gateway_contract_info{{{_GATEWAY},hash="sha256:a"}}'
_PRESENT = f'gateway_feature_statuses_total{{{_GATEWAY},feature_view="usage_fv",status="PRESENT"}}'
_TOO_OLD = f'gateway_feature_statuses_total{{{_GATEWAY},feature_view="usage_fv",status="OUTSIDE_MAX_AGE"}}'
_NOT_FOUND = f'gateway_feature_statuses_total{{{_GATEWAY},feature_view="usage_fv",status="NOT_FOUND"}}'
_MATERIALIZED = 'streamflow_job_last_success_timestamp_seconds{job="streamflow-offline",command="materialize"}'
_MATERIALIZE = 'streamflow_job_last_succeeded{job="streamflow-offline",command="materialize"}'
_TRAINING_SET = (
    'streamflow_job_last_succeeded{job="streamflow-offline",command="training-set",feature_service="churn_v1"}'
)
_AUDIT = 'streamflow_audit_passed{job="streamflow-offline",command="audit-skew",feature_service="churn_v1"}'

Series = Mapping[str, str]
"""Values of each series, one a minute, in promtool's notation: `0+60x100` is 100 steps of 60."""

HEALTHY: Series = {
    _OK: "0+6000x1600",
    _UNAVAILABLE: "0+1x1600",
    _WITHIN: "0+5990x1600",
    _TIMED: "0+6000x1600",
    _REFUSED: "0x1600",
    _TIMEOUTS: "0+1x1600",
    _QUEUED: "0+6000x1600",
    _READS: "0+300x1600",
    _EJECTED: "0x1600",
    _READY: "1x1600",
    _FILE_REFUSED: "0x1600",
    _PENDING: "0x1600",
    _INFO: "1x1600",
    _PRESENT: "0+6000x1600",
    _TOO_OLD: "0+10x1600",
    _NOT_FOUND: "0+3000x1600",
    # Every minute.
    _MATERIALIZED: "0+60x1600",
    _MATERIALIZE: "1x1600",
    _TRAINING_SET: "1x1600",
    _AUDIT: "1x1600",
}

_OF_GATEWAY = {"job": "gateway"}
_OF_JOB = {"job": "streamflow-offline", "command": "materialize"}


@dataclass(frozen=True, kw_only=True)
class AlertCase:
    """What is other than HEALTHY, when it is looked at, and which alerts fire then, with their labels."""

    series: Series = field(default_factory=dict)
    at_min: int = 120
    fires: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


def _outage(minutes: int) -> Series:
    """All calls fail at the end of a day."""
    begins = _DAY - minutes
    return {
        _OK: f"0+6000x{begins} {6000 * begins}x1600",
        _UNAVAILABLE_CALLS: f"0x{begins} 6000+6000x1600",
        _UNAVAILABLE: f"0x{begins} 6000+6000x{minutes - 1} {6000 * minutes}x1600",
    }


def _slow(share: float) -> Series:
    return {_WITHIN: f"0+{6000 * (1 - share):g}x1600"}


CASES: Mapping[str, AlertCase] = {
    "all is well": AlertCase(),
    "nothing has been called yet": AlertCase(series=dict.fromkeys(HEALTHY, "_"), at_min=30),
    "two minutes without an answer": AlertCase(
        series=_outage(2), at_min=_DAY, fires={"ErrorBudgetBurnsFast": _OF_GATEWAY}
    ),
    "ten minutes after an outage of two": AlertCase(
        series={
            **_outage(2),
            _OK: f"0+6000x{_DAY - 2} {6000 * (_DAY - 2)}x2 {6000 * (_DAY - 2)}+6000x1600",
            _UNAVAILABLE_CALLS: f"0x{_DAY - 2} 6000 12000x1600",
        },
        at_min=_DAY + 12,
    ),
    "half a percent of calls fails all day": AlertCase(
        series={_OK: "0+5970x1600", _UNAVAILABLE_CALLS: "0+30x1600", _UNAVAILABLE: "0+30x1600"},
        fires={"ErrorBudgetBurnsSlowly": _OF_GATEWAY},
    ),
    "a tenth of calls is the caller's error, or over its rate": AlertCase(
        series={
            _OK: "0+5400x1600",
            f'gateway_calls_total{_CALLS},code="INVALID_ARGUMENT"}}': "0+300x1600",
            f'gateway_call_errors_total{_CALLS},reason="USER_ID_MALFORMED"}}': "0+300x1600",
            f'gateway_calls_total{_CALLS},code="RESOURCE_EXHAUSTED"}}': "0+300x1600",
            f'gateway_call_errors_total{_CALLS},reason="RATE_LIMITED"}}': "0+300x1600",
        }
    ),
    "callers cancel half of their calls": AlertCase(
        series={
            f'gateway_calls_total{_CALLS},code="CANCELLED"}}': "0+6000x1600",
            f'gateway_call_errors_total{_CALLS},reason="CANCELLED"}}': "0+6000x1600",
        }
    ),
    "a fifth of calls is slow": AlertCase(
        series=_slow(0.2), fires={"LatencyBudgetBurnsFast": _OF_GATEWAY, "LatencyBudgetBurnsSlowly": _OF_GATEWAY}
    ),
    "one in twenty-five calls is slow": AlertCase(series=_slow(0.04), fires={"LatencyBudgetBurnsSlowly": _OF_GATEWAY}),
    "one in fifty calls is slow": AlertCase(series=_slow(0.02)),
    "one in twenty calls is refused": AlertCase(
        series={_REFUSED: "0x60 300+300x200"}, at_min=70, fires={"Overload": _OF_GATEWAY}
    ),
    "calls are refused for two minutes": AlertCase(series={_REFUSED: "0x60 300 600x200"}, at_min=70),
    "one in twenty calls runs out of time in the queue": AlertCase(
        series={_TIMEOUTS: "0+1x60 360+300x200"}, at_min=70, fires={"CallersStarved": _OF_GATEWAY}
    ),
    "calls run out of time while no read is answered": AlertCase(
        series={_TIMEOUTS: "0+1x60 360+300x200", _READS: "0+300x60 18000x200"}, at_min=80
    ),
    "calls are refused and others run out of time": AlertCase(
        series={_TIMEOUTS: "0+1x60 360+300x200", _REFUSED: "0x60 300+300x200"},
        at_min=70,
        fires={"Overload": _OF_GATEWAY},
    ),
    "a feature server is ejected for an hour": AlertCase(
        series={_EJECTED: "0x60 1x200"},
        fires={"ReplicasSetAside": {**_OF_GATEWAY, "feature_server": "http://b:6566"}},
    ),
    "a feature server is ejected for two minutes": AlertCase(series={_EJECTED: "0x60 1x1 0x200"}, at_min=63),
    "a gateway is not ready": AlertCase(
        series={_READY: "1x60 0x200"}, fires={"GatewayNotReady": {**_OF_GATEWAY, "instance": "a"}}
    ),
    "a gateway is not ready for two minutes": AlertCase(series={_READY: "1x60 0x1 1x200"}, at_min=63),
    "feature servers contradict the contract": AlertCase(
        # So few that they burn no budget.
        series={f'gateway_call_errors_total{_CALLS},reason="UPSTREAM_MISMATCH"}}': "0x60 1+1x200"},
        fires={"ContractMismatch": {**_OF_GATEWAY, "reason": "UPSTREAM_MISMATCH"}},
    ),
    "a caller was built for another contract": AlertCase(
        series={f'gateway_call_errors_total{_CALLS},reason="CONTRACT_MISMATCH"}}': "0x60 1+1x200"},
        fires={"ContractMismatch": {**_OF_GATEWAY, "reason": "CONTRACT_MISMATCH"}},
    ),
    "the contract's file is refused": AlertCase(
        series={_FILE_REFUSED: "0x60 1x200"}, fires={"ContractNotInService": {**_OF_GATEWAY, "instance": "a"}}
    ),
    "a contract is pending": AlertCase(
        series={_PENDING: "0x60 1x200"}, fires={"ContractNotInService": {**_OF_GATEWAY, "instance": "a"}}
    ),
    "a contract is pending for two minutes": AlertCase(series={_PENDING: "0x60 1x1 0x200"}, at_min=63),
    "two gateways answer by two contracts": AlertCase(
        series={'gateway_contract_info{job="gateway",instance="b",hash="sha256:b"}': "1x1600"},
        fires={"GatewaysDiffer": _OF_GATEWAY},
    ),
    "a rollout takes a quarter of an hour": AlertCase(
        series={'gateway_contract_info{job="gateway",instance="b",hash="sha256:b"}': "_x60 1x200"},
        at_min=75,
    ),
    "a tenth of a view's features is too old": AlertCase(
        series={_TOO_OLD: "0+700x1600"}, fires={"FeaturesTooOld": {**_OF_GATEWAY, "feature_view": "usage_fv"}}
    ),
    "most users have no row of a view": AlertCase(series={_NOT_FOUND: "0+60000x1600"}),
    "materialize has not succeeded for four hours": AlertCase(
        series={_MATERIALIZED: "0x300"}, at_min=240, fires={"MaterializeLate": _OF_JOB}
    ),
    "materialize has not succeeded for two hours": AlertCase(series={_MATERIALIZED: "0x300"}),
    "materialize failed": AlertCase(series={_MATERIALIZE: "1x60 0x200"}, fires={"MaterializeFailed": _OF_JOB}),
    "a training set failed": AlertCase(
        series={_TRAINING_SET: "1x60 0x200"},
        fires={"JobFailed": {"job": "streamflow-offline", "command": "training-set", "feature_service": "churn_v1"}},
    ),
    "an audit found differences": AlertCase(
        series={_AUDIT: "1x60 0x200"},
        fires={"AuditDiffers": {"job": "streamflow-offline", "command": "audit-skew", "feature_service": "churn_v1"}},
    ),
}
