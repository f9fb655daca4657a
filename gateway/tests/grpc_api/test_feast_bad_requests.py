"""Every kind of bad request to Feast's API is refused with code, reason and text, before any hop."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from pathlib import Path
from typing import Any

import grpc
import pytest
from feast.protos.feast.serving.ServingService_pb2 import FeatureList, GetOnlineFeaturesRequest
from feast.protos.feast.types.Value_pb2 import NULL, Int64List, Map, Value
from feast_api_fakes import answer_feast, ask, request_of, write_feast_api_contract
from gateway_fakes import FakeFeatureServer, Gateway, error_details

_INVALID = grpc.StatusCode.INVALID_ARGUMENT
_NOT_FOUND = grpc.StatusCode.NOT_FOUND
_INT64 = "Int64, a whole number from -9223372036854775808 to 9223372036854775807"
_INT32 = "Int32, a whole number from -2147483648 to 2147483647"


@dataclass(frozen=True)
class Refusal:
    """A request, and what its refusal says."""

    request: GetOnlineFeaturesRequest
    reason: str
    message: str
    field: str
    code: grpc.StatusCode = _INVALID
    metadata: Mapping[str, str] = dataclass_field(default_factory=dict)


def _drivers(*values: object) -> GetOnlineFeaturesRequest:
    return request_of("drivers_v1", {"driver_id": values})


def _driver_city(**entities: Sequence[object]) -> GetOnlineFeaturesRequest:
    return request_of(["driver_city_fv:trips"], entities)


def _trips(
    entities: Mapping[str, Sequence[object]], request_context: Mapping[str, Sequence[object]]
) -> GetOnlineFeaturesRequest:
    return request_of("trips_v1", entities, request_context=request_context)


def _key(message: str, takes: str, *, key: str = "driver_id") -> dict[str, Any]:
    return {
        "reason": "ENTITY_KEY_INVALID",
        "message": f"{key} takes {takes}; {message}",
        "field": f"entities.{key}[0]",
        "metadata": {"join_key": key, "takes": takes},
    }


_ANYTHING = {"driver_id": [1]}

BAD_REQUESTS = {
    "neither service nor features": Refusal(
        GetOnlineFeaturesRequest(), "FEATURE_REFERENCES_EMPTY", "selects nothing; name a feature_service", "features"
    ),
    "a feature service without a name": Refusal(
        request_of("", _ANYTHING), "FEATURE_SERVICE_EMPTY", "selects nothing; name a feature_service", "feature_service"
    ),
    "a list without features": Refusal(
        GetOnlineFeaturesRequest(features=FeatureList()),
        "FEATURE_REFERENCES_EMPTY",
        "list features such as",
        "features",
    ),
    "an unknown feature service": Refusal(
        request_of("drivers_v2", _ANYTHING),
        "FEATURE_SERVICE_UNKNOWN",
        "'drivers_v2'; there are churn_v1, clash_v1, drivers_v1",
        "feature_service",
        _NOT_FOUND,
        {"feature_service": "drivers_v2"},
    ),
    "an unknown feature view": Refusal(
        request_of(["driver_fv:rating", "riders_fv:rating"], _ANYTHING),
        "FEATURE_VIEW_UNKNOWN",
        "'riders_fv'; there are driver_city_fv, driver_fv",
        "features.val[1]",
        _NOT_FOUND,
        {"feature_reference": "riders_fv:rating", "feature_view": "riders_fv"},
    ),
    "an unknown feature": Refusal(
        request_of(["driver_fv:ratings"], _ANYTHING),
        "FEATURE_UNKNOWN",
        "'ratings'; it has rating, trips, tags",
        "features.val[0]",
        _NOT_FOUND,
        {"feature_reference": "driver_fv:ratings", "feature_view": "driver_fv", "feature": "ratings"},
    ),
    "a reference of a version": Refusal(
        request_of(["driver_fv@v2:rating"], _ANYTHING),
        "FEATURE_VIEW_UNKNOWN",
        "no feature view 'driver_fv@v2'; the gateway takes no versions; write 'driver_fv:rating'",
        "features.val[0]",
        _NOT_FOUND,
        {"feature_reference": "driver_fv@v2:rating", "feature_view": "driver_fv@v2"},
    ),
    "a reference without a colon": Refusal(
        request_of(["driver_fv"], _ANYTHING),
        "FEATURE_REFERENCE_MALFORMED",
        "'driver_fv' is not a feature reference",
        "features.val[0]",
        metadata={"feature_reference": "driver_fv"},
    ),
    "a reference twice": Refusal(
        request_of(["driver_fv:rating", "driver_fv:rating"], _ANYTHING),
        "FEATURE_REFERENCE_DUPLICATE",
        "'driver_fv:rating' is given twice",
        "features.val[1]",
        metadata={"feature_reference": "driver_fv:rating"},
    ),
    "more references than features": Refusal(
        request_of(["driver_fv:rating"] * 20, _ANYTHING),
        "FEATURE_REFERENCES_TOO_MANY",
        "20 references, and 15 features in all",
        "features.val",
        metadata={"max_references": "15"},
    ),
    "two features of one name": Refusal(
        request_of("clash_v1", {"driver_id": [1], "city_code": ["LIS"]}),
        "FEATURE_NAME_CLASH",
        "named trips; set full_feature_names",
        "full_feature_names",
        metadata={"names": "trips"},
    ),
    "no columns": Refusal(
        request_of("drivers_v1", {}),
        "ENTITY_KEY_MISSING",
        "join key driver_id is missing",
        "entities.driver_id",
        metadata={"join_key": "driver_id", "takes": _INT64},
    ),
    "a part of a composite key": Refusal(
        _driver_city(driver_id=[1]),
        "ENTITY_KEY_MISSING",
        "join key city_code is missing",
        "entities.city_code",
        metadata={"join_key": "city_code", "takes": "String, a text"},
    ),
    "an entity's name instead of its key's": Refusal(
        request_of("drivers_v1", {"driver": [1]}),
        "ENTITY_KEY_MISSING",
        "join key driver_id is missing",
        "entities.driver_id",
        metadata={"join_key": "driver_id", "takes": _INT64},
    ),
    "a key that the features do not have": Refusal(
        request_of("drivers_v1", {"driver_id": [1], "shop_id": [1]}),
        "ENTITY_KEY_UNKNOWN",
        "do not depend on the join key 'shop_id'; they depend on driver_id",
        "entities.shop_id",
        metadata={"join_key": "shop_id"},
    ),
    "request data that the features do not have": Refusal(
        request_of("drivers_v1", _ANYTHING, request_context={"km": [1.0]}),
        "REQUEST_DATA_UNKNOWN",
        "do not depend on the request data 'km'",
        "request_context.km",
        metadata={"name": "km"},
    ),
    "unknown request data": Refusal(
        request_of("drivers_v1", _ANYTHING, request_context={"miles": [1.0]}),
        "REQUEST_DATA_UNKNOWN",
        "do not depend on the request data 'miles'",
        "request_context.miles",
        metadata={"name": "miles"},
    ),
    "a key without rows": Refusal(_drivers(), "ROWS_EMPTY", "There are no rows", "entities"),
    "too many rows": Refusal(
        _drivers(*range(1001)),
        "ROWS_TOO_MANY",
        "1001 rows, and a call takes 1000",
        "entities",
        metadata={"max_rows": "1000"},
    ),
    "ragged columns": Refusal(
        _driver_city(driver_id=[1, 2], city_code=["LIS"]), "COLUMNS_RAGGED", "1 of city_code", "entities"
    ),
    "ragged request data": Refusal(
        _trips({"driver_id": [1, 2]}, {"km": [1.0]}), "COLUMNS_RAGGED", "1 of km", "entities"
    ),
    "an empty column beside one with rows": Refusal(
        _driver_city(driver_id=[1], city_code=[]), "COLUMNS_RAGGED", "0 of city_code", "entities"
    ),
    "a text for an integer key": Refusal(_drivers("1"), **_key("row 0 has another value", _INT64)),
    "a float for an integer key": Refusal(_drivers(1.0), **_key("row 0 has another value", _INT64)),
    "truth for an integer key": Refusal(_drivers(True), **_key("row 0 has another value", _INT64)),
    "a time for an integer key": Refusal(
        _drivers(Value(unix_timestamp_val=1)), **_key("row 0 has another value", _INT64)
    ),
    "no value for a key": Refusal(_drivers(None), **_key("row 0 has another value", _INT64)),
    "null for a key": Refusal(_drivers(Value(null_val=NULL)), **_key("row 0 has another value", _INT64)),
    "a list for a key": Refusal(
        _drivers(Value(int64_list_val=Int64List(val=[1]))), **_key("row 0 has another value", _INT64)
    ),
    "a map for a key": Refusal(_drivers(Value(map_val=Map())), **_key("row 0 has another value", _INT64)),
    "an Int32 key out of its range": Refusal(
        request_of(["shop_fv:revenue"], {"shop_id": [2**31]}), **_key("row 0 has", _INT32, key="shop_id")
    ),
    "an integer for a text key": Refusal(
        request_of("churn_v1", {"user_id": [3413]}),
        **_key("row 0", "String, a text of at most 128 bytes, of the form ^[0-9]{4}-[A-Z]{5}$", key="user_id"),
    ),
    "a text of another form": Refusal(
        request_of("churn_v1", {"user_id": ["3413-bmnze"]}),
        **_key("row 0", "String, a text of at most 128 bytes, of the form ^[0-9]{4}-[A-Z]{5}$", key="user_id"),
    ),
    "bytes for a text key": Refusal(
        request_of("churn_v1", {"user_id": [Value(bytes_val=b"3413-BMNZE")]}),
        **_key("row 0", "String, a text of at most 128 bytes, of the form ^[0-9]{4}-[A-Z]{5}$", key="user_id"),
    ),
    "no request data": Refusal(
        _trips(_ANYTHING, {}),
        "REQUEST_DATA_MISSING",
        "request data km is missing",
        "request_context.km",
        metadata={"name": "km", "takes": "Float64, a finite number"},
    ),
    "request data of another type": Refusal(
        _trips(_ANYTHING, {"km": ["far"]}),
        "REQUEST_DATA_INVALID",
        "km takes Float64, a finite number; row 0 has another value",
        "request_context.km[0]",
        metadata={"name": "km", "takes": "Float64, a finite number"},
    ),
    "request data that are not a number": Refusal(
        _trips(_ANYTHING, {"km": [float("nan")]}),
        "REQUEST_DATA_INVALID",
        "takes Float64, a finite number",
        "request_context.km[0]",
        metadata={"name": "km", "takes": "Float64, a finite number"},
    ),
    "request data in both places": Refusal(
        _trips({**_ANYTHING, "km": [1.0]}, {"km": [1.0]}),
        "REQUEST_DATA_INVALID",
        "km is in entities and in request_context",
        "request_context.km",
        metadata={"name": "km", "takes": "values in one of entities and request_context"},
    ),
}


@pytest.fixture
def contract_path(tmp_path: Path, feature_server: FakeFeatureServer) -> Path:
    feature_server.answer = answer_feast
    return write_feast_api_contract(tmp_path)


@pytest.mark.parametrize("refusal", BAD_REQUESTS.values(), ids=BAD_REQUESTS.keys())
async def test_a_bad_request_is_refused(gateway: Gateway, feature_server: FakeFeatureServer, refusal: Refusal) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await ask(gateway, refusal.request)
    info, bad_request = error_details(failure.value)
    assert failure.value.code() is refusal.code
    assert info.reason == f"ERROR_REASON_{refusal.reason}"
    assert refusal.message in (failure.value.details() or "")
    assert [violation.field for violation in bad_request.field_violations] == [refusal.field]
    assert dict(info.metadata) == refusal.metadata
    asked = [body["entities"].get("driver_id") for body in feature_server.requests]
    assert [1] not in asked


async def test_a_malformed_message_is_refused(gateway: Gateway) -> None:
    call: Any = gateway.channel.unary_unary("/feast.serving.ServingService/GetOnlineFeatures")
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await call(b"\xff", timeout=5)
    assert failure.value.code() is _INVALID
    assert error_details(failure.value)[0].reason == "ERROR_REASON_REQUEST_MALFORMED"
