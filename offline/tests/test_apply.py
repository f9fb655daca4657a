"""Applies that meet another apply, or the definitions of another version."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest
import streamflow_repo
from feast import FeatureService, FeatureStore, FeatureView, Field
from feast.types import Int64
from feast_contract import Contract, lacking, read_contract
from psycopg import OperationalError
from streamflow_local.waiting import wait_until
from streamflow_offline import applied_contract
from streamflow_offline.apply.job import apply_definitions
from streamflow_offline.feast_store import FEATURE_REPO, open_store
from streamflow_repo import CONTRACT_PATH
from streamflow_repo.definitions.entities import user
from training_sets import UNUSED_REDIS_URL, apply_objects

_VIEW = "subs_profile_fv"
_OTHER_MAX_AGE_DAYS = 40
_OLD = "seldom_used"
_TIMEOUT_S = 120
_APPLY = """
import pathlib, sys
from streamflow_offline.apply.job import apply_definitions

apply_definitions(
    postgres_url=sys.argv[1], redis_url=sys.argv[2], on_output=print, contract_path=pathlib.Path(sys.argv[3])
)
"""


@pytest.mark.slow
def test_of_two_applies_of_two_versions_registry_and_contract_are_of_one(
    postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    contract_path = tmp_path / "contract.json"
    read = applied_contract.applied_contract
    others: list[subprocess.Popen[bytes]] = []

    def read_while_another_applies(store: FeatureStore) -> Contract:
        others.append(_apply_of_another_version(tmp_path / "other_version", postgres_url, contract_path))
        _wait_until_it_waits_or_has_ended(others[0], postgres_url)
        return read(store)

    monkeypatch.setattr(applied_contract, "applied_contract", read_while_another_applies)

    apply_definitions(
        postgres_url=postgres_url, redis_url=UNUSED_REDIS_URL, on_output=print, contract_path=contract_path
    )

    [other] = others
    assert other.wait(_TIMEOUT_S) == 0
    with open_store(postgres_url=postgres_url, redis_url=UNUSED_REDIS_URL) as store:
        applied = store.get_feature_view(_VIEW).ttl
    assert applied == timedelta(days=_OTHER_MAX_AGE_DAYS)
    assert f'"max_age_s": {applied.total_seconds()}' in contract_path.read_text()
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == [contract_path.name]


def test_what_the_definitions_no_longer_name_is_kept_where_that_is_asked_for(applied_url: str, tmp_path: Path) -> None:
    apply = partial(
        apply_definitions,
        postgres_url=applied_url,
        redis_url=UNUSED_REDIS_URL,
        contract_path=tmp_path / "contract.json",
    )
    said: list[str] = []
    before = apply(on_output=print)
    apply_objects(applied_url, [*_older_definitions(applied_url)])

    apply(on_output=said.append, keep_removed=True)

    kept = json.loads((tmp_path / "contract.json").read_text())
    assert {line for line in said if line.startswith("kept: ")} == {
        f"kept: feature service {_OLD}_v1",
        f"kept: feature view {_OLD}_fv",
        f"kept: feature {_VIEW}:{_OLD}",
    }
    assert not lacking(kept, read_contract(CONTRACT_PATH), name="the repository's")
    assert {f"{_OLD}_fv"} < {view["name"] for view in kept["feature_views"]}
    # A second run has nothing to do, and what is kept goes with an apply that keeps nothing.
    assert apply(on_output=print, keep_removed=True) == kept["hash"]
    assert apply(on_output=print) == before


def _older_definitions(postgres_url: str) -> Iterator[Any]:
    """Yield what an earlier version had: a view, a feature of another view, and a service of both."""
    with open_store(postgres_url=postgres_url, redis_url=UNUSED_REDIS_URL) as store:
        view = store.get_feature_view(_VIEW)
    feature = Field(name=_OLD, dtype=Int64)
    view.features.append(feature)
    other = FeatureView(
        name=f"{_OLD}_fv", entities=[user], schema=[feature], source=view.batch_source, ttl=timedelta(0)
    )
    yield from (view, other, FeatureService(name=f"{_OLD}_v1", features=[view[[_OLD]], other]))


def _apply_of_another_version(folder: Path, postgres_url: str, contract_path: Path) -> subprocess.Popen[bytes]:
    """Start an apply of definitions whose views have another maximum age."""
    package = Path(streamflow_repo.__file__).parent
    shutil.copytree(package, folder / package.name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(FEATURE_REPO / "feature_store.yaml", folder)
    views = folder / package.name / "definitions" / "views.py"
    ours, theirs = "NO_MAX_AGE = timedelta(0)", f"NO_MAX_AGE = timedelta(days={_OTHER_MAX_AGE_DAYS})"
    text = views.read_text()
    assert ours in text
    views.write_text(text.replace(ours, theirs))
    return subprocess.Popen(
        [sys.executable, "-c", _APPLY, postgres_url, UNUSED_REDIS_URL, str(contract_path)],
        env={**os.environ, "PYTHONPATH": str(folder)},
    )


def _wait_until_it_waits_or_has_ended(process: subprocess.Popen[bytes], postgres_url: str) -> None:
    def look() -> None:
        with psycopg.connect(postgres_url) as connection:
            waiting = connection.execute(
                "SELECT FROM pg_locks JOIN pg_database ON database = pg_database.oid"
                " WHERE locktype = 'advisory' AND NOT granted AND datname = current_database()"
            ).fetchone()
        if waiting is None and process.poll() is None:
            raise OperationalError("the other apply neither waits nor has ended")

    wait_until(look, failing=OperationalError, timeout_s=_TIMEOUT_S, complaint=lambda: "nothing to go on by")
