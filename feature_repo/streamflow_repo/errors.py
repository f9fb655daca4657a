"""What is wrong with what a team has set."""


class SettingError(ValueError):
    """A variable of the environment that can't be used; the message says why and what to set instead."""


class ConnectionUrlError(SettingError):
    """A POSTGRES_URL or REDIS_URL that can't be used."""


class OfflineStoreError(SettingError):
    """A FEAST_OFFLINE_STORE that can't be used, or what belongs to it."""
