"""The methods for users take request data beside the user id."""

from pathlib import Path
from typing import Any

import pytest
from feature_gateway.errors import GatewayError
from feature_gateway.lookup.query import Query, Selection, UserFeatures
from gateway_fakes import running_feature_server, written_contract
from lookup_bed import lookup_before
from on_demand import Functions, on_demand_content, on_demand_view
from row_fakes import values_of
from streamflow.features.v1.error_reason_pb2 import ErrorReason


async def test_request_data_are_part_of_a_users_row_and_checked(tmp_path: Path) -> None:
    view = on_demand_view("pace", "pace_out", inputs=[{"view": "driver_fv", "name": "rating"}])
    path = written_contract(tmp_path, on_demand_content(on_demand_feature_views=[view]))

    def query(data: dict[str, Any] | None) -> Query:
        return Query(Selection(references=["pace:pace_out"]), request_data=data)

    async with running_feature_server() as fake:
        fake.answer = Functions()
        async with lookup_before([fake.url], path, user_entity="driver") as (lookup, _):
            answer = await lookup.user_features("7", query({"minutes": 3}), remaining_s=None)
            assert values_of(answer.row) == (3.0,)
            batch = await lookup.batch_user_features(["7", "8"], query({"minutes": 4}), remaining_s=None)
            assert [values_of(one.row) for one in batch if isinstance(one, UserFeatures)] == [(4.0,), (4.0,)]
            for data, reason in (
                (None, ErrorReason.ERROR_REASON_REQUEST_DATA_MISSING),
                ({"minutes": "3"}, ErrorReason.ERROR_REASON_REQUEST_DATA_INVALID),
                ({"minutes": 3, "hours": 1}, ErrorReason.ERROR_REASON_REQUEST_DATA_UNKNOWN),
            ):
                with pytest.raises(GatewayError) as raised:
                    await lookup.user_features("7", query(data), remaining_s=None)
                assert raised.value.reason == reason
