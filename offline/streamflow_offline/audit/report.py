"""What an audit found: the counts, as JSON and as tables."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, NamedTuple

from rich.markup import escape
from rich.table import Table
from streamflow_logs import Event

from streamflow_offline.audit.compare import ComparedCell, Feature, Kind, OfflineCell, OnlineCell

MAX_EXAMPLES = 10
_SHOWN_EXAMPLES = 3
_SHOWN_ELEMENTS = 4


class Example(NamedTuple):
    """A cell that differs."""

    user_id: str
    kinds: tuple[Kind, ...]
    offline: OfflineCell
    online: OnlineCell


@dataclass(kw_only=True)
class FeatureReport:
    """One feature of all users that were read."""

    feature: Feature

    users: int = 0
    """Users whose values were compared."""

    given_up: int = 0
    """Users whose values were not compared, because the gateway refused too many other values of the feature."""

    differing: int = 0
    """Users who differ in any kind."""

    kinds: Counter[Kind] = field(default_factory=Counter)
    """How many users differ in each kind."""

    examples: list[Example] = field(default_factory=list)
    """The first users who differ."""

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
            self.examples.append(Example(user_id, kinds, cell.offline, cell.online))


@dataclass(frozen=True, kw_only=True)
class AuditReport:
    """What an audit found."""

    feature_service: str
    gateway: str
    threshold: float
    seed: int

    audited_at: datetime
    """When the audit began."""

    duration_s: float

    users: Mapping[str, int]
    """How many users were read, by group."""

    settled: int
    """Users who differed at first and agreed when they were read again."""

    contracts: Mapping[str, str | None]
    """The contract hash of the definitions, of the registry and of the gateway."""

    definitions: Sequence[str]
    """How these three differ. The threshold does not apply to definitions."""

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
        """How many of the compared values differ."""
        return sum(feature.differing for feature in self.features)

    def as_json(self) -> dict[str, Any]:
        """Return the report as JSON types: times as ISO 8601; floats that JSON lacks, and bytes, as text."""
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
            "features": [_feature_as_json(report) for report in self.features],
        }


def as_tables(report: AuditReport) -> Iterator[Table | str]:
    """Yield a row for each feature, its first examples, how definitions differ, and the verdict."""
    yield _features_table(report)
    if report.differing:
        yield ""
        yield _examples_table(report)
    if report.definitions:
        yield ""
        yield from (f"definitions: {line}" for line in report.definitions)
    yield ""
    yield verdict(report)


def as_events(report: AuditReport) -> list[Event]:
    """Return the verdict, and each feature that differs, as events without users."""
    ended = Event(
        "audit passed" if report.passed else "audit failed",
        reason=verdict(report),
        feature_service=report.feature_service,
        values_compared=report.compared,
        values_differing=report.differing,
        share=report.share,
        duration_s=report.duration_s,
    )
    definitions = [Event("definitions differ", reason=line) for line in report.definitions]
    return [*definitions, *map(_feature_event, filter(lambda found: found.differing, report.features)), ended]


def examples_as_events(report: AuditReport) -> Iterator[Event]:
    """Yield the first users who differ in each feature, with their values."""
    for found in report.features:
        for example in found.examples:
            yield Event(
                "user differs",
                reason=", ".join(map(_words, example.kinds)),
                feature=found.feature.reference,
                user_id=example.user_id,
                offline=_as_json(example.offline.value),
                online=_as_json(example.online.value),
            )


def _feature_event(found: FeatureReport) -> Event:
    kinds = ", ".join(_words(kind) for kind in Kind if found.kinds[kind])
    return Event(
        "feature differs",
        reason=kinds,
        feature=found.feature.reference,
        users=found.users,
        differing=found.differing,
        share=found.share,
    )


def _feature_as_json(report: FeatureReport) -> dict[str, Any]:
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
                "user_id": user_id,
                "kinds": [str(kind) for kind in kinds],
                "offline": _cell_as_json(offline),
                "online": {
                    **_cell_as_json(online),
                    "status": None if online.status is None else online.status.name,
                    "error": online.error,
                },
            }
            for user_id, kinds, offline, online in report.examples
        ],
    }


def _cell_as_json(cell: OfflineCell | OnlineCell) -> dict[str, Any]:
    return {"value": _as_json(cell.value), "event_timestamp": _as_json(cell.event_timestamp)}


def _as_json(value: Any) -> Any:
    if isinstance(value, date | datetime):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, list | tuple):
        return [_as_json(element) for element in value]
    if value is None or isinstance(value, bool | int | str) or (isinstance(value, float) and math.isfinite(value)):
        return value
    return str(value)


def _features_table(report: AuditReport) -> Table:
    table = Table("feature", "dtype", "users", "differing", "share", *map(_words, Kind), box=None)
    for column in table.columns[2:]:
        column.justify = "right"
    for found in report.features:
        given_up = f" ({found.given_up:,} given up)" if found.given_up else ""
        counts = [f"{found.kinds[kind]:,}" if found.kinds[kind] else "-" for kind in Kind]
        table.add_row(
            *(found.feature.reference, found.feature.dtype, f"{found.users:,}{given_up}"),
            *(f"{found.differing:,}", f"{found.share:.2%}", *counts),
        )
    return table


def _examples_table(report: AuditReport) -> Table:
    table = Table("feature", "user", "differs in", "offline", "online", "offline event", "online event", box=None)
    for found in report.features:
        for user_id, kinds, offline, online in found.examples[:_SHOWN_EXAMPLES]:
            cells = (offline, online)
            values = (_shown(offline.value), online.error or _shown(online.value))
            times = ["-" if cell.event_timestamp is None else cell.event_timestamp.isoformat() for cell in cells]
            texts = map(escape, (user_id, ", ".join(map(_words, kinds)), *values, *times))
            table.add_row(found.feature.reference, *texts)
    return table


def _shown(value: Any) -> str:
    if not isinstance(value, list | tuple):
        return repr(value)
    more = f", … {len(value)} in all" if len(value) > _SHOWN_ELEMENTS else ""
    return f"[{', '.join(map(repr, value[:_SHOWN_ELEMENTS]))}{more}]"


def _words(name: str) -> str:
    return name.replace("_", " ")


def verdict(report: AuditReport) -> str:
    """Return the outcome in one line."""
    users = ", ".join(f"{count:,} {_words(group)}" for group, count in report.users.items() if count)
    settled = f"; {report.settled:,} users differed only at first" if report.settled else ""
    found = f"{report.differing:,} of {report.compared:,} values differ ({users}){settled}"
    if report.passed:
        return f"no skew in {report.feature_service}: {found}"
    if report.definitions:
        return f"skew in {report.feature_service}: {found}; definitions differ"
    return (
        f"skew in {report.feature_service}: {found}; a feature differs for {report.share:.2%} of its users, where "
        f"{report.threshold:.2%} may"
    )
