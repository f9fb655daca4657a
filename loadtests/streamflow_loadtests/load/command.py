"""`load`: what `make load` runs; locust with this package's users, without its web page unless that is asked for."""

import os
import signal
import sys
from pathlib import Path

_LOCUSTFILE = Path(__file__).with_name("locustfile.py")
_LOCUST_ITSELF = ("--headful", "--master", "--worker", "--help", "-h", "--version", "-V")


def main() -> None:
    """Compare the targets one after another; or run locust alone: for one target, `--headful`, masters and workers."""
    # As Ctrl-C does: locust itself heeds no SIGTERM while a scenario runs, and would leave no report.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    given = sys.argv[1:]
    folder = Path(os.environ.get("STREAMFLOW_STATE") or ".local") / "load"
    if "--into" in given:
        place = given.index("--into")
        folder = Path(given[place + 1])
        given[place : place + 2] = []
    elif not (set(given) & set(_LOCUST_ITSELF) or _targets(given) == 1):
        # Only a checkout has what it imports; the image for locust does without.
        from streamflow_loadtests.load.compare import Comparison  # noqa: PLC0415

        folder.mkdir(parents=True, exist_ok=True)
        comparison = Comparison(given, folder)
        try:
            sys.exit(comparison.run())
        except OSError as error:
            sys.exit(
                f"no load: the gateway at {comparison.gateway_http} does not answer: {error}; `make up` starts one"
            )
    # Its import makes the whole process cooperate.
    from locust.main import main as locust  # noqa: PLC0415

    sys.argv = ["load", "--locustfile", str(_LOCUSTFILE), *_defaults(given, folder), *given]
    locust()


def _targets(given: list[str]) -> int | None:
    """Return how many targets are chosen; None for all."""
    for place, option in enumerate(given):
        name, _, value = option.partition("=")
        if name == "--targets":
            return len((value or given[place + 1]).split(","))
    return None


def _defaults(given: list[str], folder: Path) -> list[str]:
    if "--worker" in given:
        # All that it needs to know its master tells it.
        return []
    users = ["--users", "24", "--spawn-rate", "100"]
    if "--headful" in given:
        return [*users, "--web-host", "127.0.0.1"]
    folder.mkdir(parents=True, exist_ok=True)
    files = ["--html", str(folder / "report.html"), "--csv", str(folder / "load"), "--report-dir", str(folder)]
    return [*users, *files, "--headless", "--only-summary", "--loglevel", "WARNING"]
