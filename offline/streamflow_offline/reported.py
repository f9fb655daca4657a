"""Reports to Prometheus how a job ended.

A job is gone when Prometheus scrapes, so something that stays keeps its result. `PROMETHEUS_PUSHGATEWAY_URL` names a
Pushgateway, `PROMETHEUS_TEXTFILE_DIR` the folder of node exporter's textfile collector. Without them nothing is
reported.
"""

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit

from streamflow_offline.errors import JobError

_PUSHGATEWAY, _TEXTFILES = "PROMETHEUS_PUSHGATEWAY_URL", "PROMETHEUS_TEXTFILE_DIR"
_PUSH_TIMEOUT_S = 10.0
_LAST_SUCCESS = "streamflow_job_last_success_timestamp_seconds"


@dataclass
class JobResult:
    """What a run did; the job fills it in."""

    rows: int | None = None
    """Rows read, written or compared; None if the job has none."""

    audit_passed: bool | None = None
    """What an audit found; None for other jobs, and for an audit that could not be made."""


@contextmanager
def reported(command: str, *, feature_service: str = "") -> Iterator[JobResult]:
    """Yield the result of a run to be filled in, and report it to Prometheus when the block ends.

    A block that raises is a failed run. A Pushgateway that can't be reached, or a file that can't be written, is
    named on standard error, and fails no run. Raises JobError ahead of the block for a setting that can't be used.
    """
    destinations = _Destinations.of(os.environ)
    result, started_s = JobResult(), time.time()
    labels = {"command": command, **({"feature_service": feature_service} if feature_service else {})}
    succeeded = False
    try:
        yield result
        succeeded = True
    finally:
        ended_s = time.time()
        values: dict[str, float] = {
            "streamflow_job_last_end_timestamp_seconds": ended_s,
            "streamflow_job_last_duration_seconds": ended_s - started_s,
            "streamflow_job_last_succeeded": succeeded,
        }
        if succeeded:
            values[_LAST_SUCCESS] = ended_s
        if result.rows is not None:
            values["streamflow_job_last_rows"] = result.rows
        if result.audit_passed is not None:
            values["streamflow_audit_passed"] = result.audit_passed
        destinations.tell(values, labels)


@dataclass(frozen=True)
class _Destinations:
    pushgateway_url: str
    textfile_dir: Path | None

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> "_Destinations":
        url, folder = environment.get(_PUSHGATEWAY, ""), environment.get(_TEXTFILES, "")
        parts = urlsplit(url)
        if url and (parts.scheme not in {"http", "https"} or not parts.hostname or parts.username is not None):
            raise JobError(f"{_PUSHGATEWAY} is not a URL like http://pushgateway:9091, without user name and password")
        if folder and not Path(folder).is_dir():
            raise JobError(f"there is no folder {folder}, which {_TEXTFILES} names")
        return cls(url, Path(folder) if folder else None)

    def tell(self, values: Mapping[str, float], labels: Mapping[str, str]) -> None:
        """Keep a result; print what fails on standard error."""
        if not self.pushgateway_url and self.textfile_dir is None:
            return
        from streamflow_offline.console import tell  # noqa: PLC0415  # commands load what they use
        from streamflow_offline.kept_results import push, write  # noqa: PLC0415  # the same

        if self.pushgateway_url:
            try:
                # What a failed run does not have, such as its success, stays as it was.
                push(self.pushgateway_url, values, labels, timeout_s=_PUSH_TIMEOUT_S)
            except OSError as error:
                tell(f"{_PUSHGATEWAY}: the result of this run could not be pushed: {error}")
        if self.textfile_dir is not None:
            name = "_".join(("streamflow", *(quote(value, safe="") for value in labels.values())))
            try:
                write(self.textfile_dir / f"{name}.prom", values, labels)
            except OSError as error:
                tell(f"{_TEXTFILES}: the result of this run could not be written: {error}")
