"""A caller's own rows come out as they came in, in their order, and what no training set can have is refused."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest
from streamflow_local.testing import copied_database
from streamflow_offline.errors import JobError
from streamflow_offline.ingest.job import ingest
from training_sets import build, database_made_once, database_name, execute, read_rows, read_schema

WriteMonth = Callable[..., Path]
A, B, C = "0001-AAAAA", "0002-BBBBB", "0003-CCCCC"


@pytest.fixture
def two_months(
    postgres_socket_dir: Path, applied_template: str, write_month: WriteMonth, month_files: dict[str, str]
) -> str:
    """January, and a February in which everybody has skipped 100 titles more; not to be written to."""
    write_month("month_000")
    usage = month_files["usage_agg_30d"].replace(",0,2", ",100,2").replace(",6,3", ",106,3").replace(",14,0", ",114,0")
    months = write_month("month_001", usage_agg_30d=usage)
    return database_made_once(
        postgres_socket_dir,
        "two_months",
        template=applied_template,
        fill=lambda url: ingest(months, postgres_url=url),
    )


def csv_file(tmp_path: Path, *lines: str) -> Path:
    path = tmp_path / "entities.csv"
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def test_rows_of_a_csv_keep_their_order_and_what_they_carry(two_months: str, tmp_path: Path) -> None:
    entities = csv_file(
        tmp_path,
        "note,user_id,as_of,churn_label",
        f"late,{C},2024-03-15,True",
        f'"a, ""b""",{A},2024-01-31,',
        f",{B},2024-03-15,False",
    )
    report = build(two_months, tmp_path / "out.csv", entities=entities)

    assert report.manifest["order"] == ["entity_row"]
    assert report.manifest["label_rate"] == 0.5
    lines = (tmp_path / "out.csv").read_text(encoding="utf-8").splitlines()
    assert [line.split(",")[:4] for line in lines[1:]] == [
        ["2024-03-15", f'"{C}"', "2024-03-15 00:00:00.000000Z", "0"],
        ["2024-01-31", f'"{A}"', "2024-01-31 00:00:00.000000Z", "1"],
        ["2024-03-15", f'"{B}"', "2024-03-15 00:00:00.000000Z", "2"],
    ]
    assert lines[0].endswith(',"note","churn_label"')
    assert [line.rsplit(",114,")[-1] for line in lines[1:2]] == ['0,2,1,12.5,"late",true']
    assert lines[2].endswith(',"a, ""b""",')


def test_rows_of_a_csv_are_partitioned_by_their_day(two_months: str, tmp_path: Path) -> None:
    entities = csv_file(
        tmp_path,
        "user_id,timestamp",
        f"{C},2024-03-01T12:00:00Z",
        f"{B},2024-02-01T00:00:00Z",
        f"{A},2024-03-01T01:00:00Z",
    )
    report = build(two_months, tmp_path / "out", entities=entities, chunk_rows=2)

    rows = [(row["as_of"], row["entity_row"], row["user_id"], row["skips_7d"]) for row in read_rows(tmp_path / "out")]
    assert rows == [("2024-02-01", 1, B, 6), ("2024-03-01", 0, C, 114), ("2024-03-01", 2, A, 100)]
    assert report.manifest["order"] == ["as_of", "entity_row"]
    assert report.manifest["label"] is None
    assert report.manifest["label_rate"] is None


def test_an_offset_says_when_a_time_is_and_a_time_without_one_is_in_utc(two_months: str, tmp_path: Path) -> None:
    entities = csv_file(
        tmp_path,
        "user_id,timestamp",
        # February's snapshot is of midnight in UTC.
        f"{A},2024-02-29T00:59:59.999999+01:00",
        f"{A},2024-02-29T01:00:00+01:00",
        f"{B},2024-02-28T19:00:00-05:00",
        f"{B},2024-02-28 18:59:59-05:00",
        f"{C},2024-02-29 00:00",
        f"{C},2024-02-28T23:59:59Z",
    )
    build(two_months, tmp_path / "out.csv", entities=entities)
    build(two_months, tmp_path / "out", entities=entities)

    rows = sorted(read_rows(tmp_path / "out"), key=lambda row: row["entity_row"])
    assert [row["skips_7d"] for row in rows] == [0, 100, 106, 6, 114, 14]
    assert rows[0]["event_timestamp"] == datetime(2024, 2, 28, 23, 59, 59, 999999, tzinfo=UTC)
    assert [row["as_of"] for row in rows[:2]] == ["2024-02-28", "2024-02-29"]


