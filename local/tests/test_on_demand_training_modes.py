"""Training sets compute on-demand features of each mode as Feast serves them to a caller who asks for one row."""

from typing import Any

import pyarrow as pa
import pytest
from any_repo import AnyRepo
from feast_contract import read_contract
from streamflow_offline.errors import JobError
from streamflow_offline.training_set.columns import DTYPES
from streamflow_offline.training_set.on_demand import OnDemandView, RequestField

_KEYS: dict[str, list[Any]] = {"driver_id": [1, 2, 2**40, 1], "city_code": ["LIS", "OPO", "FAR", "LIS"]}
_REQUEST: dict[str, list[Any]] = {"km": [3.0, 0.5, 12.25, 3.0], "bags": [1, 5, 2, 4]}


def _parts(repo: AnyRepo, name: str) -> tuple[OnDemandView, dict[str, str]]:
    """Return an applied view, and the types of its features."""
    (entry,) = [view for view in read_contract(repo.contract)["on_demand_feature_views"] if view["name"] == name]
    view = OnDemandView(
        applied=repo.store.get_on_demand_feature_view(name),
        row_by_row=entry["row_by_row"],
        inputs=tuple(part["name"] for part in entry["inputs"]),
        request=tuple(RequestField(name=part["name"], dtype=part["dtype"]) for part in entry["request"]),
    )
    return view, {part["name"]: part["dtype"] for part in entry["features"]}


def _inputs(repo: AnyRepo, name: str) -> pa.Table:
    """Return what the view's function gets for each key: stored features and request data."""
    contract = read_contract(repo.contract)
    (entry,) = [view for view in contract["on_demand_feature_views"] if view["name"] == name]
    dtypes = {
        f"{view['name']}:{part['name']}": part["dtype"]
        for view in contract["feature_views"]
        for part in view["features"]
    }
    references = [f"{part['view']}:{part['name']}" for part in entry["inputs"]]
    stored = repo.store.get_online_features(references, _KEYS).to_dict() if references else {}
    columns = {
        reference.partition(":")[2]: pa.array(stored[reference.partition(":")[2]], DTYPES[dtypes[reference]])
        for reference in references
    }
    return pa.table(
        columns | {part["name"]: pa.array(_REQUEST[part["name"]], DTYPES[part["dtype"]]) for part in entry["request"]}
    )


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("trip_price", id="pandas"),
        pytest.param("trip_miles", id="pandas of request data"),
        pytest.param("trips_share", id="pandas that aggregates"),
        pytest.param("city_size", id="python"),
        pytest.param("driver_in_city", id="python that returns lists"),
        pytest.param("trips_rank", id="python that aggregates"),
        pytest.param("trip_load", id="singleton"),
    ],
)
def test_features_of_each_mode_are_those_that_feast_serves_row_by_row(any_repo_on_sqlite: AnyRepo, name: str) -> None:
    view, dtypes = _parts(any_repo_on_sqlite, name)
    found = view.outputs(_inputs(any_repo_on_sqlite, name), dtypes)
    for row in range(len(_KEYS["driver_id"])):
        entities = {column: [values[row]] for column, values in (_KEYS | _REQUEST).items()}
        served = any_repo_on_sqlite.store.get_online_features(
            [f"{name}:{feature}" for feature in dtypes], entities
        ).to_dict()
        for feature in dtypes:
            assert found[feature][row].as_py() == served[feature][0], (feature, row)
    assert {feature: column.type for feature, column in found.items()} == {
        feature: DTYPES[dtype] for feature, dtype in dtypes.items()
    }


@pytest.mark.parametrize("name", ["tips_per_bag", "shop_initials"])
def test_a_function_that_fails_for_a_row_ends_the_job_with_its_name(any_repo_on_sqlite: AnyRepo, name: str) -> None:
    view, dtypes = _parts(any_repo_on_sqlite, name)
    missing = pa.table({column: pa.array([None, 7]) for column in (*view.inputs, *(one.name for one in view.request))})
    with pytest.raises(JobError, match=f"the function of {name} fails: "):
        view.outputs(missing, dtypes)
