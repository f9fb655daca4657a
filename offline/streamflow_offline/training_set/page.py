"""A training set as a page: its days, label balance, and each feature's nulls and distribution."""

from typing import Any

from streamflow_offline.errors import JobError
from streamflow_offline.html import Section, Table, bars, histograms, html_page, lines
from streamflow_offline.training_set.distributions import Distribution, distributions
from streamflow_offline.training_set.request import TrainingSetReport

_NOTHING_REFUSED = "none; a row that can't be used refuses the whole training set, and says which row and why"


def training_set_page(report: TrainingSetReport) -> str:
    """Return what the manifest says, and the distributions of the rows that were written, as a page."""
    manifest = report.manifest
    found = distributions(manifest, report.out)
    facts = {
        "written to": report.out,
        "rows": manifest["rows"],
        "rows refused": _NOTHING_REFUSED,
        "label rate": manifest["label_rate"],
        "content hash": manifest["content_hash"],
        "contract": manifest["contract_hash"],
        "read at": manifest["read_at"],
        "duration": f"{manifest['duration_s']:.1f} s",
    }
    sections = [_days(manifest), _features(manifest, found), *_distributions(found)]
    return html_page(f"Training set of {manifest['feature_service']}", facts=facts, sections=sections)


def refused_page(service: str, error: JobError) -> str:
    """Return a page that says why a training set was refused."""
    facts = {"reason": "below", "rows written": 0}
    return html_page(
        f"No training set of {service}",
        passed=False,
        facts=facts,
        sections=[Section(title="Refused", text=str(error))],
    )


def _days(manifest: dict[str, Any]) -> Section:
    days = manifest["dates"]
    rates = [(day["as_of"], day["label_rate"]) for day in days if day["label_rate"] is not None]
    return Section(
        title="Label balance by day",
        picture=lines({"label rate": rates}, x_title="as of", title="label rate") if rates else "",
        picture_says="The mean of the label for each day; the table has the numbers.",
        table=Table(
            header=("as of", "rows", "label rate"),
            rows=[(day["as_of"], day["rows"], day["label_rate"]) for day in days],
        ),
    )


def _features(manifest: dict[str, Any], found: dict[str, Distribution]) -> Section:
    features = manifest["features"]
    days = [day["as_of"] for day in manifest["dates"]]
    return Section(
        title="Features and their nulls",
        text="Nulls are shares of rows: in all, and for each day.",
        picture=bars({name: about["null_share"] for name, about in features.items()}, title="null", percent=True),
        picture_says="The share of nulls of each feature; the table has the numbers.",
        table=Table(
            header=("feature", "type", "min", "mean", "max", "null", *(f"null {day}" for day in days)),
            rows=[
                (
                    *(name, about["dtype"], about["min"], about["mean"], about["max"]),
                    f"{about['null_share']:.2%}",
                    *(f"{found[name].null_shares.get(day, 0):.2%}" for day in days),
                )
                for name, about in features.items()
            ],
        ),
    )


def _distributions(found: dict[str, Distribution]) -> list[Section]:
    drawn = {name: each.bins for name, each in found.items() if each.bins}
    if not drawn:
        return []
    text = "The share of each day's values in a bin, which is named by its lower bound. Nulls are left out."
    rows = [
        (name, label, *(dict(bins).get(label, 0) for bins in by_day.values()))
        for name, by_day in drawn.items()
        for label, _ in next(iter(by_day.values()))
    ]
    days = list(next(iter(drawn.values())))
    same = all(list(by_day) == days for by_day in drawn.values())
    table = Table(header=("feature", "bin", *days), rows=rows) if same else None
    says = "Each feature's distribution, a line for each day."
    return [Section(title="Distributions by day", text=text, picture=histograms(drawn), picture_says=says, table=table)]
