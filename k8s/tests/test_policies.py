"""What a platform team requires of every pod, and what keeps calls answered while pods are replaced."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from feature_gateway.settings import Settings
from manifests import Combination, Copy, Manifests, Workload

_VOLUMES = {"configMap", "secret", "emptyDir", "persistentVolumeClaim"}
_MEBIBYTES = {"Mi": 1, "Gi": 1024}
_DNS_S = 5 + 5
"""Seconds until the endpoints and the cluster's DNS have the new addresses of a name."""


def test_pods_have_no_rights(manifests: Manifests) -> None:
    for workload in manifests.workloads():
        pod = workload.pod
        assert pod["automountServiceAccountToken"] is False, workload.name
        assert not {"hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace"} & pod.keys(), workload.name
        context = pod["securityContext"]
        assert context["runAsNonRoot"] is True, workload.name
        assert context["runAsUser"] > 0, workload.name
        assert context["runAsGroup"] > 0, workload.name
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}, workload.name
        assert all(_VOLUMES & volume.keys() for volume in pod["volumes"]), workload.name
        for container in workload.containers():
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }, container["name"]
    for account in manifests.of_kind("ServiceAccount"):
        assert account["automountServiceAccountToken"] is False


def test_the_namespace_refuses_pods_with_more_rights(manifests: Manifests) -> None:
    (namespace,) = manifests.of_kind("Namespace")
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


def test_no_service_sets_variables_of_a_pod(manifests: Manifests) -> None:
    """The Service gateway would set GATEWAY_PORT and others; the gateway refuses unknown GATEWAY_ variables."""
    assert all(workload.pod["enableServiceLinks"] is False for workload in manifests.workloads())


def test_every_container_has_requests_and_limits(manifests: Manifests) -> None:
    for workload in manifests.workloads():
        for container in workload.containers():
            requests, limits = container["resources"]["requests"], container["resources"]["limits"]
            assert 0 < _cores(requests["cpu"]) <= _cores(limits["cpu"]), container["name"]
            assert 0 < _mebibytes(requests["memory"]) <= _mebibytes(limits["memory"]), container["name"]
        for volume in workload.pod["volumes"]:
            assert "sizeLimit" in volume.get("emptyDir", {"sizeLimit": ""}), volume["name"]


def test_images_have_a_version(manifests: Manifests) -> None:
    for workload in manifests.workloads():
        for container in workload.containers():
            _, colon, tag = container["image"].rpartition(":")
            assert colon, container["image"]
            assert re.fullmatch(r"[0-9]+(\.[0-9]+)*(-[a-z]+)?", tag), container["image"]


def test_what_serves_is_probed_and_what_ends_is_not(manifests: Manifests) -> None:
    for workload in manifests.workloads():
        for container in workload.containers():
            probes = {"startupProbe", "readinessProbe", "livenessProbe"} & container.keys()
            assert len(probes) == (3 if workload.serves else 0), container["name"]
            for probe in probes:
                assert container[probe]["timeoutSeconds"] <= max(container[probe]["periodSeconds"], 3), probe


def test_the_gateways_liveness_does_not_follow_its_readiness(manifests: Manifests) -> None:
    (container,) = manifests.workload("gateway").containers()
    assert container["livenessProbe"]["httpGet"]["path"] == "/health"
    assert container["readinessProbe"]["grpc"]["service"] == "streamflow.features.v1.UserFeatureService"


