"""`load`: what `make load` runs; locust with this package's users, without its web page unless that is asked for."""

import os
import signal
import sys
from pathlib import Path

from locust.main import main as locust

_LOCUSTFILE = Path(__file__).with_name("locustfile.py")


def main() -> None:
    """Run locust; what is given on the command line goes before the defaults. `--headful` is the web page."""
    # As Ctrl-C does: locust itself heeds no SIGTERM while a scenario runs, and would leave no report.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    given = sys.argv[1:]
    sys.argv = ["load", "--locustfile", str(_LOCUSTFILE), *_defaults(given), *given]
    locust()


def _defaults(given: list[str]) -> list[str]:
    if "--worker" in given:
        # All that it needs to know its master tells it.
        return []
    users = ["--users", "24", "--spawn-rate", "100"]
    if "--headful" in given:
        return [*users, "--web-host", "127.0.0.1"]
    folder = Path(os.environ.get("STREAMFLOW_STATE") or ".local") / "load"
    folder.mkdir(parents=True, exist_ok=True)
    files = ["--html", str(folder / "report.html"), "--csv", str(folder / "load"), "--report-dir", str(folder)]
    return [*users, *files, "--headless", "--only-summary", "--loglevel", "WARNING"]
