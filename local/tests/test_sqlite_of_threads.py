"""The tests' servers read SQLite by one connection of many threads, and each read has its own rows."""

import os
import subprocess
import sys
from pathlib import Path

from any_repo import SQLITE_OF_THREADS

# Without SQLITE_OF_THREADS, on Python 3.12 and later, some reads in 100,000 are wrong.
_READ = """
import sqlite3, sys
from concurrent.futures import ThreadPoolExecutor

sys.setswitchinterval(1e-5)
connection = sqlite3.connect(sys.argv[1], check_same_thread=False)
connection.execute("CREATE TABLE rows (key TEXT, value TEXT)")
keys = [str(number) for number in range(4)]
with connection:
    connection.executemany("INSERT INTO rows VALUES (?, 'one')", [(key,) for key in keys])

def wrong(key):
    found = (connection.execute("SELECT key FROM rows WHERE key IN (?)", [key]).fetchall() for _ in range(20_000))
    return sum(rows != [(key,)] for rows in found)

with ThreadPoolExecutor() as threads:
    print(sum(threads.map(wrong, keys)))
connection.close()
"""


def test_reads_of_many_threads_by_one_connection_have_their_own_rows(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _READ, str(tmp_path / "rows.db")],
        env={**os.environ, **SQLITE_OF_THREADS},
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout == "0\n"
