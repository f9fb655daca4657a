"""The manifest: what a training set is, for whoever finds it later."""

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from streamflow_offline.training_set.definitions import Definitions
from streamflow_offline.training_set.entities import StagedEntities
from streamflow_offline.training_set.files import PartFile
from streamflow_offline.training_set.request import TrainingSetRequest
from streamflow_offline.training_set.summary import feature_summaries, label_rates

MANIFEST_VERSION = 1

_PACKAGES = ("streamflow-offline", "streamflow-feature-repo", "feast", "psycopg", "pyarrow")


def package_versions(further: Sequence[str]) -> dict[str, str]:
    """Return the versions of all packages that the bytes of a training set may depend on, including `further`."""
    return {name: version(name) for name in (*_PACKAGES, *further)}


def build_manifest(
    request: TrainingSetRequest,
    *,
    definitions: Definitions,
    staged: StagedEntities,
    parts: Sequence[PartFile],
    csv: Path | None,
    columns: dict[str, str],
    label: str | None,
    packages: dict[str, str],
    read_at: datetime,
) -> dict[str, Any]:
    """Return the manifest as JSON types. `content_hash` covers the data files only: `csv`, or otherwise the parts."""
    rate, rates = label_rates(part.summary for part in parts)
    files = [] if csv else sorted(parts, key=lambda part: part.path)
    return {
        "version": MANIFEST_VERSION,
        "feature_service": definitions.service.name,
        "contract_hash": definitions.contract_hash,
        "content_hash": f"sha256:{_file_hash(csv) if csv else _files_hash(files)}",
        "format": request.written_as.value,
        "order": _order(definitions, staged, is_csv=csv is not None),
        "rows": staged.rows,
        "entities": staged.source,
        "dates": [
            {"as_of": day.isoformat(), "rows": rows, "label_rate": rates.get(day.isoformat())}
            for day, rows in staged.days
        ],
        "label": label,
        "label_rate": rate,
        "columns": columns,
        "request_data": {field.name: field.dtype for field in definitions.request},
        "features": feature_summaries(
            [part.summary for part in parts], {feature.name: feature.dtype for feature in definitions.features}
        ),
        "files": [{"path": f.path, "rows": f.rows, "bytes": f.bytes, "sha256": f.sha256} for f in files],
        "packages": packages,
        "read_at": read_at.astimezone(UTC).isoformat(),
    }


def _order(definitions: Definitions, staged: StagedEntities, *, is_csv: bool) -> list[str]:
    if not staged.own_order:
        return ["as_of", definitions.join_key]
    return ["entity_row"] if is_csv else ["as_of", "entity_row"]


def _files_hash(files: Sequence[PartFile]) -> str:
    return hashlib.sha256("".join(f"{file.path} {file.sha256}\n" for file in files).encode()).hexdigest()


def _file_hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
