"""The report of `offline materialize`, for a terminal."""

from collections.abc import Sequence

from rich.table import Table

from streamflow_offline.materialize.report import ViewReport


def as_table(reports: Sequence[ViewReport]) -> Table:
    """Return the freshness of each view, beside what was written."""
    table = Table("feature view", "users", "in Redis", "newest event", "in Redis", "rows written", box=None)
    for column in ("departed users removed", "later rows left out", "fresh"):
        table.add_column(column)
    for report in reports:
        newest = (f"{moment:%Y-%m-%d %H:%M:%S}" if moment else "-" for moment in (report.newest, report.newest_online))
        table.add_row(
            report.view,
            *(f"{count:,}" for count in (report.users, report.users_online)),
            *newest,
            *(f"{count:,}" for count in (report.written, report.departed, report.later_rows)),
            "yes" if report.fresh else "no",
        )
    return table
