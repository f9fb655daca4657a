"""Whom an audit reads: users of every kind, each once, the same for the same seed."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis
from streamflow_offline.audit.sample import UNKNOWN_USERS, Group, draw_sample
from streamflow_offline.errors import JobError
from streamflow_offline.feast_store import connected, open_store
from streamflow_offline.ingest.job import ingest
from streamflow_offline.user_keys import UserKeys
from streamflow_repo import USER_ID_PATTERN
from training_sets import UNUSED_REDIS_URL, execute

WriteMonth = Callable[..., Path]
ALL = ["0001-AAAAA", "0002-BBBBB", "0003-CCCCC"]


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    """A Redis database of the test's own."""
    with redis.Redis.from_url(f"{redis_url}/7") as connected_client:
        connected_client.flushdb()
        yield connected_client
        connected_client.flushdb()


@pytest.fixture
def three_users(applied_url: str, write_month: WriteMonth) -> str:
    ingest(write_month(), postgres_url=applied_url)
    return applied_url


@contextmanager
def _drawing(url: str, client: redis.Redis) -> Iterator[Callable[..., dict[Group, list[str]]]]:
    with connected(url) as connection, open_store(postgres_url=url, redis_url=UNUSED_REDIS_URL) as store:
        views = store.list_feature_views()

        def draw(**options: Any) -> dict[Group, list[str]]:
            asked = {"users": None, "seed": 0, **options}
            return draw_sample(connection, client, views, project=str(store.project), **asked)

        yield draw


def _online(client: redis.Redis, *user_ids: str) -> None:
    keys = UserKeys(project="streamflow", join_key="user_id")
    for user_id in user_ids:
        client.set(keys.key(user_id), "")


def test_each_group_has_its_users_and_nobody_is_read_twice(three_users: str, client: redis.Redis) -> None:
    labels = "INSERT INTO labels_snapshots VALUES ('{}', true, '2024-01-31', now())"
    execute(three_users, labels.format("0004-DDDDD"), labels.format("0005-EEEEE"))
    # One view is enough to have features.
    for table in ("subscriptions_profile", "usage_agg_30d", "support_agg_90d"):
        execute(three_users, f"DELETE FROM {table}_snapshots WHERE user_id = '0001-AAAAA'")
    _online(client, "0001-AAAAA", "0005-EEEEE", "0006-FFFFF")
    client.set("another's key", "")

    with _drawing(three_users, client) as draw:
        sample = draw()

    assert sorted(sample[Group.WITH_FEATURES]) == ALL
    assert sorted(sample[Group.LABELLED_ONLY]) == ["0004-DDDDD", "0005-EEEEE"]
    assert sample[Group.ONLINE_ONLY] == ["0006-FFFFF"]
    assert len(sample[Group.UNKNOWN]) == UNKNOWN_USERS
    assert all(re.fullmatch(USER_ID_PATTERN, user_id) for user_id in sample[Group.UNKNOWN])


def test_as_many_users_as_asked_for_are_drawn_by_the_seed(three_users: str, client: redis.Redis) -> None:
    with _drawing(three_users, client) as draw:
        drawn = [draw(users=2, seed=seed) for seed in (*range(20), 0)]
    assert {len(sample[Group.WITH_FEATURES]) for sample in drawn} == {2}
    assert drawn[0] == drawn[-1]
    assert {user_id for sample in drawn for user_id in sample[Group.WITH_FEATURES]} == set(ALL)
    assert drawn[0][Group.UNKNOWN] != drawn[1][Group.UNKNOWN]


def test_a_sample_meets_users_whom_only_redis_has(three_users: str, client: redis.Redis) -> None:
    _online(client, "0006-FFFFF")
    with _drawing(three_users, client) as draw:
        assert draw(users=1)[Group.ONLINE_ONLY] == ["0006-FFFFF"]


def test_a_database_without_labels_is_sampled_all_the_same(three_users: str, client: redis.Redis) -> None:
    execute(three_users, "DROP TABLE labels_snapshots")
    with _drawing(three_users, client) as draw:
        sample = draw()
    assert sorted(sample[Group.WITH_FEATURES]) == ALL
    assert sample[Group.LABELLED_ONLY] == []


def test_a_database_without_features_is_refused(applied_url: str, client: redis.Redis) -> None:
    with _drawing(applied_url, client) as draw, pytest.raises(JobError, match="load months with `offline ingest`"):
        draw()
