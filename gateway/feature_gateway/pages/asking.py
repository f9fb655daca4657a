"""Reads one row for a page, as any call reads it: by the caller's rights and rates, in time, and counted."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from grpc import StatusCode

from feature_gateway.access.caller import Caller
from feature_gateway.contract.feature_set import FeatureSet
from feature_gateway.errors import as_gateway_error
from feature_gateway.lookup.lookup import Lookup
from feature_gateway.lookup.query import RowFailure
from feature_gateway.metrics import Metrics
from feature_gateway.values import Row

LOOK_UP_METHOD = "http:/pages/look-up"
"""The method that a row of the page is counted as."""


@dataclass(frozen=True, kw_only=True)
class Asker:
    """Asks for rows."""

    lookup: Lookup
    metrics: Metrics

    async def row(self, feature_set: FeatureSet, values: Mapping[str, Any], *, caller: Caller) -> Row:
        """Return the row of the values of all columns; raise GatewayError."""
        started = time.perf_counter()
        code, reason = StatusCode.CANCELLED, None
        try:
            row = await self._row(feature_set, values, caller)
        except Exception as error:
            failure = as_gateway_error(error)
            code, reason = failure.code, failure.reason
            raise
        else:
            code = StatusCode.OK
            return row
        finally:
            self.metrics.call_ended(LOOK_UP_METHOD, code, time.perf_counter() - started, reason=reason)

    async def _row(self, feature_set: FeatureSet, values: Mapping[str, Any], caller: Caller) -> Row:
        columns = {name: [value] for name, value in values.items()}
        (row,) = await self.lookup.rows(feature_set, columns, caller=caller, remaining_s=None)
        if isinstance(row, RowFailure):
            raise row.error
        return row