def test_a_rolling_update_starts_a_pod_before_it_ends_one(manifests: Manifests) -> None:
    for deployment in manifests.of_kind("Deployment"):
        assert deployment["spec"]["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}


def test_pods_are_spread_over_hosts_and_zones(manifests: Manifests) -> None:
    for deployment in manifests.of_kind("Deployment"):
        constraints = deployment["spec"]["template"]["spec"]["topologySpreadConstraints"]
        assert [constraint["topologyKey"].partition("/")[2] for constraint in constraints] == ["hostname", "zone"]
        for constraint in constraints:
            selector = constraint["labelSelector"]["matchLabels"]
            assert [workload.name for workload in manifests.selected(selector)] == [deployment["metadata"]["name"]]


def test_a_gateways_end_has_the_time_that_its_drain_takes(manifests: Manifests) -> None:
    settings = _gateway_settings(manifests)
    workload = manifests.workload("gateway")
    drain_s = _pre_stop_s(workload) + settings.drain_pause_s + settings.shutdown_grace_s
    assert drain_s < workload.pod["terminationGracePeriodSeconds"]
    # Until balancers know of the end, the gateway has to answer as before.
    assert _pre_stop_s(workload) >= 5


def test_a_feature_server_ends_after_the_gateways_have_left_it(manifests: Manifests) -> None:
    workload = manifests.workload("feature-server")
    assert _pre_stop_s(workload) > _DNS_S + _gateway_settings(manifests).dns_interval_s
    gunicorns_grace_s = 30
    assert _pre_stop_s(workload) + gunicorns_grace_s < workload.pod["terminationGracePeriodSeconds"]


def test_jobs_end_are_not_run_twice_at_a_time_and_are_cleared_away(manifests: Manifests) -> None:
    for document in manifests.of_kind("CronJob"):
        spec = document["spec"]
        assert spec["concurrencyPolicy"] == "Forbid"
        assert spec["startingDeadlineSeconds"] > 0
        assert (spec["successfulJobsHistoryLimit"], spec["failedJobsHistoryLimit"]) == (3, 3)
        _check_job(spec["jobTemplate"]["spec"])
    for document in manifests.of_kind("Job"):
        _check_job(document["spec"])
        assert document["spec"]["ttlSecondsAfterFinished"] > 0
    assert {document["metadata"]["name"] for document in manifests.of_kind("CronJob")} == {
        *("materialize", "audit-skew", "training-set"),
    }


def test_the_training_set_runs_only_when_asked_for(manifests: Manifests) -> None:
    assert manifests.find("CronJob", "training-set")["spec"]["suspend"] is True


def test_a_changed_contract_rolls_the_gateways(copy: Copy, built: dict[Combination, Manifests]) -> None:
    before = built["local", ()].workload("gateway")
    copy.contract.write_text(copy.contract.read_text(encoding="utf-8").replace('"version": 2', '"version": 3'), "utf-8")
    after = copy.build("local", ()).workload("gateway")
    assert _contract_volume(before) != _contract_volume(after)


@pytest.mark.parametrize("overlay", ["local", "production"])
def test_what_scales_by_itself_has_no_count_of_its_own(overlay: str, built: dict[Combination, Manifests]) -> None:
    for deployment in built[overlay, ()].of_kind("Deployment"):
        assert deployment["spec"]["replicas"] >= 2
    scaled = built[overlay, ("autoscaling",)].of_kind("Deployment")
    assert scaled
    assert not any("replicas" in deployment["spec"] for deployment in scaled)


def _check_job(spec: Mapping[str, Any]) -> None:
    assert spec["activeDeadlineSeconds"] > 0
    assert spec["backoffLimit"] >= 0
    # A failed attempt stays, with its log.
    assert spec["template"]["spec"]["restartPolicy"] == "Never"


def _gateway_settings(manifests: Manifests) -> Settings:
    settings = Settings.from_environment(manifests.find("ConfigMap", "gateway")["data"])
    assert isinstance(settings.contract_path, Path)
    return settings


def _pre_stop_s(workload: Workload) -> int:
    (container,) = workload.containers()
    return int(container["lifecycle"]["preStop"]["sleep"]["seconds"])


def _contract_volume(workload: Workload) -> str:
    (name,) = [volume["configMap"]["name"] for volume in workload.pod["volumes"] if volume["name"] == "contract"]
    return str(name)


def _cores(text: str) -> float:
    return int(text.removesuffix("m")) / 1000 if text.endswith("m") else float(text)


def _mebibytes(text: str) -> int:
    return int(text[:-2]) * _MEBIBYTES[text[-2:]]
