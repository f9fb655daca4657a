"""The job's face, whose import is cheap."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from streamflow_offline.training_set.request import TrainingSetRequest


@dataclass(frozen=True, kw_only=True)
class TrainingSetReport:
    """What a job has built."""

    out: Path
    manifest_path: Path

    manifest: dict[str, Any]
    """As it stands in its file."""

    resumed_rows: int
    """Rows that an interrupted job had finished before."""


def build_training_set(
    request: TrainingSetRequest,
    *,
    postgres_url: str,
    redis_url: str,
    on_progress: Callable[[str], None] | None = None,
) -> TrainingSetReport:
    """Build a training set as asked for and return what it is; under its name it is there whole or not at all.

    All of it is read from one state of the tables. A job that fails or is interrupted keeps its finished chunks beside
    the target, and the next with the same request, definitions and data goes on from them. Memory does not grow with
    the rows. `on_progress` gets lines of text.

    Raises JobError for a request that can't be met, and when PostgreSQL, Feast or the disk fails.
    """
    # Importing Feast takes seconds, which commands that don't use it should not.
    from streamflow_offline.training_set.job import run  # noqa: PLC0415

    return run(request, postgres_url=postgres_url, redis_url=redis_url, tell=on_progress or _no_progress)


def _no_progress(_: str) -> None:
    """Drop the line."""
