"""FEATURE_SERVER: which of two feature servers runs."""

import os
from collections.abc import Mapping
from enum import StrEnum

from streamflow_repo.errors import FeatureServerError


class FeatureServer(StrEnum):
    """A feature server, by its name in FEATURE_SERVER."""

    STREAMFLOW = "streamflow"
    """`feast serve` with the changes of `streamflow_repo.server`."""

    STOCK = "stock"
    """Feast's own `feast serve`, unchanged."""


def feature_server(environment: Mapping[str, str] = os.environ) -> FeatureServer:
    """Return the server that FEATURE_SERVER names, or STREAMFLOW if the variable is not set or empty.

    Raises FeatureServerError for another name.
    """
    name = environment.get("FEATURE_SERVER") or FeatureServer.STREAMFLOW.value
    try:
        return FeatureServer(name)
    except ValueError:
        known = " or ".join(server.value for server in FeatureServer)
        raise FeatureServerError(f"FEATURE_SERVER is {name!r}; set it to {known}") from None
