"""GetUserFeatures takes request data, over gRPC and HTTP; callers share a row only with the same."""

import asyncio

import grpc
import pytest
from aiohttp import web
from any_entity import computed
from gateway_fakes import FakeFeatureServer, Gateway, error_details
from request_data_fakes import ALL, OF_ALL, PACE, SHARE, cell, minutes_of, over_http, reads_of
from streamflow.features.v1.error_reason_pb2 import ErrorReason
from streamflow.features.v1.feature_pb2 import Int64List
from streamflow.features.v1.request_data_pb2 import RequestData, RequestValue
from streamflow.features.v1.user_feature_service_pb2 import (
    BatchGetUserFeaturesRequest,
    FeatureReferences,
    FeatureService,
    GetFeatureServiceRequest,
    GetUserFeaturesRequest,
    ListFeatureServicesRequest,
    StreamUserFeaturesRequest,
)

_BOUND_S = 20


async def test_each_way_to_ask_takes_request_data(drivers: Gateway) -> None:
    question = GetUserFeaturesRequest(user_id="7", feature_service=PACE, request_data=minutes_of(2.5))
    single = await drivers.stub.GetUserFeatures(question, timeout=_BOUND_S)
    stream = drivers.stub.StreamUserFeatures(iter([StreamUserFeaturesRequest(request=question)]), timeout=_BOUND_S)
    streamed = [answer.response async for answer in stream]
    batch = await drivers.stub.BatchGetUserFeatures(
        BatchGetUserFeaturesRequest(user_ids=["7", "8"], feature_service=PACE, request_data=minutes_of(2.5)),
        timeout=_BOUND_S,
    )
    status, body = await over_http(drivers, PACE, ("request_data.minutes", "2.5"))
    assert [reply.user_features.features[0].double_value for reply in (single, *streamed)] == [7002.5] * 2
    assert [result.user_features.features[0].double_value for result in batch.results] == [7002.5, 8002.5]
    assert (status, body["features"]) == (200, {"pace_out": 7002.5})


async def test_features_that_may_depend_on_other_rows_are_computed_for_each_user_of_a_batch_alone(
    drivers: Gateway, feature_server: FakeFeatureServer
) -> None:
    batch = await drivers.stub.BatchGetUserFeatures(
        BatchGetUserFeaturesRequest(
            user_ids=["7", "8", "7", "x"],
            feature_references=FeatureReferences(references=[SHARE]),
            request_data=minutes_of(2.5),
        ),
        timeout=_BOUND_S,
    )
    assert [result.WhichOneof("result") for result in batch.results] == [*["user_features"] * 3, "error"]
    assert sorted(read["driver_id"] for read in reads_of(feature_server)) == [[7], [8]]


async def test_values_have_the_type_of_their_definition_however_they_are_sent(
    drivers: Gateway, feature_server: FakeFeatureServer
) -> None:
    data = {
        "flag": RequestValue(bool_value=False),
        "small": RequestValue(int64_value=-(2**31)),
        "big": RequestValue(int32_value=7),
        "part": RequestValue(int32_value=3),
        "text": RequestValue(string_value="naïve 名"),
        "path": RequestValue(int64_list_value=Int64List(val=[1, 2])),
    }
    question = GetUserFeaturesRequest(user_id="7", feature_service=ALL, request_data=data)
    await drivers.stub.GetUserFeatures(question, timeout=_BOUND_S)
    status, _ = await over_http(
        drivers,
        ALL,
        *(("request_data.flag", "false"), ("request_data.small", "-2147483648"), ("request_data.big", "7")),
        *(("request_data.part", "3"), ("request_data.text", "naïve 名")),
        *(("request_data.path", "1"), ("request_data.path", "2")),
    )
    assert status == 200
    by_grpc, by_http = ({name: read[name] for name in OF_ALL} for read in reads_of(feature_server))
    assert repr(by_grpc) == repr(by_http)
    assert list(by_grpc.values()) == [[False], [-(2**31)], [7], [3.0], ["naïve 名"], [[1.0, 2.0]]]
    assert repr(by_grpc["part"]) == "[3.0]"


