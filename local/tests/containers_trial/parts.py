"""What a trial looks at, one function a part, in the order in which they run."""

import json
import threading
import time
import urllib.error
import urllib.request

from driver import CommandError, Trial, container

STORES = ("postgres", "redis")
JOBS = ("sample", "apply", "materialize")
SERVERS = ("feast", "feast-2", "gateway")
_KILLED = 137
_HABITS = (
    ("feast", "feature-services", "list"),
    ("feast", "apply"),
    ("feast", "materialize", "2024-01-01T00:00:00", "2024-03-01T00:00:00"),
    ("offline", "materialize"),
    ("offline", "training-set", "--out", "/training-sets/churn_v1"),
    ("offline", "audit-skew", "--gateway", "gateway:50051"),
)


def in_order(trial: Trial) -> None:
    trial.say("\nstarted in the order of the conditions")
    trial.start(*STORES)
    for store in STORES:
        trial.wait_until_healthy(store)
    for job in JOBS:
        trial.start(job)
        trial.wait_until_done(job)
    for server in SERVERS:
        trial.start(server)
        trial.wait_until_healthy(server)
    trial.wait_until_answered()


def confined(trial: Trial) -> None:
    trial.say("\nwhat each container may do")
    for service in (*STORES, *SERVERS):
        user = trial.inside(service, "id", "-u")
        status = trial.inside(service, "cat", "/proc/1/status").splitlines()
        fields = dict(line.split(":\t", 1) for line in status if ":\t" in line)
        trial.check(f"{service} is not root", holds=user != "0", saw=user)
        trial.check(f"{service} has no capabilities", holds=int(fields["CapEff"], 16) == 0)
        trial.check(f"{service} gains no privileges", holds=fields["NoNewPrivs"].strip() == "1")
        trial.check(
            f"{service} can't write to its root file system",
            holds=not trial.succeeds("exec", container(service), "sh", "-c", "touch /written || touch /app/written"),
        )
    for service in ("feast", "gateway"):
        tools = trial.inside(service, "sh", "-c", "command -v uv gcc make || true")
        trial.check(f"{service} has no build tools", holds=not tools, saw=tools)
    trial.check(
        "the gateway has no feast",
        holds=not trial.succeeds("exec", container("gateway"), "python", "-c", "import feast"),
    )
    published = [line.split(" -> ")[1] for line in trial.podman("port", "--all").splitlines()]
    trial.check("ports are on loopback", holds=all(port.startswith("127.0.0.1:") for port in published))


def contract(trial: Trial) -> None:
    trial.say("\nthe contract")
    exported = json.loads(trial.inside("feast", "cat", "/contract/contract.json"))["hash"]
    trial.check(
        "the gateway answers by the one that apply exported",
        holds=trial.answer().get("contract_hash") == exported,
        saw=exported,
    )
    trial.check("apply has told its hash", holds=exported in trial.podman("logs", container("apply")))


def habits(trial: Trial) -> None:
    trial.say("\nthe team's habits, by exec")
    for command in _HABITS:
        started = time.monotonic()
        try:
            printed = trial.inside("feast", *command)
        except CommandError as error:
            trial.check(" ".join(command), holds=False, saw=error)
            continue
        last = printed.splitlines()[-1].strip()[:100]
        trial.check(" ".join(command), holds=True, saw=f"{time.monotonic() - started:.1f} s, {last}")


def profiles(trial: Trial) -> None:
    trial.say("\nthe profiles")
    trial.start("feast-ui", "prefect")
    for service in ("feast-ui", "prefect"):
        trial.wait_until_healthy(service)
    trial.start("flow")
    trial.wait_until_done("flow")
    trial.podman("stop", container("feast-ui"), container("prefect"))


def drained(trial: Trial) -> None:
    trial.say("\nSIGTERM")
    answers: list[float] = []
    refusals: list[str] = []

    def ask() -> None:
        while True:
            try:
                with urllib.request.urlopen(trial.url, timeout=3):  # noqa: S310  # http by construction
                    answers.append(time.monotonic())
            except urllib.error.HTTPError as error:
                refusals.append(str(error))
            except OSError:
                # Nothing listens any more.
                return

    callers = [threading.Thread(target=ask) for _ in range(4)]
    for caller in callers:
        caller.start()
    trial.wait("calls are answered", lambda: len(answers) > 100, timeout_s=30)
    stopped = time.monotonic()
    _stop(trial, "gateway")
    for caller in callers:
        caller.join(timeout=30)
    late = sum(answer > stopped for answer in answers)
    trial.check("calls were answered while it drained", holds=late > 0, saw=late)
    trial.check("none was refused", holds=not refusals, saw=refusals[:3])
    for service in ("feast", "redis", "postgres"):
        _stop(trial, service)


def stores_come_late(trial: Trial) -> None:
    trial.say("\nthe servers before their stores, all with their data")
    trial.podman("start", container("gateway"), container("feast"))
    trial.wait("the gateway is not ready", lambda: not trial.healthy("gateway"))
    trial.podman("start", container("redis"), container("postgres"))
    trial.wait_until_answered()
    for server in SERVERS:
        trial.wait_until_healthy(server)


def in_disorder(trial: Trial) -> None:
    trial.say("\neverything in reverse, with new volumes")
    trial.down()
    trial.start(*reversed(SERVERS), *reversed(JOBS), *reversed(STORES))
    for job in JOBS:
        trial.wait_until_done(job)
    trial.wait_until_answered()
    for server in SERVERS:
        trial.wait_until_healthy(server)
    for service in (*SERVERS, *JOBS):
        trial.say(
            f"        {service} restarted {trial.podman('inspect', '-f', '{{.RestartCount}}', container(service))}x"
        )


PARTS = (in_order, confined, contract, habits, profiles, drained, stores_come_late, in_disorder)


def _stop(trial: Trial, service: str) -> None:
    started = time.monotonic()
    # Its stop_grace_period.
    trial.podman("stop", container(service))
    code = trial.state(service)[1]
    trial.check(f"{service} ends by itself", holds=code != _KILLED, saw=f"{code}, {time.monotonic() - started:.1f} s")
