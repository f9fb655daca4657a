"""Feast's own method for rows, answered for the rows of users."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from streamflow.features.feast.serving import ServingService_pb2 as feast
from streamflow.features.feast.serving.ServingService_pb2_grpc import ServingServiceServicer
from streamflow.features.feast.types.Value_pb2 import Value

from streamflow_features._errors import FeatureServingError, Unimplemented, error_of
from streamflow_features._queries import StalenessPolicy
from streamflow_features._reasons import ErrorReason
from streamflow_features.testing._answers import Answered, Asked, answers_of
from streamflow_features.testing._checks import check_rows, checked_data, key_of, missing_data, takes_of
from streamflow_features.testing._definitions import Selection
from streamflow_features.testing._encoding import put
from streamflow_features.testing._refused import refused
from streamflow_features.testing._served import Served, failing


class FeastServicer(ServingServiceServicer):
    """Answers Feast's ServingService."""

    def __init__(self, served: Served) -> None:
        """Creates a servicer of what is served."""
        self._served = served

    def GetFeastServingInfo(  # noqa: N802  # the method's name in the API
        self, request: feast.GetFeastServingInfoRequest, context: Any
    ) -> feast.GetFeastServingInfoResponse:
        """Return what answers."""
        del request, context
        return feast.GetFeastServingInfoResponse(version="streamflow_features.testing")

    def GetOnlineFeatures(  # noqa: N802  # the method's name in the API
        self, request: feast.GetOnlineFeaturesRequest, context: Any
    ) -> feast.GetOnlineFeaturesResponse:
        """Return the features of users' rows."""
        with failing(context):
            columns = {name: list(map(_python_value, column.val)) for name, column in request.entities.items()}
            user_ids = map(str, columns.get(self._served.definitions.key.name, ()))
            self._served.obey(user_ids, within_s=context.time_remaining())
            selection = self._selected(request)
            rows = self._rows(columns, selection)
            answers = [self._row(position, *row, selection) for position, row in enumerate(rows)]
            return self._reply(request, selection, answers)
        raise AssertionError("abort raises")

    def _selected(self, request: feast.GetOnlineFeaturesRequest) -> Selection:
        definitions = self._served.definitions
        if request.feature_service:
            selection = definitions.of_service(request.feature_service)
        else:
            selection = definitions.of_references(request.features.val)
        times = Counter(feature.name for feature in selection.features)
        clashing = [name for name, count in times.items() if count > 1]
        if clashing and not request.full_feature_names:
            message = f"Several of the features are named {', '.join(clashing)}; set full_feature_names."
            raise refused(ErrorReason.FEATURE_NAME_CLASH, message, names=", ".join(clashing))
        return selection

    def _rows(self, columns: Mapping[str, Sequence[Any]], selection: Selection) -> list[tuple[str, dict[str, Any]]]:
        """Return the user id and the request data of each row. Raises FeatureServingError."""
        key = self._served.definitions.key
        for other in sorted(selection.join_keys - {key.name}):
            raise Unimplemented(f"A FeatureServer has rows of users alone, and these features need {other}.")
        self._check_names(columns, selection)
        check_rows(columns, limit=self._served.max_batch_users)
        ids = [key_of(value, key, row) for row, value in enumerate(columns[key.name])]
        # Column by column, as a gateway does.
        data = {
            name: [checked_data({name: value}, selection, complete=False)[name] for value in columns[name]]
            for name in columns
            if name != key.name
        }
        return [(user_id, {name: values[row] for name, values in data.items()}) for row, user_id in enumerate(ids)]

    def _check_names(self, columns: Mapping[str, Sequence[Any]], selection: Selection) -> None:
        key = self._served.definitions.key
        if key.name not in columns:
            message, takes = f"The join key {key.name} is missing.", takes_of(key.dtype)
            raise refused(ErrorReason.ENTITY_KEY_MISSING, message, join_key=key.name, takes=takes)
        for name in selection.request_data.keys() - columns.keys():
            raise missing_data(name, selection)
        if selection.any_request_data:
            return
        for name in columns.keys() - {key.name, *selection.request_data}:
            if name in self._served.definitions.request_names():
                message = f"These features do not depend on the request data {name!r}."
                raise refused(ErrorReason.REQUEST_DATA_UNKNOWN, message, name=name)
            message = f"These features do not depend on the join key {name!r}."
            raise refused(ErrorReason.ENTITY_KEY_UNKNOWN, message, join_key=name)

    def _row(
        self, position: int, user_id: str, request_data: Mapping[str, Any], selection: Selection
    ) -> list[Answered]:
        try:
            question = Asked(selection, None, StalenessPolicy.FLAG)
            return answers_of(self._served.users.row(user_id), question, request_data)
        except FeatureServingError as error:
            raise error_of(
                error.code,
                f"Row {position}: {error}",
                reason=error.reason,
                metadata=error.metadata,
                retry_after_s=error.retry_after_s,
            ) from None

    def _reply(
        self, request: feast.GetOnlineFeaturesRequest, selection: Selection, rows: Sequence[Sequence[Answered]]
    ) -> feast.GetOnlineFeaturesResponse:
        reply, key = feast.GetOnlineFeaturesResponse(), self._served.definitions.key.name
        full = request.full_feature_names
        names = [feature.full_name if full else feature.name for feature in selection.features]
        reply.metadata.feature_names.val.extend([key, *names])
        keys = reply.results.add(values=request.entities[key].val, statuses=[feast.PRESENT] * len(rows))
        for _ in rows:
            keys.event_timestamps.add()
        for column in zip(*rows, strict=True):
            vector = reply.results.add(statuses=[int(answer.status) for answer in column])
            for answer in column:
                put(vector.values.add(), answer.feature.dtype, answer.value)
                stamp = vector.event_timestamps.add()
                if answer.event_timestamp is not None:
                    stamp.FromDatetime(answer.event_timestamp)
        return reply


def _python_value(value: Value) -> Any:
    field = value.WhichOneof("val")
    if field is None or field == "null_val":
        return None
    found = getattr(value, field)
    return list(found.val) if field.endswith("_list_val") else found
