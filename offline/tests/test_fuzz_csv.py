"""Mutated and random CSV files: rows that Python's own reader reads alike, or a problem that is named.

FUZZ_REQUESTS sets how many (2,000 by default), FUZZ_SEED which. A long run needs --timeout=0.
"""

import csv
import io
import os
import random
import resource
import sys
from collections import Counter

from streamflow_offline.ingest.checks import TableCheck
from streamflow_offline.ingest.csv_rows import LINE, read_csv
from streamflow_offline.ingest.problems import BadFileError
from streamflow_offline.tables import TABLES
from streamflow_repo import JOIN_KEY

_INPUTS = int(os.environ.get("FUZZ_REQUESTS", "2000"))
_SEED = int(os.environ.get("FUZZ_SEED", "1"))
_MAX_GROWTH_BYTES = 64_000_000
_PIECES = (
    *(
        '"',
        '""',
        ",",
        "\n",
        "\r\n",
        "\r",
        "\x00",
        "\\.",
        "\\.\n",
        " ",
        "\t",
        "\ufeff",
        "é",
        "名",
        "\u2028",
        "\x85",
        "\x1a",
    ),
    *(
        "NULL",
        "\\N",
        "nan",
        "-1",
        "1e999",
        "99999999999999999999",
        "True",
        "2024-02-30",
        "0001-AAAAA",
        "'",
        ";",
        "=1+1",
    ),
)
_TABLE = next(table for table in TABLES if table.name == "subscriptions")
_COLUMNS = (JOIN_KEY, *(column.name for column in _TABLE.csv_columns))
_FILE = (
    ",".join(_COLUMNS)
    + "\n0001-AAAAA,1,False,True,Month-to-month,True,29.85,29.85,DSL"
    + '\n0002-BBBBB,34,True,False,"One ""year""",False,56.95,1889.5,"Fiber, optic\nor not"'
    + "\n0003-CCCCC,0,,,Two year,True,20.05,0,No\n"
).encode()


def _mutated(rng: random.Random) -> bytes:
    file = _FILE
    for _ in range(rng.randrange(4)):
        at = rng.randrange(len(file) + 1)
        piece = rng.choice(_PIECES).encode() if rng.random() < 0.7 else rng.randbytes(rng.randrange(1, 4))  # most
        file = file[:at] + piece + file[at + rng.choice((0, 0, 1, 5)) :]
    return file[: rng.randrange(len(file) + 1)] if rng.random() < 0.1 else file  # some


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def test_a_csv_file_is_rows_as_they_stand_or_a_problem() -> None:
    rng = random.Random(_SEED)  # noqa: S311  # repeatable on purpose
    outcomes: Counter[str] = Counter()
    settled_bytes = 0
    for done in range(_INPUTS):
        file = _mutated(rng)
        check = TableCheck(_TABLE, users=None)
        try:
            rows: list[tuple[str | None, ...]] = []
            for block in read_csv(io.BytesIO(file), columns=_COLUMNS):
                check.add(block)
                rows += block.drop(LINE).rows()
        except BadFileError:
            outcomes["bad file"] += 1
        else:
            expected = list(csv.reader(io.StringIO(file.decode(), newline="")))[1:]
            assert [["" if value is None else value for value in row] for row in rows] == expected
            _, problems = check.finish()
            outcomes["bad values" if problems else "good"] += 1
        if done == _INPUTS // 5:
            settled_bytes = _peak_bytes()
    assert min(outcomes[kind] for kind in ("bad file", "bad values", "good")) > _INPUTS / 50
    assert _peak_bytes() - settled_bytes < _MAX_GROWTH_BYTES
