"""Files that can't be loaded, what is said about each, and files that can although they look odd."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import psycopg
import pytest
from streamflow_offline.errors import JobError
from streamflow_offline.ingest.job import ingest

NOWHERE = "postgresql://nobody@127.0.0.1:1/none?connect_timeout=1"
"""Where no server listens: a message about a file shows that it was refused before anything could be written."""

WriteMonth = Callable[..., Path]


class Broken(NamedTuple):
    """One way of breaking a good file, and the whole of what is said about it."""

    table: str
    edit: Callable[[str], str | bytes | None]
    said: tuple[str, ...]


def replaced(old: str, new: str, *, times: int = 1) -> Callable[[str], str]:
    """Return an edit that puts `new` for `old`, which has to be there `times` times."""

    def edit(content: str) -> str:
        assert content.count(old) == times
        return content.replace(old, new)

    return edit


def value(table: str, old: str, new: str, said: str, *, times: int = 1) -> Broken:
    return Broken(table, replaced(old, new, times=times), (said,))


INT = "expected a whole number from 0 to 2147483647, or an empty field"
NUMBER = "expected a number from 0 up, or an empty field"
DATE = "expected a date such as 2024-01-31, or an empty field"
ID = "expected a user id that matches ^[0-9]{4}-[A-Z]{5}$"
LAST = "the rows after it were not checked (1 row)"
QUOTE = f'has a quote in the wrong place; expected " around a whole field and "" within it; {LAST}'
PAYMENTS_HEADER = "expected the header user_id,failed_payments_90d (1 row)"
NO_OTHER = "users.csv, subscriptions.csv, usage_agg_30d.csv, payments_agg_90d.csv, support_agg_90d.csv, labels.csv"

BROKEN = {
    # Values
    "negative whole number": value(
        "payments_agg_90d", ",2\n", ",-2\n", f"line 4, failed_payments_90d: '-2' is negative; {INT} (1 row)"
    ),
    "negative number": value(
        "subscriptions",
        "0,,,Two year,True,20.05",
        "0,,,Two year,True,-0.05",
        f"line 4, monthly_fee: '-0.05' is negative; {NUMBER} (1 row)",
    ),
    "negative beyond any range": value(
        "payments_agg_90d",
        ",2\n",
        ",-99999999999999999999\n",
        f"line 4, failed_payments_90d: '-99999999999999999999' is negative; {INT} (1 row)",
    ),
    "several negative numbers": Broken(
        "usage_agg_30d",
        lambda content: re.sub(r"(?m)\d$", "-1", content.partition("\n")[2]).join(
            [content.partition("\n")[0] + "\n", ""]
        ),
        (f"line 2, rebuffer_events_7d: '-1' is negative; {INT} (3 rows: lines 2, 3, 4)",),
    ),
    "fraction for a whole number": value(
        "payments_agg_90d",
        ",2\n",
        ",2.0\n",
        f"line 4, failed_payments_90d: '2.0' is not a whole number; {INT} (1 row)",
    ),
    "word for a whole number": value(
        "payments_agg_90d",
        ",2\n",
        ",two\n",
        f"line 4, failed_payments_90d: 'two' is not a whole number; {INT} (1 row)",
    ),
    "space around a whole number": value(
        "payments_agg_90d",
        ",2\n",
        ", 2\n",
        f"line 4, failed_payments_90d: ' 2' is not a whole number; {INT} (1 row)",
    ),
    "whole number beyond INT": value(
        "payments_agg_90d",
        ",2\n",
        ",2147483648\n",
        f"line 4, failed_payments_90d: '2147483648' is too large; {INT} (1 row)",
    ),
    "whole number beyond 64 bits": value(
        "payments_agg_90d",
        ",2\n",
        ",99999999999999999999\n",
        f"line 4, failed_payments_90d: '99999999999999999999' is too large; {INT} (1 row)",
    ),
    "word for a number": value(
        "support_agg_90d",
        ",9.6\n",
        ",n/a\n",
        f"line 2, ticket_avg_resolution_hrs_90d: 'n/a' is not a number; {NUMBER} (1 row)",
    ),
    "decimal comma": value(
        "support_agg_90d",
        ",9.6\n",
        ',"9,6"\n',
        f"line 2, ticket_avg_resolution_hrs_90d: '9,6' is not a number; {NUMBER} (1 row)",
    ),
    "number beyond a float": value(
        "support_agg_90d",
        ",9.6\n",
        ",1e309\n",
        f"line 2, ticket_avg_resolution_hrs_90d: '1e309' is beyond the range of a double; {NUMBER} (1 row)",
    ),
    "number that a float rounds to 0": value(
        "support_agg_90d",
        ",9.6\n",
        ",1e-400\n",
        f"line 2, ticket_avg_resolution_hrs_90d: '1e-400' is beyond the range of a double; {NUMBER} (1 row)",
    ),
    "nan": value(
        "support_agg_90d",
        ",9.6\n",
        ",nan\n",
        f"line 2, ticket_avg_resolution_hrs_90d: 'nan' is not finite; {NUMBER} (1 row)",
    ),
    "NaN for a whole number": value(
        "payments_agg_90d", ",2\n", ",NaN\n", f"line 4, failed_payments_90d: 'NaN' is not finite; {INT} (1 row)"
    ),
    "infinity": value(
        "usage_agg_30d",
        "28.761993560817107",
        "-Infinity",
        f"line 3, watch_hours_30d: '-Infinity' is not finite; {NUMBER} (1 row)",
    ),
    "truth value in lower case": value(
        "labels",
        "True",
        "true",
        "line 3, churn_label: 'true' is not a truth value; expected True or False (1 row)",
    ),
    "truth value as a number": value(
        "users",
        "Male,True",
        "Male,1",
        "line 3, user_is_senior: '1' is not a truth value; expected True or False, or an empty field (1 row)",
    ),
    "empty label": value(
        "labels", "True", "", "line 3, churn_label: the field is empty; expected True or False (1 row)"
    ),
    "empty label in quotes": value(
        "labels", "True", '""', "line 3, churn_label: the field is empty; expected True or False (1 row)"
    ),
    "date of another form": value(
        "users",
        "2022-02-06",
        "06.02.2022",
        f"line 3, signup_date: '06.02.2022' is not a date; {DATE} (1 row)",
    ),
    "date without zeros": value(
        "users",
        "2022-02-06",
        "2022-2-6",
        f"line 3, signup_date: '2022-2-6' is not a date; {DATE} (1 row)",
    ),
    "day that is not in the calendar": value(
        "users",
        "2022-02-06",
        "2022-02-30",
        f"line 3, signup_date: '2022-02-30' is not a date; {DATE} (1 row)",
    ),
    "year that PostgreSQL has not": value(
        "users",
        "2022-02-06",
        "0000-02-06",
        f"line 3, signup_date: '0000-02-06' is not a date; {DATE} (1 row)",
    ),
    # User ids
    "user id of another form": Broken(
        "users",
        replaced("0002-BBBBB", "2-BBBBB"),
        (f"line 3, user_id: '2-BBBBB' is not a user id; {ID} (1 row)",),
    ),
    "user id with a line break": Broken(
        "users",
        replaced("0002-BBBBB", '"0002-BBBBB\n"'),
        (f"line 3, user_id: '0002-BBBBB\\n' is not a user id; {ID} (1 row)",),
    ),
    "no user id": value("labels", "0002-BBBBB", "", f"line 3, user_id: the field is empty; {ID} (1 row)"),
    "user who is there twice": value(
        "labels",
        "0003-CCCCC",
        "0001-AAAAA",
        "line 2, user_id: '0001-AAAAA' is there more than once; expected one row a user (2 rows: lines 2, 4)",
    ),
    "user who is not in users.csv": value(
        "labels",
        "0003-CCCCC",
        "0009-ZZZZZ",
        "line 4, user_id: '0009-ZZZZZ' is not in users.csv; expected a user of that file (1 row)",
    ),
    # Several problems of one file
    "two columns": Broken(
        "payments_agg_90d",
        lambda _: "user_id,failed_payments_90d\n0001-AAAAA,x\n0002-BBBBB,y\n0003-CCCCC,-1\n0001-AAAAA,1\n",
        (
            "line 2, user_id: '0001-AAAAA' is there more than once; expected one row a user (2 rows: lines 2, 5)",
            f"line 2, failed_payments_90d: 'x' is not a whole number; {INT} (2 rows: lines 2, 3)",
            f"line 4, failed_payments_90d: '-1' is negative; {INT} (1 row)",
        ),
    ),
    "line breaks in quotes before it": value(
        "subscriptions",
        ",One year,False,56.95,1889.5,Fiber optic\n0003-CCCCC,0,",
        ',"One\n""year""\r\n",False,56.95,1889.5,Fiber optic\n0003-CCCCC,-1,',
        f"line 6, months_active: '-1' is negative; {INT} (1 row)",
    ),
    # Rows
    "field too few": value(
        "support_agg_90d", "4,1.9\n", "4\n", "line 3: '0002-BBBBB,4' has 2 fields; expected 3 (1 row)"
    ),
    "field too many": value(
        "support_agg_90d", "4,1.9\n", "4,1,9\n", "line 3: '0002-BBBBB,4,1,9' has 4 fields; expected 3 (1 row)"
    ),
    "blank lines": Broken(
        "labels",
        lambda content: content.replace("\n0003", "\n\n0003") + "\n",
        ("line 4: '' has 1 field; expected 2 (2 rows: lines 4, 6)",),
    ),
    "quote within a field": value(
        "users", "Female", 'Fe"male"', f"""line 2: '0001-AAAAA,2022-01-01,Fe"male",False,True,False' {QUOTE}"""
    ),
    "text after a quoted field": value(
        "users", "Female", '"Fe"male', f"""line 2: '0001-AAAAA,2022-01-01,"Fe"male,False,True,False' {QUOTE}"""
    ),
    "quote that is never closed": value(
        "users",
        "2022-02-06,Male",
        '2022-02-06,"Male',
        f"""line 3: '0002-BBBBB,2022-02-06,"Male,True,False,False' opens a quote that is never closed; {LAST}""",
    ),
    "line endings of two kinds": value(
        "labels",
        "True\n",
        "True\r\n",
        "line 3: the line ends differently from the first; expected all to end with LF, or all with CR LF (1 row)",
    ),
    "carriage returns alone": Broken(
        "labels",
        lambda content: content.replace("\n", "\r"),
        ("line 1: a carriage return ends no line; expected it in front of a line feed or not at all (1 row)",),
    ),
    "end-of-data marker": value(
        "labels", "0003", "\\.\n0003", r"line 4: the line '\.' is PostgreSQL's end of data; expected a row (1 row)"
    ),
    "NUL byte": value(
        "users", "Female", "Fe\0male", "line 2: the line holds a NUL byte, which PostgreSQL can't store (1 row)"
    ),
    # Files
    "Latin-1": Broken(
        "users",
        lambda content: content.replace("Male", "Mâle").encode("latin-1"),
        (r"line 3: b'2-BBBBB,2022-02-06,M\xe2' is not UTF-8; expected a file in UTF-8 (2 rows: lines 3, 4)",),
    ),
    "byte order mark": Broken(
        "users",
        lambda content: "\ufeff" + content,
        ("line 1: the file begins with a byte order mark; expected UTF-8 without one (1 row)",),
    ),
    "empty file": Broken("users", lambda _: "", ("the file is empty; expected a header and rows",)),
    "header alone": Broken(
        "labels",
        lambda _: "user_id,churn_label\n",
        ("the file has a header and no rows; expected a row for each user",),
    ),
    "no header": Broken(
        "payments_agg_90d",
        lambda content: content.partition("\n")[2],
        (f"line 1: '0001-AAAAA,1' is another header or order; {PAYMENTS_HEADER}",),
    ),
    "column renamed": Broken(
        "payments_agg_90d",
        replaced("failed_payments_90d", "failed_payments"),
        (f"line 1: failed_payments_90d is missing, 'failed_payments' is unknown; {PAYMENTS_HEADER}",),
    ),
    "column too many": Broken(
        "payments_agg_90d",
        lambda content: content.replace("\n", ",1\n"),
        (f"line 1: '1' is unknown; {PAYMENTS_HEADER}",),
    ),
    "column twice": Broken(
        "payments_agg_90d",
        lambda content: re.sub(r"(?m),(.*)$", r",\1,\1", content),
        (f"line 1: failed_payments_90d is there twice; {PAYMENTS_HEADER}",),
    ),
    "columns in another order": Broken(
        "payments_agg_90d",
        lambda content: re.sub(r"(?m)^(.+),(.+)$", r"\2,\1", content),
        (f"line 1: 'failed_payments_90d,user_id' is another header or order; {PAYMENTS_HEADER}",),
    ),
    "semicolons": Broken(
        "payments_agg_90d",
        lambda content: content.replace(",", ";"),
        (f"line 1: 'user_id;failed_payments_90d' is another header or order; {PAYMENTS_HEADER}",),
    ),
    "missing file": Broken("labels", lambda _: None, ("the file is missing",)),
}


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN)
def test_a_broken_file_is_refused_with_file_line_column_value_and_count(
    broken: Broken, month_files: dict[str, str], write_month: WriteMonth
) -> None:
    months = write_month(**{broken.table: broken.edit(month_files[broken.table])})

    with pytest.raises(JobError) as refusal:
        ingest(months, postgres_url=NOWHERE)

    summary, file, *problems = str(refusal.value).splitlines()
    assert summary == "nothing was loaded: correct these files of month_000, then ingest again"
    assert file == str(months / "month_000" / f"{broken.table}.csv")
    # A user who left users.csv this way is missed in the other files too, which are named after it.
    assert tuple(line.strip() for line in problems[: len(broken.said)]) == broken.said
    others = [line for line in problems[len(broken.said) :] if line.startswith("  ")]
    assert all("is not in users.csv" in line for line in others)


def test_an_unknown_csv_file_is_refused(write_month: WriteMonth) -> None:
    months = write_month()
    (months / "month_000" / "labels_old.CSV").write_text("")
    (months / "month_000" / "README.md").write_text("Files of other kinds are nobody's business.")

    with pytest.raises(JobError) as refusal:
        ingest(months, postgres_url=NOWHERE)

    assert str(refusal.value).splitlines()[1:] == [
        str(months / "month_000" / "labels_old.CSV"),
        f"  the file is unknown; expected {NO_OTHER} and no other CSV",
    ]


def test_a_folder_in_place_of_a_file_is_refused(write_month: WriteMonth) -> None:
    months = write_month(labels=None)
    (months / "month_000" / "labels.csv").mkdir()

    with pytest.raises(JobError, match=r"labels\.csv\n  the file can't be read: Is a directory"):
        ingest(months, postgres_url=NOWHERE)


def test_five_lines_of_a_problem_and_five_problems_of_a_file_are_told(write_month: WriteMonth) -> None:
    rows = "".join(f"100{n}-AAAAA,-1,x,-1,-1,y\n" for n in range(1, 8))
    header = "user_id,watch_hours_30d,avg_session_mins_7d,unique_devices_30d,skips_7d,rebuffer_events_7d\n"

    with pytest.raises(JobError) as refusal:
        ingest(write_month(usage_agg_30d=header + rows), postgres_url=NOWHERE)

    problems = str(refusal.value).splitlines()[2:]
    assert all(problem.endswith("(7 rows: lines 2, 3, 4, 5, 6, …)") for problem in problems[:5])
    assert len(problems) == 6
    assert problems[-1] == "  and 1 more kind of problem"


def test_a_long_value_is_cut(month_files: dict[str, str], write_month: WriteMonth) -> None:
    labels = month_files["labels"].replace("True", "no" * 1000)

    with pytest.raises(JobError, match=f"churn_label: '{'no' * 30}'… is not a truth value"):
        ingest(write_month(labels=labels), postgres_url=NOWHERE)


def test_all_bad_files_of_all_months_are_told_together(month_files: dict[str, str], write_month: WriteMonth) -> None:
    write_month("month_000", labels=month_files["labels"].replace("True", "yes"))
    write_month("month_001")
    months = write_month("month_002", users=b"", payments_agg_90d=None)

    with pytest.raises(JobError) as refusal:
        ingest(months, postgres_url=NOWHERE)

    lines = str(refusal.value).splitlines()
    assert lines[0] == (
        "nothing of any month was loaded: correct these files of month_000, month_002, then ingest again"
    )
    assert [line for line in lines[1:] if not line.startswith(" ")] == [
        str(months / "month_000" / "labels.csv"),
        str(months / "month_002" / "users.csv"),
        str(months / "month_002" / "payments_agg_90d.csv"),
    ]


ODD = {
    "quotes around everything": lambda content: re.sub(r"(?m)[^,\n]+|(?<=,)(?=,)", r'"\g<0>"', content),
    "CR LF line endings": lambda content: content.replace("\n", "\r\n"),
    "no line feed at the end": lambda content: content.removesuffix("\n"),
}


@pytest.mark.parametrize("edit", ODD.values(), ids=ODD)
def test_another_spelling_of_the_same_csv_is_the_same_month(
    edit: Callable[[str], str], month_files: dict[str, str], write_month: WriteMonth, postgres_url: str
) -> None:
    ingest(write_month(), postgres_url=postgres_url)

    months = write_month(**{table: edit(content) for table, content in month_files.items()})
    [report] = ingest(months, postgres_url=postgres_url)

    assert [(table.rows, table.unchanged) for table in report.tables] == [(3, 3)] * 5


def test_text_and_numbers_are_loaded_as_they_are_written(
    month_files: dict[str, str], write_month: WriteMonth, postgres_url: str
) -> None:
    subscriptions = (
        month_files["subscriptions"]
        .replace("One year", '"One, ""year""\nor é"')
        .replace("Month-to-month", '"\rMonth"')
        .replace("20.05,0,No", "2005e-2,-0.0,NULL")
        .replace("0,,", "2147483647,,")
    )
    ingest(write_month(subscriptions=subscriptions), postgres_url=postgres_url)

    with psycopg.connect(postgres_url) as connection:
        rows = connection.execute(
            "SELECT contract_type, monthly_fee::text, total_paid::text, net_service, months_active FROM subscriptions"
            " ORDER BY user_id"
        ).fetchall()
    assert rows == [
        ("\rMonth", "29.85", "29.85", "DSL", 1),
        ('One, "year"\nor é', "56.95", "1889.5", "Fiber optic", 34),
        ("Two year", "20.05", "0.0", "NULL", 2147483647),
    ]
