"""What can't be built is refused before anything is written, with what to do about it."""

import os
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from feast import FeatureService, FeatureView, Field
from feast.infra.offline_stores.contrib.postgres_offline_store.postgres_source import PostgreSQLSource
from feast.types import Int64
from streamflow_local.testing import copied_database
from streamflow_offline.errors import JobError
from streamflow_offline.ingest.job import ingest
from streamflow_offline.training_set import OutputFormat
from streamflow_repo.definitions.entities import user
from training_sets import apply_objects, build, database_made_once, database_name, execute, read_rows

WriteMonth = Callable[..., Path]


@pytest.fixture
def january(postgres_socket_dir: Path, applied_template: str, write_month: WriteMonth) -> str:
    """A month of three users; not to be written to."""
    months = write_month()
    return database_made_once(
        postgres_socket_dir, "january", template=applied_template, fill=lambda url: ingest(months, postgres_url=url)
    )


@pytest.fixture
def own_january(postgres_socket_dir: Path, january: str, request: pytest.FixtureRequest) -> Iterator[str]:
    """The same, of the test's own."""
    name = f"own_january_{abs(hash(request.node.nodeid))}"
    with copied_database(postgres_socket_dir, name, template=database_name(january)) as url:
        yield url


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"service": "nope"}, "there is no feature service 'nope'; applied are churn_v1, engagement_v1, session_v1"),
        (
            {"as_of": (date(2024, 1, 31), date(2024, 3, 31))},
            "no label snapshots of 2024-03-31; there are of 2024-01-31: choose among these, or load the month",
        ),
        ({"entities": Path("e.csv"), "entity_query": "SELECT"}, "--entities and --entity-query both name entity rows"),
        ({"entities": Path("e.csv"), "as_of": (date(2024, 1, 31),)}, "--as-of chooses label snapshots, and --entities"),
        ({"chunk_rows": 0}, "--chunk-rows is 0; give 1 to 1,000,000"),
    ],
)
def test_a_request_that_cannot_be_met_is_refused(
    january: str, tmp_path: Path, request_: dict[str, Any], message: str
) -> None:
    with pytest.raises(JobError, match=message):
        build(january, tmp_path / "out", **request_)
    assert not list(tmp_path.glob("*out*")) + list(tmp_path.glob(".*"))


def test_a_name_of_the_other_format_is_refused(january: str, tmp_path: Path) -> None:
    with pytest.raises(JobError, match=r"out.csv is named like a CSV file; leave --format out"):
        build(january, tmp_path / "out.csv", output_format=OutputFormat.PARQUET)


def test_a_csv_may_have_any_name(january: str, tmp_path: Path) -> None:
    build(january, tmp_path / "rows.txt", output_format=OutputFormat.CSV)
    assert (tmp_path / "rows.txt").read_text(encoding="utf-8").count("\n") == 4
    assert (tmp_path / "rows.manifest.json").is_file()