async def test_each_user_of_a_batch_can_have_request_data_and_faults_of_their_own(drivers: Gateway) -> None:
    ids_and_data: list[tuple[str, dict[str, RequestValue]]] = [
        ("7", minutes_of(1)),
        ("7", minutes_of(2)),
        ("8", {}),
        ("x", minutes_of(1)),
        ("9", minutes_of(float("nan"))),
        ("7", minutes_of(1)),
    ]
    batch = await drivers.stub.BatchGetUserFeatures(
        BatchGetUserFeaturesRequest(
            user_ids=[user_id for user_id, _ in ids_and_data],
            feature_service=PACE,
            request_data_by_user=[RequestData(values=data) for _, data in ids_and_data],
        ),
        timeout=_BOUND_S,
    )
    assert [result.user_id for result in batch.results] == [user_id for user_id, _ in ids_and_data]
    assert [
        result.user_features.features[0].double_value
        if result.HasField("user_features")
        else ErrorReason.Name(result.error.reason).removeprefix("ERROR_REASON_")
        for result in batch.results
    ] == [7001.0, 7002.0, "REQUEST_DATA_MISSING", "USER_ID_MALFORMED", "REQUEST_DATA_INVALID", 7001.0]


async def test_request_data_of_fewer_users_than_there_are_is_the_calls_error(
    drivers: Gateway, feature_server: FakeFeatureServer
) -> None:
    request = BatchGetUserFeaturesRequest(
        user_ids=["7", "8"], feature_service=PACE, request_data_by_user=[RequestData(values=minutes_of(1))]
    )
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await drivers.stub.BatchGetUserFeatures(request, timeout=_BOUND_S)
    info, bad_request = error_details(raised.value)
    assert info.reason == "ERROR_REASON_COLUMNS_RAGGED"
    assert bad_request.field_violations[0].field == "request_data_by_user"
    assert reads_of(feature_server) == []


async def test_callers_of_one_user_share_a_read_and_a_row_only_with_the_same_request_data(
    drivers: Gateway, feature_server: FakeFeatureServer
) -> None:
    begun, going_on = asyncio.Event(), asyncio.Event()

    async def slow(request: web.Request) -> web.StreamResponse:
        begun.set()
        await going_on.wait()
        return await computed(cell)(request)

    async def ask(minutes: float) -> float:
        question = GetUserFeaturesRequest(user_id="7", feature_service=PACE, request_data=minutes_of(minutes))
        reply = await drivers.stub.GetUserFeatures(question, timeout=_BOUND_S)
        return reply.user_features.features[0].double_value

    feature_server.answer = slow
    first = asyncio.create_task(ask(100))
    await asyncio.wait_for(begun.wait(), _BOUND_S)
    asked = [float(number % 5) for number in range(40)]
    rest = [asyncio.create_task(ask(minutes)) for minutes in asked]
    # A call that ends tells that those before it have arrived.
    await drivers.stub.ListFeatureServices(ListFeatureServicesRequest(), timeout=_BOUND_S)
    going_on.set()
    assert await first == 7100
    assert await asyncio.gather(*rest) == [7000 + minutes for minutes in asked]
    reads = [read["minutes"] for read in reads_of(feature_server)]
    assert all(len(set(minutes)) == len(minutes) for minutes in reads)
    assert len(reads) < len(asked)


async def test_a_feature_service_says_which_request_data_it_needs(drivers: Gateway) -> None:
    single = await drivers.stub.GetFeatureService(GetFeatureServiceRequest(name=ALL), timeout=_BOUND_S)
    several = await drivers.stub.ListFeatureServices(ListFeatureServicesRequest(), timeout=_BOUND_S)

    def needs(service: FeatureService) -> dict[str, str]:
        return {one.name: one.dtype for one in service.request_data}

    assert single.join_key == several.join_key == "driver_id"
    assert needs(single.feature_service) == OF_ALL
    assert [needs(service) for service in several.feature_services] == [OF_ALL, {"minutes": "Float64"}]


async def test_features_that_need_none_refuse_request_data(drivers: Gateway) -> None:
    question = GetUserFeaturesRequest(
        user_id="7",
        feature_references=FeatureReferences(references=["driver_fv:rating"]),
        request_data=minutes_of(1),
    )
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await drivers.stub.GetUserFeatures(question, timeout=_BOUND_S)
    assert error_details(raised.value)[0].reason == "ERROR_REASON_REQUEST_DATA_UNKNOWN"
