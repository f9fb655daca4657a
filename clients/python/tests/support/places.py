"""The two places whose answers are the same: a real gateway, and the fakes of `streamflow_features.testing`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from any_entity import computed
from both_faces import TIMEOUT_S, Asker, asking
from gateway_fakes import (
    EVENT_TIMESTAMP,
    NEVER_WRITTEN,
    VALUES,
    contract_content,
    gateway_settings,
    health_becomes,
    running_feature_server,
    service_entry,
    serving,
    written_contract,
)
from on_demand import on_demand_view
from streamflow_features import UserFeatures
from streamflow_features.testing import FakeAsyncFeatureClient, FakeFeatureClient

USER = "3413-BMNZE"
STRANGER = "9999-ZZZZZ"
PACE = "pace_v1"
_FEBRUARY = datetime(2024, 2, 29, tzinfo=UTC)


def user(number: int) -> str:
    """One of 200 users, whose months_active are the number."""
    return f"{number:04d}-AAAAA"


_USERS = {
    USER: VALUES,
    **{user(number): {**VALUES, "profile_fv__months_active": number} for number in range(200)},
}


def _content() -> dict[str, Any]:
    """Two views, one with a maximum age; and an on-demand one, which needs the caller's minutes."""
    content = contract_content()
    inputs = [{"view": "profile_fv", "name": "months_active"}]
    content["on_demand_feature_views"] = [on_demand_view("pace", "pace_out", inputs=inputs)]
    content["feature_services"].append(service_entry(PACE, [("pace", "pace_out", "Float64", None)]))
    content["feature_services"].sort(key=lambda service: str(service["name"]))
    return content


def _cell(name: str, row: dict[str, Any]) -> tuple[Any, str]:
    """What `feast serve` answers for a feature, by its full or bare name."""
    values = _USERS.get(row["user_id"])
    if name == "pace_out":
        return None if values is None else row["minutes"] + values["profile_fv__months_active"], NEVER_WRITTEN
    if values is None:
        return None, NEVER_WRITTEN
    return next(value for full, value in values.items() if name in {full, full.partition("__")[2]}), EVENT_TIMESTAMP


def _features(user_id: str, values: dict[str, Any]) -> UserFeatures:
    months = values["profile_fv__months_active"]
    return UserFeatures.of(
        user_id,
        {**values, "pace:pace_out": lambda data: data["minutes"] + months},  # type: ignore[dict-item]  # a server's
        event_timestamps=dict.fromkeys(values, _FEBRUARY) | {"pace:pace_out": _FEBRUARY},
    )


@asynccontextmanager
async def asking_at(place: str, face: str, folder: Path) -> AsyncIterator[Asker]:
    """A client of a place: "gateway" or "fake"; its face is "sync" or "asyncio"."""
    contract = written_contract(folder, _content())
    if place == "gateway":
        async with running_feature_server() as feature_server:
            feature_server.answer = feature_server.canary_answer = computed(_cell)
            async with serving(gateway_settings(feature_server, contract)) as gateway:
                await health_becomes(gateway.channel, "SERVING")
                async with asking(face, gateway.addresses.grpc) as asker:
                    yield asker
        return
    users = {user_id: _features(user_id, values) for user_id, values in _USERS.items()}
    make = FakeFeatureClient if face == "sync" else FakeAsyncFeatureClient
    asker = Asker(make(users, contract=contract, default_feature_service="churn_v1", timeout_s=TIMEOUT_S))
    try:
        yield asker
    finally:
        await asker.close()
