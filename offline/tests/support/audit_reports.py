"""The report of an audit that was not made."""

import math
from datetime import UTC, datetime

from streamflow_features import FeatureStatus
from streamflow_offline.audit.compare import Feature, OfflineCell, OnlineCell, compared
from streamflow_offline.audit.report import AuditReport, FeatureReport

NOWHERE = "127.0.0.1:1"
AT = datetime(2024, 2, 29, tzinfo=UTC)


def report_of(*, threshold: float = 0.0, definitions: tuple[str, ...] = ()) -> AuditReport:
    """Ten users, one of whom differs in one of two features."""
    fee = FeatureReport(feature=Feature(view="subs_fv", name="fee", dtype="Float64", max_age_s=None))
    photo = FeatureReport(feature=Feature(view="subs_fv", name="photo", dtype="Bytes", max_age_s=None))
    for number in range(10):
        offline = OfflineCell(value=math.nan if number else 29.85, event_timestamp=AT)
        online = OnlineCell(value=math.nan, event_timestamp=AT, status=FeatureStatus.PRESENT)
        fee.add(f"000{number}-AAAAA", compared("Float64", offline, online))
        picture = OfflineCell(value=b"\x00\xff", event_timestamp=AT)
        same = OnlineCell(value=b"\x00\xff", event_timestamp=AT, status=FeatureStatus.PRESENT)
        photo.add(f"000{number}-AAAAA", compared("Bytes", picture, same if number else None))
    return AuditReport(
        feature_service="churn_v1",
        gateway=NOWHERE,
        threshold=threshold,
        seed=7,
        audited_at=AT,
        duration_s=1.23456,
        users={"with_features": 10, "unknown": 0},
        settled=2,
        contracts={"definitions": "sha256:a", "registry": "sha256:a", "gateway": "sha256:a"},
        definitions=definitions,
        features=[fee, photo],
    )
