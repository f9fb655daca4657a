"""The repositories that `feast init` makes: which can be served here, and why others can't."""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

_TIMEOUT_S = 300


@dataclass(frozen=True)
class Template:
    """A template of `feast init` that is applied here."""

    name: str

    online_store: str = ""
    """sqlite or redis, instead of the template's own; empty for its own."""

    answers: tuple[str, ...] = ()
    """What `feast init` is answered."""

    made_up: frozenset[str] = frozenset()
    """Features of random values."""

    left_out: frozenset[str] = frozenset()
    """What its contract leaves out."""

    @property
    def project(self) -> str:
        return f"init_{self.name}"


Stores = Mapping[str, Mapping[str, object]]
"""Settings of online stores, by their names."""


# Features of the types Map, Json and Struct, the services that have them, and a label view.
_LEFT_OUT_OF_LOCAL = frozenset(
    {
        *(
            f"{view}:{feature}"
            for view in ("driver_hourly_stats", "driver_hourly_stats_fresh")
            for feature in ("driver_metadata", "driver_config", "driver_profile")
        ),
        *("driver_activity_v2", "driver_activity_v3", "driver_quality_labels"),
    }
)

SERVED = (
    Template("local", left_out=_LEFT_OUT_OF_LOCAL),
    Template("pytorch_nlp", made_up=frozenset({"text_embedding"})),
    # Definitions and data need nothing but Feast; the online store is another, as any user can choose.
    Template("milvus", "redis"),
    Template("hbase", "redis"),
    Template("cassandra", "sqlite", answers=("C", "127.0.0.1", "n", "n", "feast_keyspace", "n", "n", "n")),
    Template("hazelcast", "redis", answers=("L", "dev", "localhost:5701", "n", "0")),
)

NOT_SERVED = {
    "rag": "its data are not in Feast's package",
    "postgres": "its `feast init` does not write its data: psycopg has no adapter for the dictionaries in them",
    "gcp": "its data are in BigQuery, which `feast apply` asks",
    "aws": "its data are in Redshift, to which `feast init` writes them",
    "snowflake": "its data are in Snowflake, to which `feast init` writes them",
    "couchbase": "its data are in Couchbase, to which `feast init` writes them",
    "spark": "its Parquet files have timestamps in nanoseconds, which Spark 4 does not read",
    "ray": "its sources need Ray, which has no wheel in the lock",
    "ray_rag": "its view is computed by Ray, with a model from the internet",
}
"""The templates that can't be applied here, with the reason."""


def make_init_repo(template: Template, folder: Path, stores: Stores) -> Path:
    """Run `feast init`, `apply` and `materialize`, and `feast-contract export`; return the repository's folder."""
    settings = {"online_store": stores[template.online_store]} if template.online_store else {}
    result = run_init_repo(
        template.name,
        folder,
        project=template.project,
        settings=settings,
        answers=template.answers,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return folder / template.project / "feature_repo"


def run_init_repo(
    template: str,
    folder: Path,
    *,
    project: str,
    settings: Mapping[str, object],
    answers: Sequence[str] = (),
) -> subprocess.CompletedProcess[str]:
    """Run the commands, to their end or to the first that fails."""
    until = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S")
    script = str(Path(__file__).parent / "init_repo_process.py")
    return subprocess.run(
        [sys.executable, "-O", script, str(folder), project, template, json.dumps(settings), until],
        input="".join(f"{answer}\n" for answer in answers),
        capture_output=True,
        text=True,
        check=False,
        timeout=_TIMEOUT_S,
    )
