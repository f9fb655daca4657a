"""The training-serving skew audit: compares what the gateway serves with what training reads at the same instant."""

from streamflow_offline.audit.job import DEFAULT_USERS, AuditRequest, audit_skew
from streamflow_offline.audit.report import AuditReport, FeatureReport

__all__ = ["DEFAULT_USERS", "AuditReport", "AuditRequest", "FeatureReport", "audit_skew"]
