"""Files of many blocks: what is said of them is put together from all blocks, and memory does not grow with them."""

import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest
from streamflow_offline.errors import JobError
from streamflow_offline.ingest.job import ingest

NOWHERE = "postgresql://nobody@127.0.0.1:1/none?connect_timeout=1"
ROWS = 200_000
"""2.6 MB of labels: ten blocks."""

BOTH = f"(2 rows: lines 2, {ROWS + 3})"

BAD = {
    "value": (
        "9999-ZZZZZ,x",
        "9998-ZZZZZ,x",
        f"line 2, churn_label: 'x' is not a truth value; expected True or False {BOTH}",
    ),
    "no user": (
        "9999-ZZZZZ,True",
        "9998-ZZZZZ,True",
        f"'9999-ZZZZZ' is not in users.csv; expected a user of that file ({ROWS + 1:,} rows: lines 2, 3, 5, 6, 7, …)",
    ),
    "user who is there twice": (
        "9999-ZZZZZ,True",
        "9999-ZZZZZ,False",
        f"line 2, user_id: '9999-ZZZZZ' is there more than once; expected one row a user {BOTH}",
    ),
    "field too few": ("9999-ZZZZZ", "9998-ZZZZZ", f"line 2: '9999-ZZZZZ' has 1 field; expected 2 {BOTH}"),
    "NUL bytes": ("9999-ZZZZZ,\0", "\0", f"line 2: the line holds a NUL byte, which PostgreSQL can't store {BOTH}"),
    "another line ending": (
        "9999-ZZZZZ,True\r",
        "9998-ZZZZZ,True\r",
        f"line 2: the line ends differently from the first; expected all to end with LF, or all with CR LF {BOTH}",
    ),
    "quote that is never closed": (
        '9999-ZZZZZ,"\nTrue"',
        '9998-ZZZZZ,"True',
        (
            f"""line {ROWS + 4}: '9998-ZZZZZ,"True' opens a quote that is never closed; """
            "the rows after it were not checked (1 row)"
        ),
    ),
    "line break in quotes": (
        '9999-ZZZZZ,"\n\n"',
        "9998-ZZZZZ,x",
        f"line 2, churn_label: '\\n\\n' is not a truth value; expected True or False (2 rows: lines 2, {ROWS + 5})",
    ),
    "row too long": (
        "9999-ZZZZZ,True",
        "x" * 131_073,
        (
            f"line {ROWS + 3}: '{'x' * 60}'… is too long for a row; "
            "expected at most 131,072 characters, and each quote closed (1 row)"
        ),
    ),
}


@pytest.mark.parametrize(("first", "last", "said"), BAD.values(), ids=BAD)
def test_a_problem_of_two_blocks_is_told_once_with_the_lines_of_both(
    first: str, last: str, said: str, month_files: dict[str, str], write_month: Callable[..., Path]
) -> None:
    header, _, _ = month_files["labels"].partition("\n")
    good = "".join(f"{number % 10_000:04}-AAA{chr(65 + number // 10_000)}A,True\n" for number in range(ROWS))
    months = write_month(labels=f"{header}\n{first}\n{good}{last}\n")

    with pytest.raises(JobError) as refusal:
        ingest(months, postgres_url=NOWHERE)

    assert any(line.strip().endswith(said) for line in str(refusal.value).splitlines())


MEGABYTES = 6
MAX_GROWTH_MB = 80
"""What is held of a block, as Python's own lists of its fields, and the user ids."""

HOSTILE: dict[str, tuple[str, Callable[[], Iterable[bytes]]]] = {
    "one line": ("is too long for a row", lambda: repeated(b"x")),
    "one line of commas": ("is too long for a row", lambda: repeated(b",")),
    "one field of quotes": ("is too long for a row", lambda: repeated(b'"')),
    "a quote that is never closed": ("is too long for a row", lambda: [b'0001-AAAAA,"', *repeated(b"x\n")]),
    "rows of two empty fields": ("the field is empty", lambda: repeated(b",\n")),
    "quoted fields": ("the field is empty", lambda: repeated(b'"",""""\n')),
    "carriage returns": ("a carriage return ends no line", lambda: repeated(b"\r")),
    "blank lines": ("'' has 1 field", lambda: repeated(b"\n")),
    "users": ("is there more than once", lambda: repeated(b"0001-AAAAA,True\n")),
    "other bytes": ("is not UTF-8", lambda: repeated(b"\xff\n")),
}

MEASURED = """
import sys
from pathlib import Path
from streamflow_offline.errors import JobError
from streamflow_offline.ingest.job import ingest
ingest_small, months = sys.argv[1:]

def refused(path):
    try:
        ingest(Path(path), postgres_url="postgresql://nobody@127.0.0.1:1/none")
    except JobError as error:
        return str(error)

def peak_kb():
    # Not ru_maxrss, which a process inherits from the one that starts it.
    return int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])

refused(ingest_small)
before_kb = peak_kb()
said = refused(months)
print((peak_kb() - before_kb) // 1024)
print(said)
"""


def repeated(pattern: bytes) -> Iterator[bytes]:
    block = pattern * (1_000_000 // len(pattern))
    for _ in range(MEGABYTES):
        yield block


@pytest.mark.slow
@pytest.mark.parametrize(("said", "content"), HOSTILE.values(), ids=HOSTILE)
def test_memory_does_not_grow_with_a_hostile_file(
    said: str, content: Callable[[], Iterable[bytes]], write_month: Callable[..., Path], tmp_path: Path
) -> None:
    small = write_month().rename(tmp_path / "small")
    months = write_month(labels=b"")
    with (months / "month_000" / "labels.csv").open("wb") as file:
        file.write(b"user_id,churn_label\n")
        file.writelines(content())

    result = subprocess.run(
        [sys.executable, "-c", MEASURED, str(small), str(months)],
        check=True,
        capture_output=True,
        text=True,
        timeout=120,
    )

    growth_mb, refusal = result.stdout.split("\n", 1)
    assert said in refusal
    assert int(growth_mb) < MAX_GROWTH_MB