@pytest.mark.parametrize("name", ["out", "out.csv"])
def test_a_target_that_is_there_already_is_left_alone(january: str, tmp_path: Path, name: str) -> None:
    build(january, tmp_path / name)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}

    with pytest.raises(JobError, match="is there already; name another target, or replace it with --overwrite"):
        build(january, tmp_path / name)

    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_what_is_no_training_set_is_never_overwritten(january: str, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home/thesis.txt").write_text("years of work", encoding="utf-8")
    with pytest.raises(JobError, match="home is not a training set, so --overwrite leaves it alone"):
        build(january, tmp_path / "home", overwrite=True)
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(JobError, match=r"folder.csv is not a file, so --overwrite leaves it alone"):
        build(january, tmp_path / "folder.csv", overwrite=True)
    (tmp_path / "link").symlink_to(tmp_path / "home")
    with pytest.raises(JobError, match="link is a link; name what it points to"):
        build(january, tmp_path / "link", overwrite=True)
    assert (tmp_path / "home/thesis.txt").read_text(encoding="utf-8") == "years of work"


def test_a_target_that_cannot_be_written_is_refused(january: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(JobError, match=r"can't be written: Not a directory .*; name a target that you may write to"):
        build(january, tmp_path / "file" / "out")
    with pytest.raises(JobError, match="names no file or folder"):
        build(january, Path("/"))
    if os.geteuid():
        tmp_path.chmod(0o500)
        with pytest.raises(JobError, match="can't be written: Permission denied"):
            build(january, tmp_path / "out")


def test_folders_above_the_target_are_made(january: str, tmp_path: Path) -> None:
    build(january, tmp_path / "a/b/out")
    assert len(read_rows(tmp_path / "a/b/out")) == 3


def test_a_database_without_definitions_or_snapshots_is_refused(
    postgres_url: str, applied_url: str, tmp_path: Path
) -> None:
    for statement in ("SELECT", "CREATE SCHEMA feast"):
        execute(postgres_url, statement)
        with pytest.raises(JobError, match="nothing is applied in this database; run `offline apply` first"):
            build(postgres_url, tmp_path / "out")
    with pytest.raises(JobError, match="there are no label snapshots in this database; load months"):
        build(applied_url, tmp_path / "out")
    execute(applied_url, "DROP TABLE labels_snapshots")
    with pytest.raises(JobError, match="there are no label snapshots in this database; load months"):
        build(applied_url, tmp_path / "out")
    execute(applied_url, "DROP TABLE usage_agg_30d_snapshots")
    with pytest.raises(JobError, match='there is no table "usage_agg_30d_snapshots"; load months'):
        build(applied_url, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_cannot_be_reached_is_told(tmp_path: Path) -> None:
    with pytest.raises(JobError, match="Connection refused"):
        build("postgresql://nobody@127.0.0.1:1/streamflow", tmp_path / "out")


def test_labels_that_name_a_user_twice_are_refused(own_january: str, tmp_path: Path) -> None:
    execute(
        own_january,
        "ALTER TABLE labels_snapshots DROP CONSTRAINT labels_snapshots_pkey",
        "INSERT INTO labels_snapshots SELECT * FROM labels_snapshots WHERE user_id = '0002-BBBBB'",
    )
    with pytest.raises(JobError, match="asks for 2 rows more than once: 2 rows of 0002-BBBBB at 2024-01-31"):
        build(own_january, tmp_path / "out")


def test_a_column_that_cannot_hold_its_features_type_is_refused(own_january: str, tmp_path: Path) -> None:
    execute(own_january, "ALTER TABLE usage_agg_30d_snapshots ALTER skips_7d TYPE double precision")
    with pytest.raises(JobError, match="feature skips_7d is Int64 in the contract, but its column is float8 in"):
        build(own_january, tmp_path / "out")


def test_a_column_that_is_gone_is_told(own_january: str, tmp_path: Path) -> None:
    execute(own_january, "ALTER TABLE usage_agg_30d_snapshots DROP COLUMN skips_7d")
    with pytest.raises(JobError, match=r"a statement failed; .* column s.skips_7d does not exist; nothing of .*out"):
        build(own_january, tmp_path / "out")
    assert list(tmp_path.glob(".*")) == []


def test_definitions_that_have_no_contract_are_refused(own_january: str, tmp_path: Path) -> None:
    source = PostgreSQLSource(name="hidden", table="usage_agg_30d_snapshots", timestamp_field="as_of")
    hidden = FeatureView(
        name="hidden_fv",
        entities=[user],
        ttl=timedelta(0),
        online=False,
        schema=[Field(name="skips_7d", dtype=Int64)],
        source=source,
    )
    apply_objects(own_january, [user, hidden, FeatureService(name="hidden_v1", features=[hidden])])
    with pytest.raises(
        JobError, match=r"the applied definitions have no contract: .* feature view hidden_fv: it is not online"
    ):
        build(own_january, tmp_path / "out", service="hidden_v1")


def test_a_source_without_an_index_is_told(own_january: str, tmp_path: Path) -> None:
    execute(own_january, "ALTER TABLE usage_agg_30d_snapshots DROP CONSTRAINT usage_agg_30d_snapshots_pkey")
    lines: list[str] = []
    build(own_january, tmp_path / "out", on_progress=lines.append)

    assert lines[0] == (
        'usage_agg_30d_fv: "usage_agg_30d_snapshots" has no index on (user_id, as_of), so each row reads the whole '
        "table; create an index for more than a few thousand rows"
    )
    assert len(read_rows(tmp_path / "out")) == 3


def test_a_user_with_no_right_to_make_temporary_tables_is_told_which_to_grant(own_january: str, tmp_path: Path) -> None:
    name = database_name(own_january)
    execute(own_january, f"REVOKE TEMPORARY ON DATABASE {name} FROM PUBLIC")
    execute(
        own_january,
        f"DROP ROLE IF EXISTS reader_{name}",
        f"CREATE ROLE reader_{name} LOGIN",
        f"GRANT pg_read_all_data TO reader_{name}",
        f"GRANT ALL ON SCHEMA feast TO reader_{name}",
        f"GRANT ALL ON ALL TABLES IN SCHEMA feast TO reader_{name}",
    )
    with pytest.raises(JobError, match=r"PostgreSQL failed: .*grant SELECT on them and TEMPORARY on the database"):
        build(own_january.replace("postgres@", f"reader_{name}@"), tmp_path / "out")
