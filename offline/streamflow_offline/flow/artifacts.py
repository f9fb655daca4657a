"""What a run leaves for people on the Prefect server: manifest and audit as Markdown."""

import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from streamflow_offline.audit.report import AuditReport
    from streamflow_offline.training_set import TrainingSetReport

MANIFEST_KEY = "training-set-manifest"
AUDIT_KEY = "skew-audit"


def manifest_markdown(report: "TrainingSetReport") -> str:
    """Return a training set's manifest as tables, and as JSON with the number of its files for their list."""
    manifest = report.manifest
    facts = {
        "rows": f"{manifest['rows']:,}",
        "label rate": _number(manifest["label_rate"]),
        "order": ", ".join(manifest["order"]),
        "contract": f"`{manifest['contract_hash']}`",
        "content": f"`{manifest['content_hash']}`",
        "read at": manifest["read_at"],
        "training set": f"[{report.out}]({report.out.absolute().as_uri()})",
        "manifest": f"[{report.manifest_path.name}]({report.manifest_path.absolute().as_uri()})",
    }
    days = [(day["as_of"], f"{day['rows']:,}", _number(day["label_rate"])) for day in manifest["dates"]]
    features = [
        (name, found["dtype"], f"{found['null_share']:.2%}", *(_number(found[what]) for what in ("min", "mean", "max")))
        for name, found in manifest["features"].items()
    ]
    shortened = {**manifest, "files": len(manifest["files"])}
    return "\n\n".join(
        (
            f"# Training set of {manifest['feature_service']}",
            _table(("", ""), facts.items()),
            _table(("as_of", "rows", "label rate"), days),
            _table(("feature", "dtype", "null", "min", "mean", "max"), features),
            f"```json\n{json.dumps(shortened, indent=2, ensure_ascii=False)}\n```",
        )
    )


def audit_markdown(report: "AuditReport") -> str:
    """Return what an audit found, without any user's id or value."""
    features = [
        (
            feature.feature.reference,
            feature.feature.dtype,
            f"{feature.users:,}",
            f"{feature.differing:,}",
            f"{feature.share:.2%}",
            ", ".join(f"{count:,} {kind}" for kind, count in feature.kinds.items()),
        )
        for feature in report.features
    ]
    users = ", ".join(f"{count:,} {group}" for group, count in report.users.items())
    found = f"{report.differing:,} of {report.compared:,} values differ. Users read: {users}."
    return "\n\n".join(
        (
            f"# Skew audit of {report.feature_service}: {'passed' if report.passed else 'failed'}",
            found,
            _table(("feature", "dtype", "users", "differing", "share", "in"), features),
            *(f"- {line}" for line in report.definitions),
        )
    )


def audit_failure(report: "AuditReport") -> str:
    """Return why an audit has not passed, and what to do."""
    above = [feature for feature in report.features if feature.share > report.threshold]
    found = [
        *(
            f"{feature.feature.reference} differs for {feature.share:.2%} of {feature.users:,} users"
            for feature in above
        ),
        *report.definitions,
    ]
    return (
        f"what the gateway at {report.gateway} serves is not what training reads: {'; '.join(found)}; "
        f"{report.threshold:.2%} may differ. `offline audit-skew` shows examples"
    )


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(_cell(cell) for cell in line)} |" for line in lines)


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())


def _number(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.6g}" if isinstance(value, float) else str(value)
