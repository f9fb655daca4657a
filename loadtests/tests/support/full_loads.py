"""Measures full loads, `offline materialize`, of this clone beside those of another clone.

`full_loads.py fill USERS` makes a database of that many users in the server of POSTGRES_URL. `full_loads.py measure
CLONE CLONE ...` runs the clones' jobs in this order, each over a Redis database of its own that the clone filled
before, and compares the first clone that is not this one with this one, pair by pair. Run `make up` and source
`.local/env` first. The database stays until the next `fill`.
"""

import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any
from urllib.parse import urlsplit

import redis
from psycopg import sql
from streamflow_loadtests.training_set.data import Size, fill_database
from streamflow_offline.feast_store import connected

_DATABASE = "full_loads"
_HERE = Path(__file__).resolve().parents[3]
_REDIS_DATABASES = {True: 14, False: 15}
"""Of this clone, and of the other."""


@dataclass(frozen=True)
class _Load:
    clone: Path
    job_s: float
    valkey_s: float
    wall_s: float

    @property
    def figures(self) -> dict[str, float]:
        return {"CPU of job and Redis": self.job_s + self.valkey_s, "CPU of Redis": self.valkey_s, "time": self.wall_s}


def _database_url() -> str:
    return urlsplit(os.environ["POSTGRES_URL"])._replace(path=f"/{_DATABASE}").geturl()


def _redis_url(clone: Path) -> str:
    return f"{os.environ['REDIS_URL']}/{_REDIS_DATABASES[clone == _HERE]}"


def _out(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _fill(users: int) -> None:
    name = sql.Identifier(_DATABASE)
    with connected(os.environ["POSTGRES_URL"]) as connection:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(name))
        connection.execute(sql.SQL("CREATE DATABASE {}").format(name))
    for number in _REDIS_DATABASES.values():
        with redis.Redis.from_url(f"{os.environ['REDIS_URL']}/{number}") as client:
            client.flushdb()
    fill_database(_database_url(), Size(users=users, months=1), _out)


def _cpu_s(client: redis.Redis) -> float:
    used: Any = client.info("cpu")
    return float(used["used_cpu_user"] + used["used_cpu_sys"])


def _load(clone: Path) -> _Load:
    with redis.Redis.from_url(_redis_url(clone)) as client:
        valkey_s, children, since = _cpu_s(client), resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
        subprocess.run(
            [clone / ".venv/bin/offline", "materialize"],
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=clone,
            env={**os.environ, "POSTGRES_URL": _database_url(), "REDIS_URL": _redis_url(clone)},
        )
        wall_s, after = time.monotonic() - since, resource.getrusage(resource.RUSAGE_CHILDREN)
        job_s = after.ru_utime + after.ru_stime - children.ru_utime - children.ru_stime
        return _Load(clone, job_s, _cpu_s(client) - valkey_s, wall_s)


def _loads(clones: list[Path]) -> Iterator[_Load]:
    for clone in clones:
        with redis.Redis.from_url(_redis_url(clone)) as client:
            filled = bool(client.dbsize())
        if not filled:
            _out(f"{clone}: the first load")
            _load(clone)
        load = _load(clone)
        _out(f"{clone}: CPU {load.job_s:.1f} s of the job, {load.valkey_s:.1f} s of Redis; {load.wall_s:.1f} s")
        yield load


def _measure(clones: list[Path]) -> None:
    loads = list(_loads(clones))
    ours, others = [load for load in loads if load.clone == _HERE], [load for load in loads if load.clone != _HERE]
    for name in loads[0].figures:
        ratios = [our.figures[name] / other.figures[name] for our, other in zip(ours, others, strict=True)]
        _out(f"{name}: {median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}) of the other clone's")


if __name__ == "__main__":
    if sys.argv[1] == "fill":
        _fill(int(sys.argv[2]))
    else:
        _measure([Path(clone).resolve() for clone in sys.argv[2:]])