def test_the_servers_settings_change_nothing(postgres_socket_dir: Path, two_months: str, tmp_path: Path) -> None:
    entities = csv_file(tmp_path, "user_id,timestamp", f"{A},2024-02-29", f"{A},2024-02-28T23:00:00Z")
    build(two_months, tmp_path / "utc", entities=entities)
    with copied_database(postgres_socket_dir, "new_york", template=database_name(two_months)) as url:
        execute(
            url,
            "ALTER DATABASE new_york SET TimeZone TO 'America/New_York'",
            "ALTER DATABASE new_york SET DateStyle TO 'SQL, DMY'",
            "ALTER DATABASE new_york SET extra_float_digits TO 0",
        )
        build(url, tmp_path / "new_york", entities=entities)

    assert read_rows(tmp_path / "utc") == read_rows(tmp_path / "new_york")
    assert [row["skips_7d"] for row in read_rows(tmp_path / "utc")] == [0, 100]


def test_further_columns_of_a_csv_get_the_type_that_fits_them_all(two_months: str, tmp_path: Path) -> None:
    entities = csv_file(
        tmp_path,
        "user_id,as_of,flag,whole,number,text,code,empty,mixed",
        f"{A},2024-01-31,true,1,1,x,007,,true",
        f"{B},2024-01-31,FALSE,-20,2.5e3,,008,,1",
        f"{C},2024-01-31,,,,true,009,,",
    )
    build(two_months, tmp_path / "out", entities=entities)

    names = ["flag", "whole", "number", "text", "code", "empty", "mixed"]
    schema = read_schema(tmp_path / "out")
    assert [schema.field(name).type for name in names] == [
        *(pa.bool_(), pa.int64(), pa.float64()),
        *(pa.string(), pa.string(), pa.string(), pa.string()),
    ]
    assert [[row[name] for name in names] for row in read_rows(tmp_path / "out")] == [
        [True, 1, 1.0, "x", "007", None, "true"],
        [False, -20, 2500.0, None, "008", None, "1"],
        [None, None, None, "true", "009", None, None],
    ]


def test_rows_of_a_query_keep_its_order_and_its_types(two_months: str, tmp_path: Path) -> None:
    build(
        two_months,
        tmp_path / "out",
        entity_query="""
            SELECT user_id, timestamptz '2024-03-01 12:00+02' AS event_timestamp, churn_label, 1.5::numeric AS weight,
                   7::smallint AS number, date '2024-01-02' AS day, '{"a%b": 1}'::jsonb AS extra, ''::text AS nothing
            FROM labels_snapshots WHERE as_of = '2024-01-31' ORDER BY user_id DESC;
        """,
    )

    rows = read_rows(tmp_path / "out")
    assert [row["user_id"] for row in rows] == [C, B, A]
    assert rows[0]["event_timestamp"] == datetime(2024, 3, 1, 10, tzinfo=UTC)
    schema = read_schema(tmp_path / "out")
    assert [(schema.field(name).type, rows[1][name]) for name in schema.names[-6:-1]] == [
        (pa.bool_(), True),
        (pa.float64(), 1.5),
        (pa.int32(), 7),
        (pa.date32(), datetime(2024, 1, 2, tzinfo=UTC).date()),
        (pa.string(), '{"a%b": 1}'),
    ]
    assert rows[0]["nothing"] == ""


def test_a_row_without_a_key_or_of_an_unknown_user_keeps_its_place_with_nulls(two_months: str, tmp_path: Path) -> None:
    entities = csv_file(tmp_path, "user_id,as_of", "9999-ZZZZZ,2024-03-01", ",2024-03-01", f"{A},2024-03-01")
    build(two_months, tmp_path / "out", entities=entities)

    rows = read_rows(tmp_path / "out")
    assert [(row["user_id"], row["skips_7d"], row["net_service"]) for row in rows] == [
        ("9999-ZZZZZ", None, None),
        (None, None, None),
        (A, 100, "DSL"),
    ]


