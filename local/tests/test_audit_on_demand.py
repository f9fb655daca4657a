"""The skew audit of a service with request data, on a real stack."""

import pytest
import redis
from feast.infra.online_stores.helpers import _mmh3
from feast.protos.feast.types.Value_pb2 import Value
from stack_under_test import CANARY, Stack
from streamflow_offline.audit.compare import Kind
from streamflow_offline.audit.job import AuditRequest, audit_skew
from streamflow_offline.audit.report import AuditReport
from streamflow_offline.user_keys import UserKeys

pytestmark = pytest.mark.slow

_MEAN = "avg_session_mins_7d"


def _audit(stack: Stack) -> AuditReport:
    return audit_skew(
        AuditRequest(
            feature_service="session_v1", gateway=stack.gateway, users=None, recheck_after_s=0.0, timeout_s=30.0
        ),
        postgres_url=stack.postgres_url,
        redis_url=stack.config.redis_url,
    )


def _found(report: AuditReport) -> dict[str, dict[Kind, int]]:
    return {
        entry.feature.name: {kind: count for kind, count in entry.kinds.items() if count}
        for entry in report.features
        if entry.differing
    }


def test_on_demand_features_are_compared_with_the_same_request_data_on_both_sides(
    either_generated_stack: Stack,
) -> None:
    stack = either_generated_stack
    good = _audit(stack)
    assert _found(good) == {}
    assert good.definitions == []
    assert [entry.feature.name for entry in good.features][-2:] == [_MEAN, "session_over_avg_7d"]
    assert [entry.users for entry in good.features] == [sum(good.users.values())] * 5

    key = UserKeys(project="streamflow", join_key="user_id").key(CANARY)
    field = _mmh3(f"usage_agg_30d_fv:{_MEAN}")
    with redis.Redis.from_url(stack.config.redis_url) as client:
        before = client.hget(key, field)
        assert before is not None
        try:
            found = []
            for planted in (Value(double_val=1.5), Value(double_val=0.0), Value()):
                client.hset(key, field, planted.SerializeToString())
                found.append(_found(_audit(stack)))
        finally:
            client.hset(key, field, before)
    assert found == [
        {_MEAN: {Kind.VALUE: 1}, "session_over_avg_7d": {Kind.VALUE: 1}},
        {_MEAN: {Kind.VALUE: 1}, "session_over_avg_7d": {Kind.NULL: 1}},
        {_MEAN: {Kind.NULL: 1}, "session_over_avg_7d": {Kind.NULL: 1}},
    ]
