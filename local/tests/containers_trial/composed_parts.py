"""The checks of docker-compose.yml, one function for each part, in the order in which they run."""

import json
import re
import time

from attackers import check_host, check_listening, check_networks
from compose_file import of_profiles
from composed import Composed
from confinement import check_confined, check_lean
from drain import check_drained, check_in_flight
from streamflow_offline.generate.job import generate_months
from trial import CommandError

_STORES = ("postgres", "redis")
_JOBS = ("grant", "apply", "sample", "materialize")
_SERVERS = ("feast", "feast-2", "gateway")
_USERS = 50
_READABLE = 0o755
_STYLE = re.compile(r"\x1b\[[\d;]*m")
_HABITS = (
    ("apply", "feast", "apply"),
    ("apply", "feast", "feature-services", "list"),
    ("materialize", "feast", "materialize", "2024-01-01T00:00:00", "2024-03-01T00:00:00"),
    ("materialize", "offline", "materialize"),
    ("materialize", "offline", "training-set", "--out", "/training-sets/churn_v1"),
    ("materialize", "offline", "audit-skew", "--gateway", "gateway:50051"),
)


def in_order(composed: Composed) -> None:
    """Compose: a start in the order of the conditions."""
    composed.start(*_STORES)
    for store in _STORES:
        _wait_until_healthy(composed, store)
    for job in _JOBS:
        composed.start(job)
        _wait_until_done(composed, job)
    for server in _SERVERS:
        composed.start(server)
        _wait_until_healthy(composed, server)
    _wait_until_answered(composed)


def confined(composed: Composed) -> None:
    """Compose: what each container is allowed to do."""
    for service in (*_STORES, *_SERVERS):
        check_confined(composed.trial, service, composed.container(service))
    for service in ("feast", "gateway"):
        check_lean(composed.trial, service, composed.container(service))
    imports_feast = composed.trial.succeeds("exec", composed.container("gateway"), "python", "-c", "import feast")
    composed.trial.check("the gateway has no feast", holds=not imports_feast)
    published = [
        line.rpartition(" -> ")[2]
        for service in _SERVERS
        for line in composed.trial.podman("port", composed.container(service)).splitlines()
    ]
    composed.trial.check(
        "ports are on loopback",
        holds=bool(published) and all(port.startswith("127.0.0.1:") for port in published),
        saw=f"{len(published)} ports",
    )


def contract(composed: Composed) -> None:
    """Compose: the contract."""
    exported = json.loads(composed.exec("gateway", "cat", "/contract/contract.json"))["hash"]
    seen = composed.gateway.ask().get("contract_hash")
    composed.trial.check("the gateway answers by the one that apply exported", holds=seen == exported, saw=seen)
    composed.trial.check(
        "apply has told its hash", holds=exported in composed.trial.podman("logs", composed.container("apply"))
    )


def habits(composed: Composed) -> None:
    """Compose: the team's commands, each with the account of its job."""
    months = composed.folder / "months"
    generate_months(months, users=_USERS, months=1)
    for folder in (composed.folder, months, *months.iterdir()):
        folder.chmod(_READABLE)
    printed = composed.run("sample", "offline", "ingest", "/months", mounted=months, at="/months")
    composed.trial.check("offline ingest /months", holds=True, saw=_end(printed))
    for service, *command in _HABITS:
        started = time.monotonic()
        try:
            printed = composed.run(service, *command)
        except CommandError as error:
            composed.trial.check(" ".join(command), holds=False, saw=error)
            continue
        took_s = time.monotonic() - started
        composed.trial.check(" ".join(command), holds=True, saw=f"{took_s:.1f} s, {_end(printed)}")


def profiles(composed: Composed) -> None:
    """Compose: the profiles."""
    servers = of_profiles(jobs=False)
    composed.start(*servers)
    for service in servers:
        _wait_until_healthy(composed, service)
        check_confined(composed.trial, service, composed.container(service))
    for job in of_profiles(jobs=True):
        composed.start(job)
        _wait_until_done(composed, job)


def attacked(composed: Composed) -> None:
    """Compose: what answers an attacker on each network, and on the host."""
    check_listening(composed)
    check_networks(composed)
    check_host(composed)
    for service in of_profiles(jobs=False):
        composed.trial.podman("stop", composed.container(service))


def drained(composed: Composed) -> None:
    """Compose: SIGTERM."""
    check_drained(composed.trial, composed.gateway, lambda: composed.stop("gateway"))
    composed.trial.podman("start", composed.container("gateway"))
    _wait_until_answered(composed)
    check_in_flight(
        composed.trial,
        composed.gateway,
        servers=[composed.container("feast"), composed.container("feast-2")],
        stop=lambda: composed.stop("gateway"),
    )
    composed.stop("feast", "feast-2", "redis", "postgres")


def stores_come_late(composed: Composed) -> None:
    """Compose: servers that start earlier than the stores, with the data of the first start."""
    composed.trial.podman("start", *(composed.container(server) for server in ("gateway", "feast", "feast-2")))
    composed.trial.wait("the gateway lives and is not ready", lambda: _is_unready(composed))
    composed.trial.podman("start", *(composed.container(store) for store in _STORES))
    _wait_until_answered(composed)
    for server in _SERVERS:
        _wait_until_healthy(composed, server)


def in_disorder(composed: Composed) -> None:
    """Compose: a start in reverse order, with new volumes."""
    composed.down()
    composed.start(*reversed(_SERVERS), *reversed(_JOBS), *reversed(_STORES))
    for job in _JOBS:
        _wait_until_done(composed, job)
    _wait_until_answered(composed)
    for server in _SERVERS:
        _wait_until_healthy(composed, server)
    restarts = {
        service: composed.trial.inspect(composed.container(service), "{{.RestartCount}}")
        for service in (*_SERVERS, *_JOBS)
    }
    composed.trial.say(f"        started again: {', '.join(f'{name} {count}x' for name, count in restarts.items())}")


PARTS = (in_order, confined, contract, habits, profiles, attacked, drained, stores_come_late, in_disorder)


def _end(printed: str) -> str:
    """Return the end of a command's output in one line."""
    return f"… {' '.join(_STYLE.sub('', printed).split())[-70:]}"


def _wait_until_healthy(composed: Composed, service: str) -> None:
    composed.trial.wait_until_healthy(service, composed.container(service))


def _wait_until_done(composed: Composed, job: str) -> None:
    composed.trial.wait_until_done(job, composed.container(job))


def _wait_until_answered(composed: Composed) -> None:
    composed.trial.wait("calls over HTTP are answered", composed.gateway.answers)
    composed.trial.wait("calls over gRPC are answered", composed.gateway.answers_grpc)


def _is_unready(composed: Composed) -> bool:
    try:
        return bool(composed.gateway.unready())
    except OSError:
        return False