def test_rows_before_every_snapshot_have_nulls(two_months: str, tmp_path: Path) -> None:
    build(two_months, tmp_path / "out", entities=csv_file(tmp_path, "user_id,as_of", f"{A},2024-01-30"))

    assert [row["skips_7d"] for row in read_rows(tmp_path / "out")] == [None]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["user_id,as_of"], "has no rows; give it the rows to build"),
        (["as_of,note", "2024-01-31,x"], "lacks user_id; it has as_of, note"),
        (["user_id,day", f"{A},x"], r"lacks a time \(event_timestamp, timestamp, as_of\); it has user_id, day"),
        (["user_id,as_of,timestamp", f"{A},2024-01-31,2024-01-31"], "has timestamp and as_of, and either could be"),
        (["user_id,as_of,x,x", f"{A},2024-01-31,1,2"], "has two columns named 'x'"),
        (["user_id,as_of,skips_7d", f"{A},2024-01-31,1"], "column 'skips_7d', as the feature service has a feature"),
        (["user_id,as_of,entity_row", f"{A},2024-01-31,1"], "'entity_row', which the training set writes itself"),
        (["user_id,as_of", f"{A},2024-02-30"], "line 2: '2024-02-30' is not a time; write 2024-01-31, or"),
        (["user_id,as_of", f"{A},2024-01-31", f"{A},"], "line 3: '' is not a time"),
        (["user_id,as_of", f"{A},20240131"], "line 2: '20240131' is not a time"),
        (["user_id,as_of", f"{A},0001-01-01T00:00+01:00"], "line 2: '0001-01-01T00:00.01:00' is not a time"),
        (["user_id,as_of", f"{A},2024-01-31,x"], "row 1, has 3 fields; expected 2"),
        (["user_id,as_of", f'"{A}'], "is not a CSV file that can be read"),
        (
            ["user_id,timestamp", f"{A},2024-01-31", f"{B},2024-01-31", f"{A},2024-01-31T01:00+01:00"],
            f"asks for 2 rows more than once: 2 rows of {A} at 2024-01-31T00:00:00.00:00. Leave one of each",
        ),
        ([], "lacks user_id and a time"),
    ],
)
def test_a_csv_that_no_training_set_can_have_is_refused(
    two_months: str, tmp_path: Path, lines: list[str], message: str
) -> None:
    with pytest.raises(JobError, match=message):
        build(two_months, tmp_path / "out", entities=csv_file(tmp_path, *lines))
    assert [path.name for path in tmp_path.iterdir() if "out" in path.name] == []


def test_a_file_that_is_not_there_or_not_utf_8_is_refused(two_months: str, tmp_path: Path) -> None:
    with pytest.raises(JobError, match="can't be read: No such file or directory; give --entities a CSV file"):
        build(two_months, tmp_path / "out", entities=tmp_path / "nothing.csv")
    (tmp_path / "latin.csv").write_bytes("user_id,as_of,note\n0001-AAAAA,2024-01-31,é\n".encode("latin-1"))
    with pytest.raises(JobError, match="is not UTF-8 at byte 41; save it as UTF-8"):
        build(two_months, tmp_path / "out", entities=tmp_path / "latin.csv")


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("SELECT user_id FROM labels_snapshots", "--entity-query lacks a time"),
        ("SELECT user_id, as_of::text FROM labels_snapshots", "has as_of as text; cast it to timestamptz"),
        ("SELECT nonsense", 'PostgreSQL refuses --entity-query: column "nonsense" does not exist'),
        ("SELECT user_id, now() AS timestamp, 1 / 0 AS x FROM users", "refuses --entity-query: division by zero"),
        ("SELECT user_id, as_of FROM users WHERE false", "--entity-query has no rows"),
        ("DELETE FROM users RETURNING user_id, as_of", "PostgreSQL refuses --entity-query: syntax error"),
        ("SELECT user_id, NULL::date AS as_of FROM users", "has 3 rows without a time .*, the first of them row 1"),
        ("SELECT user_id, 'infinity'::timestamptz AS timestamp FROM users", "has 3 rows without a time from year 1"),
        ("SELECT u.user_id, u.as_of FROM users u, generate_series(1, 4)", "asks for 12 rows more than once: 4 rows of"),
    ],
)
def test_a_query_that_no_training_set_can_have_is_refused(
    two_months: str, tmp_path: Path, query: str, message: str
) -> None:
    with pytest.raises(JobError, match=message):
        build(two_months, tmp_path / "out", entity_query=query)
    assert list(tmp_path.glob("*out*")) == []
