"""`local/tests/any_repo`, a Feast repository of all kinds: applied and filled on an online store, and served.

`any_repo_rows` has its rows. `any_repo_fixtures` applies it to each store once in a test run.
"""

import importlib.util
import json
import shutil
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from any_repo_odd_rows import write_odd_rows
from any_repo_rows import rows, rows_left_out
from feast_contract import build_contract, write_contract
from psycopg.conninfo import conninfo_to_dict
from streamflow_local import ports, stack
from streamflow_local.testing import running, wait_for_port
from streamflow_repo.settings.feature_server import FeatureServer

if TYPE_CHECKING:
    from feast import FeatureStore

DEFINITIONS = Path(__file__).parents[1] / "any_repo"
PROJECT = "any"
_START_TIMEOUT_S = 150

SQLITE_OF_THREADS = {"PYTHONPATH": str(Path(__file__).with_name("sqlite_of_threads"))}
"""The variables of a server of Feast's that reads SQLite; `sqlite_of_threads` says why."""


@dataclass(frozen=True)
class AnyRepo:
    """A repository that is applied and filled."""

    online_store: str
    """sqlite, redis or postgres."""

    folder: Path
    """The folder of feature_store.yaml."""

    store: "FeatureStore"

    @property
    def contract(self) -> Path:
        """The contract of what is applied."""
        return self.folder / "contract.json"


def sqlite_store() -> dict[str, object]:
    """Return the online store of feature_store.yaml: SQLite."""
    return {"type": "sqlite", "path": "data/online.db"}


def redis_store(url: str, *, database: int = 0) -> dict[str, object]:
    """Return the online store of feature_store.yaml: a Redis, by its URL without a database."""
    options = {"db": database, "socket_timeout": 5, "socket_connect_timeout": 5}
    address = url.removeprefix("redis://")
    return {
        "type": "redis",
        "connection_string": ",".join([address, *(f"{name}={value}" for name, value in options.items())]),
    }


def postgres_store(url: str) -> dict[str, object]:
    """Return the online store of feature_store.yaml: a PostgreSQL, by its URL."""
    parts = conninfo_to_dict(url)
    return {
        "type": "postgres",
        **{name: parts[name] for name in ("host", "user")},
        "database": parts["dbname"],
        "password": "unused",
        "sslmode": "prefer",
    }


def make_repo(folder: Path, *, online_store: Mapping[str, object], project: str = PROJECT) -> Path:
    """Write the repository, its feature_store.yaml and its Parquet files to a new folder, and return the folder.

    Nothing is applied: `feast apply` in the folder does that.
    """
    shutil.copytree(DEFINITIONS, folder, ignore=shutil.ignore_patterns("__pycache__"))
    settings = {
        "project": project,
        "provider": "local",
        "entity_key_serialization_version": 3,
        "registry": {"registry_type": "file", "path": "data/registry.db"},
        "online_store": dict(online_store),
        "offline_store": {"type": "file"},
        "auth": {"type": "no_auth"},
    }
    # JSON is YAML.
    (folder / "feature_store.yaml").write_text(json.dumps(settings, indent=2), encoding="utf-8")
    (folder / "data").mkdir()
    for view, frame in (rows() | rows_left_out()).items():
        frame.to_parquet(folder / "data" / f"{view}.parquet")
    return folder


def apply_repo(folder: Path) -> "FeatureStore":
    """Apply a repository as `feast apply` does, in this process, and return its store."""
    from feast import FeatureStore  # noqa: PLC0415  # takes seconds to import

    store = FeatureStore(repo_path=str(folder))
    with warnings.catch_warnings():
        # On-demand views are experimental, says Feast.
        warnings.simplefilter("ignore", RuntimeWarning)
        store.apply(_definitions(folder))
    return store


def export_contract(folder: Path) -> None:
    """Write contract.json of what is applied, as `feast-contract export` does, in this process."""
    from feast_contract.registry import read_definitions  # noqa: PLC0415  # imports Feast

    write_contract(build_contract(read_definitions(folder)), folder / "contract.json")


def fill(store: "FeatureStore") -> None:
    """Write the rows of `any_repo_rows` and `any_repo_odd_rows` to the online store."""
    for view, frame in rows().items():
        for position in range(len(frame)):
            # One by one: a null makes floats of all integers of a column, which then lose digits.
            store.write_to_online_store(view, frame[position : position + 1])
    write_odd_rows(store)


@contextmanager
def feast_serve(
    folder: Path, *, logs: Path, server: FeatureServer = FeatureServer.STOCK, tls: Sequence[str] = ()
) -> Iterator[str]:
    """Run a feature server on a repository for the length of a block, Feast's own by default; yield its URL.

    `tls` are the server's options for TLS.
    """
    port = ports.free_port()
    log = logs / "feast-serve.log"
    spec = stack.feature_server(port, feature_repo=folder, server=server)
    # Leaves out run-time checks of arguments, which take half of the start.
    spec = replace(
        spec,
        command=(*spec.command, *tls),
        environment={**spec.environment, **SQLITE_OF_THREADS, "PYTHONOPTIMIZE": "1"},
    )
    with running(spec, log=log):
        wait_for_port(port, log=log, timeout_s=_START_TIMEOUT_S)
        yield f"{'https' if tls else 'http'}://127.0.0.1:{port}"


def _definitions(folder: Path) -> list[Any]:
    """Return new definitions of a repository's modules: `apply` changes the definitions that it is given."""
    from feast import Entity, FeatureService, FeatureView, OnDemandFeatureView  # noqa: PLC0415

    kinds = (Entity, FeatureService, FeatureView, OnDemandFeatureView)
    return [
        value
        for path in sorted(folder.glob("*.py"))
        for value in vars(_module(path)).values()
        if isinstance(value, kinds)
    ]


def _module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
