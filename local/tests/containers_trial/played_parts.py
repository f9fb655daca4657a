"""The checks of k8s/overlays/local's pods, one function for each part, in the order in which they run."""

import json
import re

from confinement import check_confined
from drain import check_in_flight, check_none_lost
from gateways import Gateway
from played import Played
from pods import Pod

_STORES = ("postgres", "redis")
_SERVERS = ("feature-server", "gateway")
_JOBS = ("materialize", "training-set", "audit-skew")
_UNITS = {"Mi": 2**20, "Gi": 2**30}


def servers_first(played: Played) -> None:
    """Kubernetes: gateways start first, then the stores, then feature servers, which wait for the definitions."""
    played.prepare()
    for gateway in played.play("gateway"):
        played.wait_for(gateway, "startup")
        played.wait_for(gateway, "liveness")
        played.trial.check(
            "a gateway without feature servers is not ready", holds=not played.probe(gateway, "readiness")
        )
    for store in _STORES:
        played.play(store)
    for workload in ("apply", "feature-server"):
        played.play(workload)
    played.run("load-sample")
    for workload in (*_STORES, *_SERVERS):
        for pod in played.pods[workload]:
            played.wait_for(pod, "startup")
            # A gateway is ready once the feature servers know the contract, up to a minute after `apply`.
            played.wait_for(pod, "readiness", timeout_s=600)
            played.wait_for(pod, "liveness")


def answered(played: Played) -> None:
    """Kubernetes: calls."""
    for gateway in _gateways(played):
        played.trial.wait("calls over HTTP are answered", gateway.answers)
        played.trial.wait("calls over gRPC are answered", gateway.answers_grpc)
    given = json.loads(played.workloads.manifests.find("ConfigMap", "contract")["data"]["contract.json"])["hash"]
    seen = {gateway.ask().get("contract_hash") for gateway in _gateways(played)}
    sentence = "they are answered by the contract of the ConfigMap"
    played.trial.check(sentence, holds=seen == {given}, saw=", ".join(map(str, seen)))


def confined(played: Played) -> None:
    """Kubernetes: what each container is allowed to do."""
    for workload in (*_STORES, *_SERVERS):
        pod = played.pods[workload][0]
        check_confined(played.trial, workload, pod.container)
        _check_as_written(played, workload, pod)


def jobs(played: Played) -> None:
    """Kubernetes: a Job of each CronJob."""
    for job in _JOBS:
        pod = played.run(job)
        _check_as_written(played, job, pod)
        said = played.trial.podman("logs", pod.container).split()
        played.trial.say(f"        … {' '.join(said)[-90:]}")


def ended(played: Played) -> None:
    """Kubernetes: preStop and SIGTERM, as in a rolling update."""
    gateways = _gateways(played)
    first = played.pods["gateway"][0]
    check_none_lost(played.trial, "one of two gateways ends", gateways, lambda: played.stop(first))
    _restart(played, first)
    server = played.pods["feature-server"][0]
    check_none_lost(played.trial, "one of two feature servers ends", gateways, lambda: played.stop(server))
    _restart(played, server)
    check_in_flight(
        played.trial,
        gateways[0],
        servers=[pod.container for pod in played.pods["feature-server"]],
        stop=lambda: played.stop(first, pre_stop=False),
    )
    for store in _STORES:
        played.stop(played.pods[store][0])


def stores_come_back(played: Played) -> None:
    """Kubernetes: stores that start again, with their data, after a gateway that started without them."""
    gateway = played.pods["gateway"][0]
    played.start_again(gateway)
    played.wait_for(gateway, "startup")
    played.trial.check("the gateway is not ready", holds=not played.probe(gateway, "readiness"))
    for store in reversed(_STORES):
        played.start_again(played.pods[store][0])
    for pod in (*played.pods["feature-server"], *played.pods["gateway"]):
        played.wait_for(pod, "readiness", timeout_s=600)
    for reached in _gateways(played):
        played.trial.wait("calls over gRPC are answered", reached.answers_grpc)


PARTS = (servers_first, answered, confined, jobs, ended, stores_come_back)


def _gateways(played: Played) -> list[Gateway]:
    return [
        Gateway(http_port=pod.ports[8000], grpc_port=pod.ports[50051], admin_port=pod.ports[8001])
        for pod in played.pods["gateway"]
    ]


def _restart(played: Played, pod: Pod) -> None:
    played.start_again(pod)
    played.wait_for(pod, "startup")
    played.wait_for(pod, "readiness", timeout_s=600)


def _check_as_written(played: Played, name: str, pod: Pod) -> None:
    """Check that podman got the manifest's settings."""
    context, container = pod.pod["securityContext"], pod.spec
    expected = (
        f"{context['runAsUser']}:{context['runAsGroup']}",
        str(container["securityContext"]["readOnlyRootFilesystem"]).lower(),
        str(_bytes(container["resources"]["limits"]["memory"])),
        str(int(float(container["resources"]["limits"]["cpu"]) * 1e9)),
    )
    seen = played.trial.inspect(
        pod.container,
        "{{.Config.User}} {{.HostConfig.ReadonlyRootfs}} {{.HostConfig.Memory}} {{.HostConfig.NanoCpus}}",
    )
    played.trial.check(
        f"{name} has the manifest's user, read-only root, memory and CPU limits",
        holds=tuple(seen.split()) == expected,
        saw=seen,
    )


def _bytes(quantity: str) -> int:
    match = re.fullmatch(r"(\d+)([MG]i)", quantity)
    assert match, quantity
    return int(match[1]) * _UNITS[match[2]]
