"""The manifest: what a training set is, for whoever finds it later."""

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from streamflow_offline.training_set.definitions import Definitions
from streamflow_offline.training_set.entities import StagedEntities
from streamflow_offline.training_set.files import CSV_NAME, Segment
from streamflow_offline.training_set.request import OutputFormat, TrainingSetRequest
from streamflow_offline.training_set.summary import feature_summaries, label_rates
from streamflow_offline.training_set.working_dir import ChunkRecord

MANIFEST_VERSION = 1

_PACKAGES = ("streamflow-offline", "streamflow-feature-repo", "feast", "psycopg", "pyarrow")
_READ_BYTES = 1 << 20


def package_versions(further: Sequence[str]) -> dict[str, str]:
    """Return the versions that a training set's bytes may depend on, those of `further` packages included."""
    return {name: version(name) for name in (*_PACKAGES, *further)}


def build_manifest(
    request: TrainingSetRequest,
    *,
    definitions: Definitions,
    staged: StagedEntities,
    records: Sequence[ChunkRecord],
    columns: dict[str, str],
    label: str | None,
    dataset: Path,
    packages: dict[str, str],
    read_at: datetime,
    duration_s: float,
) -> dict[str, Any]:
    """Return the manifest as JSON types. `content_hash` is over the files alone."""
    segments = [segment for record in records for segment in record.segments]
    summaries = [record.summary for record in records]
    rate, rates = label_rates(summaries)
    is_csv = request.written_as is OutputFormat.CSV
    return {
        "version": MANIFEST_VERSION,
        "feature_service": definitions.service.name,
        "contract_hash": definitions.contract_hash,
        "content_hash": _file_hash(dataset / CSV_NAME) if is_csv else _files_hash(segments),
        "format": request.written_as.value,
        "order": _order(definitions, staged, is_csv=is_csv),
        "rows": staged.rows,
        "entities": staged.source,
        "dates": [
            {"as_of": day.isoformat(), "rows": rows, "label_rate": rates.get(day.isoformat())}
            for day, rows in staged.days
        ],
        "label": label,
        "label_rate": rate,
        "columns": columns,
        "features": feature_summaries(summaries, {feature.name: feature.dtype for feature in definitions.features}),
        "files": [] if is_csv else [_file(segment) for segment in sorted(segments, key=lambda s: s.path)],
        "packages": packages,
        "read_at": read_at.astimezone(UTC).isoformat(),
        "duration_s": round(duration_s, 3),
    }


def _order(definitions: Definitions, staged: StagedEntities, *, is_csv: bool) -> list[str]:
    if not staged.own_order:
        return ["as_of", definitions.join_key]
    return ["entity_row"] if is_csv else ["as_of", "entity_row"]


def _file(segment: Segment) -> dict[str, Any]:
    return {"path": segment.path, "rows": segment.rows, "bytes": segment.bytes, "sha256": segment.sha256}


def _files_hash(segments: Sequence[Segment]) -> str:
    lines = sorted(f"{segment.path} {segment.sha256}\n" for segment in segments)
    return "sha256:" + hashlib.sha256("".join(lines).encode()).hexdigest()


def _file_hash(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while data := file.read(_READ_BYTES):
            digest.update(data)
    return "sha256:" + digest.hexdigest()
