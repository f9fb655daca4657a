"""SQLite without its cache of statements, for a process with this folder on its PYTHONPATH.

Feast's SQLite store has one connection for all threads of a server. From Python 3.12 on, two threads that read by it at
the same time can take one statement from the cache, and a read then has no rows, or those of the other
(https://github.com/python/cpython/issues/118172): Feast says NOT_FOUND for a row that is there.
"""

import functools
import sqlite3

setattr(sqlite3, "connect", functools.partial(sqlite3.connect, cached_statements=0))  # noqa: B010  # mypy knows a function
