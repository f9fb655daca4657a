"""The training-serving skew audit: what the gateway serves, compared with what training reads at the same instant."""

from streamflow_offline.audit.job import audit_skew
from streamflow_offline.audit.report import AuditReport, FeatureReport, write_json
from streamflow_offline.audit.request import DEFAULT_GATEWAY_PORT, DEFAULT_USERS, AuditRequest

__all__ = [
    "DEFAULT_GATEWAY_PORT",
    "DEFAULT_USERS",
    "AuditReport",
    "AuditRequest",
    "FeatureReport",
    "audit_skew",
    "write_json",
]
