"""FEATURE_SERVER and FEATURE_SERVER_ROUTES: which of two feature servers runs, and which of Feast's routes it has."""

import os
from collections.abc import Mapping
from enum import StrEnum
from typing import TypeVar

from streamflow_repo.errors import FeatureServerError

_Choice = TypeVar("_Choice", bound=StrEnum)


class FeatureServer(StrEnum):
    """A feature server, by its name in FEATURE_SERVER."""

    STREAMFLOW = "streamflow"
    """`feast serve` with the changes of `streamflow_repo.server`."""

    STOCK = "stock"
    """Feast's own `feast serve`, unchanged."""


class Routes(StrEnum):
    """Which of Feast's routes the server `streamflow` has, by its name in FEATURE_SERVER_ROUTES. `stock` has all."""

    READS = "reads"
    """Those that read, and /health (`streamflow_repo.server.reads_only`)."""

    ALL = "all"
    """Also those that write to the stores, such as /push and /materialize, chat, and the pages that describe them."""


def feature_server(environment: Mapping[str, str] = os.environ) -> FeatureServer:
    """Return the server that FEATURE_SERVER names, or STREAMFLOW if the variable is not set or empty.

    Raises FeatureServerError for another name.
    """
    return _named(FeatureServer, environment, "FEATURE_SERVER", FeatureServer.STREAMFLOW)


def routes_of(environment: Mapping[str, str] = os.environ) -> Routes:
    """Return the routes that FEATURE_SERVER_ROUTES names, or READS if the variable is not set or empty.

    Raises FeatureServerError for another name.
    """
    return _named(Routes, environment, "FEATURE_SERVER_ROUTES", Routes.READS)


def _named(choices: type[_Choice], environment: Mapping[str, str], variable: str, default: _Choice) -> _Choice:
    name = environment.get(variable) or default.value
    try:
        return choices(name)
    except ValueError:
        known = " or ".join(choice.value for choice in choices)
        raise FeatureServerError(f"{variable} is {name!r}; set it to {known}") from None
