"""The fixtures of this folder's tests."""

from offline_fixtures import applied_template, applied_url, month_files, online_stores, write_month
from stopping_fixtures import unchanged_signals

__all__ = ["applied_template", "applied_url", "month_files", "online_stores", "unchanged_signals", "write_month"]
