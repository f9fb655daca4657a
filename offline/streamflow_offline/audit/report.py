"""What an audit found, for programs and for people."""

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Any

from streamflow_offline.audit.cells import Feature, OfflineCell, OnlineCell
from streamflow_offline.audit.compare import ComparedCell, Kind
from streamflow_offline.errors import JobError

MAX_EXAMPLES = 10


@dataclass(frozen=True, kw_only=True)
class Example:
    """A cell that differs."""

    user_id: str
    kinds: tuple[Kind, ...]
    offline: OfflineCell
    online: OnlineCell


@dataclass(kw_only=True)
class FeatureReport:
    """One feature of all the users read."""

    feature: Feature

    users: int = 0
    """Users whose values were compared."""

    given_up: int = 0
    """Users whose values were not: too many others' could not be read from the gateway."""

    differing: int = 0
    """Users who differ in any kind."""

    kinds: Counter[Kind] = field(default_factory=Counter)
    """How many differ in each kind."""

    examples: list[Example] = field(default_factory=list)
    """The first that differ."""

    @property
    def share(self) -> float:
        """The share of the compared users who differ."""
        return self.differing / self.users if self.users else 0.0

    def add(self, user_id: str, cell: ComparedCell) -> None:
        """Count a user."""
        if cell.online is None:
            self.given_up += 1
            return
        self.users += 1
        if not cell.kinds:
            return
        self.differing += 1
        self.kinds.update(cell.kinds)
        if len(self.examples) < MAX_EXAMPLES:
            kinds = tuple(kind for kind in Kind if kind in cell.kinds)
            self.examples.append(Example(user_id=user_id, kinds=kinds, offline=cell.offline, online=cell.online))


@dataclass(frozen=True, kw_only=True)
class AuditReport:
    """What an audit found."""

    feature_service: str
    gateway: str
    threshold: float
    seed: int

    audited_at: datetime
    """The instant of the first read."""

    duration_s: float

    users: Mapping[str, int]
    """How many users were read, by group."""

    settled: int
    """Users who differed at first, and no longer when read again."""

    contracts: Mapping[str, str | None]
    """The contract hash of the definitions, of the registry and of the gateway."""

    definitions: Sequence[str]
    """In what these differ; the threshold does not hold for it."""

    features: Sequence[FeatureReport]
    """In the order of the feature service."""

    @property
    def share(self) -> float:
        """The largest share of differing users that a feature has."""
        return max((feature.share for feature in self.features), default=0.0)

    @property
    def passed(self) -> bool:
        """Whether definitions agree and no feature's share of differing users is above the threshold."""
        return not self.definitions and self.share <= self.threshold

    @property
    def compared(self) -> int:
        """How many values were compared."""
        return sum(feature.users for feature in self.features)

    @property
    def differing(self) -> int:
        """How many of them differ."""
        return sum(feature.differing for feature in self.features)

    def as_json(self) -> dict[str, Any]:
        """Return the report as JSON types, times as ISO 8601, floats that JSON lacks and bytes as text."""
        return {
            "passed": self.passed,
            "feature_service": self.feature_service,
            "gateway": self.gateway,
            "threshold": self.threshold,
            "share": self.share,
            "seed": self.seed,
            "audited_at": self.audited_at.isoformat(),
            "duration_s": round(self.duration_s, 3),
            "users": dict(self.users),
            "settled_users": self.settled,
            "values_compared": self.compared,
            "values_differing": self.differing,
            "contracts": dict(self.contracts),
            "definitions": list(self.definitions),
            "features": [_feature(report) for report in self.features],
        }


def write_json(path: Path, report: AuditReport) -> None:
    """Write the report as JSON. Raises JobError."""
    try:
        path.write_text(json.dumps(report.as_json(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    except OSError as error:
        raise JobError(f"{path} can't be written: {error.strerror}; give --json a file in a folder of yours") from error


def _feature(report: FeatureReport) -> dict[str, Any]:
    return {
        "feature": report.feature.reference,
        "dtype": report.feature.dtype,
        "users": report.users,
        "given_up": report.given_up,
        "differing": report.differing,
        "share": report.share,
        "kinds": {str(kind): report.kinds[kind] for kind in Kind},
        "examples": [
            {
                "user_id": example.user_id,
                "kinds": [str(kind) for kind in example.kinds],
                "offline": {
                    "value": _json(example.offline.value),
                    "event_timestamp": _json(example.offline.event_timestamp),
                },
                "online": {
                    "value": _json(example.online.value),
                    "event_timestamp": _json(example.online.event_timestamp),
                    "status": None if example.online.status is None else example.online.status.name,
                    "error": example.online.error,
                },
            }
            for example in report.examples
        ],
    }


def _json(value: Any) -> Any:
    if isinstance(value, date | datetime):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.hex()
    if value is None or isinstance(value, bool | int | str) or (isinstance(value, float) and math.isfinite(value)):
        return value
    return str(value)
