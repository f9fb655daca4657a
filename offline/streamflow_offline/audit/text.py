"""An audit's report as tables."""

from collections.abc import Iterator
from datetime import datetime

from rich.markup import escape
from rich.table import Table

from streamflow_offline.audit.compare import Kind
from streamflow_offline.audit.report import AuditReport, Example, FeatureReport

_SHOWN_OF_A_FEATURE = 3


def as_tables(report: AuditReport) -> Iterator[Table | str]:
    """Yield a row a feature, the first examples of each that differs, what the definitions differ in, the verdict."""
    yield _features(report)
    if report.differing:
        yield ""
        yield _examples(report)
    if report.definitions:
        yield ""
        yield from (f"definitions: {line}" for line in report.definitions)
    yield ""
    yield _verdict(report)


def _features(report: AuditReport) -> Table:
    kinds = [kind.replace("_", " ") for kind in Kind]
    table = Table("feature", "dtype", *("users", "differing", "share", *kinds), box=None)
    for column in table.columns[2:]:
        column.justify = "right"
    for feature in report.features:
        counts = [f"{feature.kinds[kind]:,}" if feature.kinds[kind] else "-" for kind in Kind]
        table.add_row(
            *(feature.feature.reference, feature.feature.dtype, _users(feature)),
            *(f"{feature.differing:,}", f"{feature.share:.2%}", *counts),
        )
    return table


def _users(feature: FeatureReport) -> str:
    return f"{feature.users:,}" + (f" ({feature.given_up:,} given up)" if feature.given_up else "")


def _examples(report: AuditReport) -> Table:
    table = Table("feature", "user", "differs in", "offline", "online", "offline event", "online event", box=None)
    for feature in report.features:
        for example in feature.examples[:_SHOWN_OF_A_FEATURE]:
            table.add_row(
                *(feature.feature.reference, escape(example.user_id), _kinds(example)),
                *(escape(repr(example.offline.value)), escape(example.online.error or repr(example.online.value))),
                *(_moment(example.offline.event_timestamp), _moment(example.online.event_timestamp)),
            )
    return table


def _kinds(example: Example) -> str:
    return ", ".join(kind.replace("_", " ") for kind in example.kinds)


def _moment(moment: datetime | None) -> str:
    return "-" if moment is None else moment.isoformat()


def _verdict(report: AuditReport) -> str:
    users = ", ".join(f"{count:,} {group.replace('_', ' ')}" for group, count in report.users.items() if count)
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
