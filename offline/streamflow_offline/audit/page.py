"""What an audit found, as a page."""

from streamflow_offline.audit.compare import Kind
from streamflow_offline.audit.report import AuditReport, FeatureReport, verdict
from streamflow_offline.html import Section, Table, bars, html_page


def audit_page(report: AuditReport) -> str:
    """Return the report as a page: the verdict, each feature, and the first users who differ."""
    groups = {group.replace("_", " "): count for group, count in report.users.items() if count}
    facts = {
        "verdict": verdict(report),
        "audited at": report.audited_at.isoformat(timespec="seconds"),
        "gateway": report.gateway,
        "users": ", ".join(f"{count:,} {group}" for group, count in groups.items()),
        "users who differed only at first": report.settled,
        "share that may differ": f"{report.threshold:.2%}",
        "duration": f"{report.duration_s:.1f} s",
        **{f"contract of the {place}": contract for place, contract in report.contracts.items()},
    }
    title = f"{'No skew' if report.passed else 'Skew'} in {report.feature_service}"
    return html_page(title, passed=report.passed, facts=facts, sections=_sections(report))


def _sections(report: AuditReport) -> list[Section]:
    shares = {found.feature.reference: found.share for found in report.features}
    sections = [
        Section(
            title="Features",
            picture=bars(shares, title="users who differ", percent=True),
            picture_says="The share of users who differ, for each feature; the table has the numbers.",
            table=_features(report),
        )
    ]
    if report.differing:
        text = "The first users of each feature. The page has their ids and values: pass it on as you would the data."
        rows = [row for found in report.features for row in _examples(found)]
        header = ("feature", "user", "differs in", "offline", "online", "offline event", "online event")
        sections.append(Section(title="Users who differ", text=text, table=Table(header=header, rows=rows)))
    if report.definitions:
        differ = Table(header=("difference",), rows=[(line,) for line in report.definitions])
        sections.append(Section(title="Definitions differ", table=differ))
    return sections


def _features(report: AuditReport) -> Table:
    header = ("feature", "type", "users", "given up", "differing", "share", *(kind.replace("_", " ") for kind in Kind))
    return Table(
        header=header,
        rows=[
            (
                *(found.feature.reference, found.feature.dtype, found.users, found.given_up, found.differing),
                *(f"{found.share:.2%}", *(found.kinds[kind] for kind in Kind)),
            )
            for found in report.features
        ],
    )


def _examples(found: FeatureReport) -> list[tuple[object, ...]]:
    return [
        (
            *(found.feature.reference, example.user_id, ", ".join(kind.replace("_", " ") for kind in example.kinds)),
            repr(example.offline.value),
            example.online.error or repr(example.online.value),
            example.offline.event_timestamp,
            example.online.event_timestamp,
        )
        for example in found.examples
    ]
