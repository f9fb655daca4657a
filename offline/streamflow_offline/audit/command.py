"""`offline audit-skew`, past its options: run, print, write, and end with an exit code that tells skew from failure."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from streamflow_repo.errors import SettingError
from streamflow_repo.settings.connections import urls_from_environment

from streamflow_offline.audit.job import audit_skew
from streamflow_offline.audit.report import write_json
from streamflow_offline.audit.request import DEFAULT_GATEWAY_PORT, AuditRequest
from streamflow_offline.audit.text import as_tables
from streamflow_offline.errors import JobError
from streamflow_offline.json_file import refuse_unwritable

_PASSED, _SKEWED, _NOT_DONE = 0, 1, 2


def local_gateway() -> str:
    """Return the local stack's gateway, by GATEWAY_GRPC_PORT."""
    return f"127.0.0.1:{os.environ.get('GATEWAY_GRPC_PORT') or DEFAULT_GATEWAY_PORT}"


def run(request: AuditRequest, *, json_file: Path | None, out: Console, tell: Callable[[str], None]) -> int:
    """Audit and print the report; return 0, 1 for skew above the threshold, 2 when it could not be found out."""
    try:
        refuse_unwritable(json_file)
        postgres_url, redis_url = urls_from_environment(os.environ)
        report = audit_skew(request, postgres_url=postgres_url, redis_url=redis_url, on_progress=tell)
        for part in as_tables(report):
            out.print(part, markup=False, soft_wrap=isinstance(part, str))
        if json_file is not None:
            write_json(json_file, report)
    except (SettingError, JobError) as error:
        sys.stderr.write(f"error: {error}\n")
        return _NOT_DONE
    return _PASSED if report.passed else _SKEWED
