"""The repositories that `feast init` makes, before Feast's own feature server: answered as by Feast.

Each is made, applied and filled by Feast's commands, and its contract exported. The client is Feast's own stubs.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import pandas as pd
import pytest
from any_repo import AnyRepo, feast_serve, redis_store, sqlite_store
from feast import FeatureStore
from feast.cli.cli import cli
from feast_beside import Beside, Question, served_beside
from feast_beside_model import OUTSIDE_MAX_AGE, PRESENT, SelectionModel
from feast_beside_random import Columns, answer_of, compare, question_of, references_of
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from init_repos import NOT_SERVED, SERVED, Stores, Template, make_init_repo, run_init_repo

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

_REDIS_DATABASE = 12
"""A database of the tests' Valkey that nothing else uses."""
_UNKNOWN: dict[str, Any] = {"Int32": 9, "Int64": 9, "String": "nobody"}
_REQUEST_DATA: dict[str, st.SearchStrategy[Any]] = {
    "Int64": st.integers(-(2**40), 2**40),
    "String": st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=20),
}
_random = settings(max_examples=25, deadline=None)


@dataclass(frozen=True)
class Initialized:
    """A template's repository, served."""

    template: Template
    beside: Beside
    values: Columns


@pytest.fixture(scope="module")
def stores(redis_url: str) -> Stores:
    """The online stores that templates are given instead of their own."""
    return {"sqlite": sqlite_store(), "redis": redis_store(redis_url, database=_REDIS_DATABASE)}


@pytest.fixture(scope="module", params=SERVED, ids=lambda template: template.name)
def initialized(
    request: pytest.FixtureRequest, stores: Stores, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Initialized]:
    template: Template = request.param
    folder = tmp_path_factory.mktemp(template.name)
    repo = make_init_repo(template, folder, stores)
    with ExitStack() as stack:
        url = stack.enter_context(feast_serve(repo, logs=folder))
        store = FeatureStore(repo_path=str(repo))
        beside = stack.enter_context(
            served_beside(AnyRepo(template.online_store, repo, store), feature_server_url=url, folder=folder)
        )
        yield Initialized(template, beside, _values(repo, beside.contract))


def _values(repo: Path, contract: Any) -> Columns:
    """Return values of join keys, stored and unknown, and of request data."""
    frames = [pd.read_parquet(path) for path in (repo / "data").glob("*.parquet")]
    keys = {
        entity["join_key"]: st.sampled_from(
            [*_stored(frames, entity["join_key"]), _UNKNOWN[entity["dtype"]]],
        )
        for entity in contract["entities"]
    }
    request = [part for view in contract["on_demand_feature_views"] for part in view["request"]]
    return keys | {part["name"]: _REQUEST_DATA[part["dtype"]] for part in request}


def _stored(frames: list[pd.DataFrame], join_key: str) -> list[Any]:
    stored = [frame[join_key].unique()[:10].tolist() for frame in frames if join_key in frame.columns]
    # Some files are empty.
    return max(stored, key=len)


def _services(initialized: Initialized) -> list[str]:
    return [service["name"] for service in initialized.beside.contract["feature_services"]]


def test_every_template_is_served_or_has_a_reason() -> None:
    command = cli.commands["init"]
    (names,) = (option.type.choices for option in command.params if isinstance(option.type, click.Choice))
    assert {*names} == {template.name for template in SERVED} | NOT_SERVED.keys()


@_random
@given(data=st.data())
def test_a_feature_service_is_answered_as_by_feasts_sdk(initialized: Initialized, data: st.DataObject) -> None:
    beside = initialized.beside
    service = data.draw(st.sampled_from(_services(initialized)), label="service")
    question = question_of(data, beside, service, initialized.values)
    feast = answer_of(beside.ask_sdk, question)
    compare(beside, question, feast=feast, made_up=initialized.template.made_up)


@_random
@given(data=st.data())
def test_references_are_answered_as_by_feasts_sdk(initialized: Initialized, data: st.DataObject) -> None:
    beside = initialized.beside
    references = st.sampled_from(references_of(beside, "feature_views", "on_demand_feature_views"))
    selection = data.draw(st.lists(references, min_size=1, max_size=5, unique=True), label="references")
    question = question_of(data, beside, tuple(selection), initialized.values)
    feast = answer_of(beside.ask_sdk, question)
    compare(beside, question, feast=feast, made_up=initialized.template.made_up)


@_random
@given(data=st.data())
def test_references_are_answered_as_by_feast_listen(initialized: Initialized, data: st.DataObject) -> None:
    beside = initialized.beside
    references = st.sampled_from(references_of(beside, "feature_views"))
    selection = data.draw(st.lists(references, min_size=1, max_size=5, unique=True), label="references")
    question = question_of(data, beside, tuple(selection), initialized.values)
    names = SelectionModel(beside.contract, question.selection).names(full=question.full_feature_names)
    assume(len({*names}) == len(names))
    compare(beside, question, feast=beside.ask_listen(question))


def test_a_stored_row_has_its_time_and_its_values(initialized: Initialized) -> None:
    contract = initialized.beside.contract
    for view in contract["feature_views"]:
        references = tuple(f"{view['name']}:{feature['name']}" for feature in view["features"])
        keys = SelectionModel(contract, references).join_keys
        paths = (initialized.beside.repo.folder / "data").glob("*.parquet")
        # The oldest first: a template makes rows at random times, up to a day ahead, which are not materialized.
        stored = [pd.read_parquet(path).sort_values("event_timestamp") for path in paths]
        question = Question(references, {key: _stored(stored, key)[:1] for key in keys})
        answer = initialized.beside.ask_gateway(question)[len(keys) :]
        assert all(column.stamps_ns[0] > 0 for column in answer), view["name"]
        assert {status for column in answer for status in column.statuses} <= {PRESENT, OUTSIDE_MAX_AGE}, view["name"]


def test_the_minimal_repository_has_no_definitions_which_the_export_says(tmp_path: Path) -> None:
    (tmp_path / "stores").mkdir()
    paths = {"registry": str(tmp_path / "stores" / "registry.db"), "online_store": sqlite_store()}
    result = run_init_repo("minimal", tmp_path, project="init_minimal", settings=paths)
    assert result.returncode == 1, result.stdout + result.stderr
    assert "nothing of the project init_minimal is applied; run `feast apply` in" in result.stderr


def test_the_contract_leaves_out_what_is_no_feature_of_the_gateways(initialized: Initialized) -> None:
    assert {entry["name"] for entry in initialized.beside.contract["left_out"]} == initialized.template.left_out
