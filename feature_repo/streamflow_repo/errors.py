"""Errors in a deployment's settings."""


class SettingError(ValueError):
    """An environment variable has a value that can't be used; the message says why and what to set instead."""


class ConnectionUrlError(SettingError):
    """POSTGRES_URL or REDIS_URL can't be used."""


class OfflineStoreError(SettingError):
    """FEAST_OFFLINE_STORE, or a variable that belongs to it, can't be used."""


class FeatureServerError(SettingError):
    """FEATURE_SERVER names no feature server."""
