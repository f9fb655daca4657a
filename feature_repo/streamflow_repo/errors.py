"""What is wrong with what a team has set."""


class ConnectionUrlError(ValueError):
    """A POSTGRES_URL or REDIS_URL that can't be used; the message says why and what to write instead."""
