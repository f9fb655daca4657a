"""The accounts of the stores do what they are for, and are refused the rest."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
import redis
from feast import FeatureStore
from streamflow_local import ports, postgres, valkey
from streamflow_local.testing import copied_database, running
from streamflow_offline.apply.job import apply_definitions
from streamflow_offline.errors import JobError
from streamflow_offline.feast_store import FEATURE_REPO, open_store
from streamflow_offline.generate.job import generate_months
from streamflow_offline.grant.command import grant
from streamflow_offline.grant.job import Role, grant_roles
from streamflow_offline.ingest.job import ingest
from streamflow_offline.materialize.job import materialize
from streamflow_repo import CONTRACT_PATH

_USERS = 20
_DDL = (
    "CREATE TABLE made (a INT)",
    "CREATE TABLE feast.made (a INT)",
    "CREATE SCHEMA made",
    "ALTER TABLE feast.projects ADD COLUMN made INT",
    "DROP TABLE feast.projects",
    "ALTER TABLE public.users ADD COLUMN made INT",
    "DROP TABLE public.users CASCADE",
    "TRUNCATE feast.projects",
    "CREATE FUNCTION made() RETURNS INT LANGUAGE sql RETURN 1",
)
_OF_THE_SERVER = ("CREATE ROLE made", "ALTER ROLE streamflow_reader SUPERUSER", "COPY public.users TO PROGRAM 'true'")
_ROWS = ("CREATE TEMPORARY TABLE made (a INT)", "SELECT FROM public.users", "DELETE FROM feast.projects")


@dataclass(frozen=True)
class Stores:
    """Stores in which each role has done its work."""

    admin_postgres_url: str
    postgres_urls: Mapping[Role, str]
    redis_urls: Mapping[str, str]
    admin_redis_url: str


@pytest.fixture(scope="module")
def redis_urls(state_dir: Path) -> Iterator[Mapping[str, str]]:
    """The URL of each user of a Valkey of this module's, by name."""
    port, users, folder = ports.free_port(), {"reader": "r:ead", "writer": "w%ite"}, state_dir / "valkey-with-users"
    valkey.write_users(folder / "users.acl", users)
    with running(
        valkey.prepare(folder / "data", port=port, users=folder / "users.acl"), log=state_dir / "valkey-with-users.log"
    ):
        urls = {"default": valkey.url(port), "reader": "", "writer": ""}
        valkey.wait_until_ready(urls["default"], timeout_s=60)
        urls["reader"] = f"redis://reader:r%3Aead@127.0.0.1:{port}"
        urls["writer"] = f"redis://writer:w%25ite@127.0.0.1:{port}"
        yield urls


@pytest.fixture(scope="module")
def stores(
    postgres_socket_dir: Path, redis_urls: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stores]:
    folder = tmp_path_factory.mktemp("accounts")
    with copied_database(postgres_socket_dir, "accounts") as admin:
        grant_roles(admin)
        urls = {role: postgres.url(postgres_socket_dir, "accounts", user=role.value) for role in Role}
        writer, said = redis_urls["writer"], list[str]()
        contract = folder / "contract.json"
        apply_definitions(
            postgres_url=urls[Role.DEFINITIONS], redis_url=writer, on_output=said.append, contract_path=contract
        )
        generate_months(folder / "months", users=_USERS)
        ingest(folder / "months", postgres_url=urls[Role.JOBS], on_progress=said.append)
        views = materialize(postgres_url=urls[Role.JOBS], redis_url=writer, on_progress=said.append)
        assert [view.users for view in views] == [_USERS] * 4
        yield Stores(admin, urls, redis_urls, redis_urls["default"])


def _refused(url: str, statement: str) -> bool:
    with psycopg.connect(url, autocommit=True) as connection:
        try:
            connection.execute(statement.encode())
        except psycopg.errors.InsufficientPrivilege:
            return True
    return False


def test_a_feature_server_reads_with_the_accounts_that_only_read(stores: Stores) -> None:
    with open_store(postgres_url=stores.postgres_urls[Role.READER], redis_url=stores.redis_urls["reader"]) as store:
        read = _read(store)
    assert read["user_id"] == ["3413-BMNZE"]
    assert None not in read["monthly_fee"]


def test_the_accounts_that_only_read_see_that_the_definitions_are_applied(stores: Stores) -> None:
    command = [sys.executable, "-m", "streamflow_repo.settings", sys.executable, "-O", "-m", "feast_contract", "wait"]
    urls = {"POSTGRES_URL": stores.postgres_urls[Role.READER], "REDIS_URL": stores.redis_urls["reader"]}
    result = subprocess.run(
        [*command, "--contract", str(CONTRACT_PATH)],
        check=False,
        capture_output=True,
        text=True,
        cwd=FEATURE_REPO,
        env=os.environ | urls,
        timeout=120,
    )
    assert (result.returncode, result.stderr) == (0, "")


