"""A contract of several entities, with composite keys, numbers as keys, aliases and mapped join keys."""

from collections.abc import Callable
from typing import Any

from aiohttp import web
from gateway_fakes import EVENT_TIMESTAMP, NEVER_WRITTEN, Answer, service_entry


def _view(name: str, entities: list[str], features: list[tuple[str, str]], max_age_s: float | None) -> dict[str, Any]:
    entries = [{"name": feature, "dtype": dtype} for feature, dtype in features]
    return {"name": name, "entities": entities, "max_age_s": max_age_s, "features": entries}


def any_entity_content(**changes: Any) -> dict[str, Any]:
    """Drivers have Int64 keys, shops Int32 keys; trips have both. Stops are places, twice in one service."""
    trips = [("trip_fv", "trips", "Int64", 60.0), ("driver_fv", "rating", "Float64", None)]
    stops = service_entry(
        "stops_v1",
        [("place_fv", "visits", "Int64", None)] * 2,
        by_name=True,
        join_keys=[{"name": "from_id", "entity": "place"}, {"name": "to_id", "entity": "place"}],
    )
    for feature, alias in zip(stops["features"], ("from", "to"), strict=True):
        feature["as"] = alias
    return {
        "version": 2,
        "project": "test",
        "entities": [
            {"name": "driver", "join_key": "driver_id", "dtype": "Int64", "pattern": None},
            {"name": "place", "join_key": "place_id", "dtype": "String", "pattern": "[a-z]+"},
            {"name": "shop", "join_key": "shop_id", "dtype": "Int32", "pattern": None},
        ],
        "feature_views": [
            _view("driver_fv", ["driver"], [("rating", "Float64")], None),
            _view("place_fv", ["place"], [("visits", "Int64")], None),
            _view("trip_fv", ["driver", "shop"], [("trips", "Int64"), ("last", "String")], 60.0),
        ],
        "on_demand_feature_views": [],
        "feature_services": [
            service_entry(
                "driver_v1",
                [("driver_fv", "rating", "Float64", None)],
                join_keys=[{"name": "driver_id", "entity": "driver"}],
            ),
            stops,
            service_entry(
                "trips_v1",
                trips,
                join_keys=[{"name": "driver_id", "entity": "driver"}, {"name": "shop_id", "entity": "shop"}],
            ),
        ],
        "left_out": [{"kind": "feature_service", "name": "odd_v1", "why": "its view odd_fv has a Map; leave it away."}],
        **changes,
    }


def computed(value_of: Callable[[str, dict[str, Any]], tuple[Any, str]]) -> Answer:
    """Answers as `feast serve` does, with the value and the event timestamp of each feature's name and row."""

    async def answer(request: web.Request) -> web.Response:
        body = await request.json()
        names = list(body["entities"])
        rows = [dict(zip(names, values, strict=True)) for values in zip(*body["entities"].values(), strict=True)]
        full = body["full_feature_names"]
        asked = [reference.replace(":", "__") if full else reference.split(":")[1] for reference in body["features"]]
        columns = {name: [value_of(name, row) for row in rows] for name in reversed(asked)}
        return web.json_response(
            {
                "metadata": {"feature_names": [*names, *columns]},
                "results": [
                    *(
                        {"values": column, "event_timestamps": [NEVER_WRITTEN] * len(rows)}
                        for column in body["entities"].values()
                    ),
                    *(
                        {"values": [value for value, _ in cells], "event_timestamps": [stamp for _, stamp in cells]}
                        for cells in columns.values()
                    ),
                ],
            }
        )

    return answer


def of_keys(name: str, row: dict[str, Any]) -> tuple[Any, str]:
    """A value for each name that depends on the whole key."""
    if name in {"trip_fv__last", "last"}:
        return "-".join(str(row[key]) for key in sorted(row)), EVENT_TIMESTAMP
    return sum(len(value) if isinstance(value, str) else value for value in row.values()), EVENT_TIMESTAMP
