"""The result of `get_online_features`, with the methods of Feast's OnlineResponse."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from google.protobuf.timestamp_pb2 import Timestamp
from streamflow.features.feast.serving.ServingService_pb2 import GetOnlineFeaturesResponse
from streamflow.features.feast.types.Value_pb2 import Value

from streamflow_features._extras import extra
from streamflow_features._features import FeatureStatus
from streamflow_features._values import EPOCH, moment_of

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

_TIMESTAMP_SUFFIX = "__ts"


@dataclass(frozen=True, slots=True)
class OnlineColumn:
    """One join key or feature, with one element for each row."""

    values: tuple[Any, ...]
    """Python values as Feast's SDK has them: lists for lists, aware datetimes for times, None for no value."""

    statuses: tuple[FeatureStatus, ...]
    """Whether each value is there, and how old it is."""

    event_timestamps: tuple[datetime | None, ...]
    """The event timestamp of each value, in UTC. None for a join key, and where there is no row."""


@dataclass(frozen=True, slots=True)
class OnlineResponse:
    """Features of rows: a column for each join key, then one for each feature, in the order of the request."""

    columns: Mapping[str, OnlineColumn]
    """The columns by name."""

    def to_dict(self, include_event_timestamps: bool = False) -> dict[str, list[Any]]:  # noqa: FBT001, FBT002  # Feast's signature
        """Return the values of each column, as Feast's `to_dict` does.

        With `include_event_timestamps`, NAME__ts has the event timestamps in whole seconds since 1970, 0 for none.
        """
        found: dict[str, list[Any]] = {}
        for name, column in self.columns.items():
            found[name] = list(column.values)
            if include_event_timestamps:
                found[name + _TIMESTAMP_SUFFIX] = [_whole_seconds(stamp) for stamp in column.event_timestamps]
        return found

    def to_df(self, include_event_timestamps: bool = False) -> "pd.DataFrame":  # noqa: FBT001, FBT002  # Feast's signature
        """Return `to_dict` as a data frame of pandas, as Feast's `to_df` does. Needs `streamflow-features[pandas]`."""
        frame: pd.DataFrame = extra("pandas", name="pandas").DataFrame(self.to_dict(include_event_timestamps))
        return frame

    def to_arrow(self, include_event_timestamps: bool = False) -> "pa.Table":  # noqa: FBT001, FBT002  # Feast's signature
        """Return `to_dict` as a table of pyarrow, as Feast's `to_arrow` does. Needs `streamflow-features[arrow]`."""
        return extra("pyarrow", name="arrow").Table.from_pydict(self.to_dict(include_event_timestamps))


def online_response(reply: GetOnlineFeaturesResponse) -> OnlineResponse:
    """Return the result of a reply."""
    return OnlineResponse(
        {
            name: OnlineColumn(
                tuple(map(_python_value, vector.values)),
                tuple(map(FeatureStatus, vector.statuses)),
                tuple(map(_event_timestamp, vector.event_timestamps)),
            )
            for name, vector in zip(reply.metadata.feature_names.val, reply.results, strict=True)
        }
    )


def _python_value(value: Value) -> Any:
    field = value.WhichOneof("val")
    if field is None or field == "null_val":
        return None
    found = getattr(value, field)
    convert = _CONVERSIONS.get(field)
    if convert is not None:
        return convert(found)
    return list(found.val) if field.endswith("_list_val") else found


_CONVERSIONS: Mapping[str, Callable[[Any], Any]] = {
    "unix_timestamp_val": moment_of,
    "unix_timestamp_list_val": lambda values: [moment_of(seconds) for seconds in values.val],
}


def _event_timestamp(stamp: Timestamp) -> datetime | None:
    # Feast sends 1970 where there is no event timestamp.
    return stamp.ToDatetime(tzinfo=UTC) if stamp.seconds or stamp.nanos else None


def _whole_seconds(stamp: datetime | None) -> int:
    return 0 if stamp is None else int((stamp - EPOCH).total_seconds() // 1)
