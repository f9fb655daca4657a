"""Who the credentials of a call belong to."""

from typing import NamedTuple


class Identity(NamedTuple):
    """Someone that the gateway knows."""

    name: str
    """The way that the gateway knows it, a colon, and a name: `token:churn`, `jwt:SUBJECT`, `mtls:SAN`."""

    until_s: float = float("inf")
    """When the credentials end, in seconds since 1970."""