def _read(store: FeatureStore) -> dict[str, list[object]]:
    found: dict[str, list[object]] = store.get_online_features(
        features=store.get_feature_service("churn_v1"), entity_rows=[{"user_id": "3413-BMNZE"}]
    ).to_dict()
    return found


@pytest.mark.parametrize(
    ("role", "statements"),
    [
        (Role.DEFINITIONS, ("CREATE SCHEMA made", *_OF_THE_SERVER)),
        (Role.JOBS, (*_DDL, *_OF_THE_SERVER)),
        (Role.READER, (*_DDL, *_OF_THE_SERVER, *_ROWS)),
    ],
)
def test_a_role_of_postgresql_is_refused_what_it_is_not_for(
    stores: Stores, role: Role, statements: tuple[str, ...]
) -> None:
    allowed = [statement for statement in statements if not _refused(stores.postgres_urls[role], statement)]
    assert allowed == []


def test_granting_again_changes_nothing_and_takes_over_tables_of_others(stores: Stores) -> None:
    with psycopg.connect(stores.admin_postgres_url, autocommit=True) as connection:
        connection.execute("ALTER TABLE feast.projects OWNER TO CURRENT_USER")
        grant_roles(stores.admin_postgres_url)
        owners = connection.execute("SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname IN ('feast', 'public')")
        assert owners.fetchall() == [(Role.DEFINITIONS.value,)]


def test_a_password_is_kept_as_its_hash_and_roles_are_granted_by_a_superuser_alone(
    stores: Stores, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "reader").write_text("s3kr'et\n", encoding="utf-8")
    monkeypatch.setenv("POSTGRES_URL", stores.admin_postgres_url)
    monkeypatch.setenv("POSTGRES_READER_PASSWORD_FILE", str(tmp_path / "reader"))
    grant()
    assert " ".join(capfd.readouterr().err.split()).endswith("with new passwords: streamflow_reader")
    with psycopg.connect(stores.admin_postgres_url) as connection:
        row = connection.execute("SELECT rolpassword FROM pg_authid WHERE rolname = 'streamflow_reader'").fetchone()
        connection.execute("ALTER ROLE streamflow_reader PASSWORD NULL")
    assert row is not None
    assert row[0].startswith("SCRAM-SHA-256$")
    with pytest.raises(JobError, match="let POSTGRES_URL name a superuser"):
        grant_roles(stores.postgres_urls[Role.DEFINITIONS])


_WRITES = ("SET a b", "HSET a b c", "DEL a", "EVAL return(1) 0", "EXPIRE a 1", "COPY a b", "GETDEL a")
_LISTS = ("SCAN 0", "RANDOMKEY", "DBSIZE", "KEYS *")
_ADMINS = (
    *(
        "FLUSHALL",
        "FLUSHDB",
        "CONFIG GET *",
        "ACL LIST",
        "ACL SETUSER reader +@all",
        "SHUTDOWN",
    ),
    *(
        "MONITOR",
        "INFO",
        "CLIENT LIST",
        "CLIENT KILL ID 1",
        "SAVE",
        "REPLICAOF NO ONE",
        "FUNCTION LIST",
        "SCRIPT FLUSH",
    ),
    *("MODULE LIST", "SLOWLOG GET", "SUBSCRIBE a", "PUBLISH a b", "MIGRATE h 1 k 0 1", "CLUSTER MEET 127.0.0.1 1"),
)


@pytest.mark.parametrize(("user", "commands"), [("reader", (*_WRITES, *_LISTS, *_ADMINS)), ("writer", _ADMINS)])
def test_a_user_of_redis_is_refused_what_it_is_not_for(
    redis_urls: Mapping[str, str], user: str, commands: tuple[str, ...]
) -> None:
    allowed = []
    with redis.Redis.from_url(redis_urls[user]) as client:
        for command in commands:
            try:
                client.execute_command(*command.split())
            except redis.exceptions.NoPermissionError:
                continue
            allowed.append(command)
    assert allowed == []


def test_a_user_with_a_wrong_password_is_refused(redis_urls: Mapping[str, str]) -> None:
    wrong = redis_urls["writer"].replace("w%25ite", "wrong")
    with redis.Redis.from_url(wrong) as client, pytest.raises(redis.AuthenticationError):
        client.ping()
