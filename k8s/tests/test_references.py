"""Everything that a document names exists: ConfigMaps and their keys, Secrets, accounts, ports, hosts, images."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from dockerfile import IMAGES, stages
from manifests import CHECKOUT, K8S, Combination, Copy, Manifests, Workload, build
from streamflow_repo.settings.connections import feast_environment, urls_from_environment
from streamflow_repo.settings.redis_users import REDIS_USERS

_MADE_BY_HAND = re.compile(
    r"kubectl -n streamflow create (?P<kind>secret generic|secret tls|configmap) (?P<name>[\w-]+)"
    r"(?P<options>.*?)\n(?! )",
    re.DOTALL,
)
_KEY = re.compile(r"--from-(?:file|literal)=([\w.]+)=")


@pytest.fixture(scope="module")
def made_by_hand() -> dict[tuple[str, str], set[str]]:
    """What the README tells a team to create for production: the keys, by kind and name."""
    found = {}
    for match in _MADE_BY_HAND.finditer((K8S / "README.md").read_text(encoding="utf-8")):
        kind = "ConfigMap" if match["kind"] == "configmap" else "Secret"
        tls = {"tls.crt", "tls.key"} if match["kind"] == "secret tls" else set()
        found[kind, match["name"]] = set(_KEY.findall(match["options"])) | tls
    return found


@pytest.mark.parametrize("overlay", ["local", "production"])
def test_every_configmap_secret_and_key_exists(
    overlay: str, built: dict[Combination, Manifests], made_by_hand: dict[tuple[str, str], set[str]]
) -> None:
    for combination, manifests in built.items():
        if combination[0] == overlay:
            here = [key for key in made_by_hand if overlay == "production" or key == ("Secret", "gateway-tls")]
            _check_configuration(manifests, {key: made_by_hand[key] for key in here})


def test_every_container_has_the_files_that_it_is_given_where_another_team_runs_the_stores(
    copy: Copy, made_by_hand: dict[tuple[str, str], set[str]]
) -> None:
    """The certificate authority is in a volume, which init containers too have to mount."""
    _check_configuration(build(copy.overlay("local", ("external-stores",))), made_by_hand)


def test_every_account_and_claim_exists(manifests: Manifests, kept: Manifests) -> None:
    for workload in manifests.workloads():
        account = workload.pod.get("serviceAccountName", "default")
        assert account in manifests.names("ServiceAccount") | {"default"}, workload.name
        for volume in workload.pod["volumes"]:
            if "persistentVolumeClaim" in volume:
                assert volume["persistentVolumeClaim"]["claimName"] in kept.names("PersistentVolumeClaim")


def test_every_mount_has_a_volume_and_every_volume_a_mount(manifests: Manifests) -> None:
    for workload in manifests.workloads():
        mounts = {mount["name"] for found in workload.containers() for mount in found.get("volumeMounts", ())}
        claims = workload.document["spec"].get("volumeClaimTemplates", ())
        volumes = {volume["name"] for volume in workload.pod["volumes"]} | {
            claim["metadata"]["name"] for claim in claims
        }
        assert mounts == volumes, workload.name


def test_every_services_port_is_a_port_of_the_pods_that_it_selects(built: dict[Combination, Manifests]) -> None:
    for combination, manifests in built.items():
        for service in manifests.of_kind("Service"):
            workloads = _pods_of(service, manifests)
            assert workloads, (combination, service["metadata"]["name"])
            for workload in workloads:
                for port in service["spec"]["ports"]:
                    assert workload.ports()[port["targetPort"]] == port["port"], service["metadata"]["name"]


def test_every_probes_port_is_a_port_of_its_container(manifests: Manifests) -> None:
    for workload in manifests.workloads():
        for container in workload.containers():
            ports = {port["name"]: port["containerPort"] for port in container.get("ports", ())}
            for probe in (container[name] for name in container if name.endswith("Probe")):
                if "httpGet" in probe:
                    assert probe["httpGet"]["port"] in ports
                if "grpc" in probe:
                    assert probe["grpc"]["port"] in ports.values()


def test_every_host_of_the_configuration_is_a_service_or_somebody_elses(built: dict[Combination, Manifests]) -> None:
    for combination, manifests in built.items():
        services = {
            (str(service["metadata"]["name"]), port["port"])
            for service in manifests.of_kind("Service")
            for port in service["spec"]["ports"]
        }
        hosts = set(_hosts(manifests))
        assert hosts, combination
        for host, port in hosts:
            assert (host, port) in services or host.endswith(".example.com"), (combination, host, port)


@pytest.mark.parametrize(
    ("account", "role", "user"),
    [
        ("reader", "streamflow_reader", "reader"),
        ("jobs", "streamflow_jobs", "writer"),
        ("definitions", "streamflow_definitions", "writer"),
    ],
)
def test_the_connections_are_such_as_feast_takes(
    manifests: Manifests, tmp_path: Path, account: str, role: str, user: str
) -> None:
    data = dict(manifests.find("ConfigMap", f"stores-{account}")["data"])
    for store in ("POSTGRES", "REDIS"):
        file = tmp_path / Path(data[f"{store}_PASSWORD_FILE"]).name
        file.write_text("se:cr/et", encoding="utf-8")
        data[f"{store}_PASSWORD_FILE"] = str(file)
    postgres_url, redis_url = urls_from_environment(data)
    assert feast_environment(postgres_url=postgres_url, redis_url=redis_url)
    assert postgres_url.startswith(f"postgresql://{role}:")
    assert f"//{user}:" in redis_url


def test_a_container_has_the_passwords_of_its_own_account_alone(whole: Manifests) -> None:
    for workload in whole.workloads():
        volumes = {volume["name"]: volume for volume in workload.pod["volumes"]}
        for container in workload.containers():
            maps = {source["configMapRef"]["name"] for source in container.get("envFrom", ())}
            accounts = {name.rpartition("-")[0] for name in maps if name.startswith("stores-")}
            secrets = {
                re.sub(r"-[a-z0-9]{10}$", "", volume["secret"]["secretName"])
                for mount in container.get("volumeMounts", ())
                if "secret" in (volume := volumes.get(mount["name"], {}))
            }
            administers = container["name"] in {"grant", "postgres", "redis", "redis-cluster-form"}
            assert secrets == ({"stores-admin"} if administers else accounts), (workload.name, container["name"])
            assert len(accounts) <= 1
    for container in whole.workload("feature-server").containers():
        (source,) = container["envFrom"]
        assert source["configMapRef"]["name"].startswith("stores-reader-")


def test_the_users_of_redis_have_the_rules_that_the_tests_try(built: dict[Combination, Manifests]) -> None:
    for components, name in (((), "redis"), (("redis-cluster",), "redis-cluster")):
        command = built["local", components].workload(name).container["command"][-1]
        found = dict(
            re.findall(r"^user (\w+) on >\$\(cat /run/secrets/stores/redis_\1_password\) (.*)$", command, re.MULTILINE)
        )
        assert found == {**REDIS_USERS, "admin": "~* &* +@all"}
        assert "user default off" in command.splitlines()


def test_autoscalers_budgets_and_ingress_name_what_is_there(whole: Manifests) -> None:
    for autoscaler in whole.of_kind("HorizontalPodAutoscaler"):
        assert autoscaler["spec"]["scaleTargetRef"]["name"] in whole.names("Deployment")
    for budget in whole.of_kind("PodDisruptionBudget"):
        assert [found.name for found in whole.selected(budget["spec"]["selector"]["matchLabels"])] == [
            budget["metadata"]["name"]
        ]
    (ingress,) = whole.of_kind("Ingress")
    for rule in ingress["spec"]["rules"]:
        for path in rule["http"]["paths"]:
            backend = path["backend"]["service"]
            ports = whole.find("Service", backend["name"])["spec"]["ports"]
            assert backend["port"]["name"] in {port["name"] for port in ports}


def test_our_images_are_the_dockerfiles_in_their_version(manifests: Manifests) -> None:
    for workload, container in _containers_of(manifests, "streamflow/"):
        image = container["image"].rpartition("streamflow/")[2]
        match = re.fullmatch(r"(\w+)(?::([\w.]+)|@(sha256:\w+))", image)
        assert match, container["image"]
        name, tag, digest = match.groups()
        last = stages(IMAGES[name])[-1]
        assert digest or f"VERSION={tag}" in last.all("ARG")
        context = workload.pod["securityContext"]
        if "runAsUser" in context:
            assert last.last("USER").text == f"{context['runAsUser']}:{context['runAsGroup']}", workload.name


@pytest.mark.parametrize("name", ["gateway", "feature-server"])
def test_servers_run_their_images_own_command(name: str, manifests: Manifests) -> None:
    container = manifests.workload(name).container
    image = re.split("[:@]", container["image"].rpartition("streamflow/")[2])[0]
    assert [*container["command"], *container.get("args", ())] == stages(IMAGES[image])[-1].last("CMD").words


def test_the_stores_images_are_those_of_docker_compose(manifests: Manifests) -> None:
    compose = yaml.safe_load((CHECKOUT / "docker-compose.yml").read_text(encoding="utf-8"))["services"]
    known = {compose[name]["image"] for name in ("postgres", "redis")}
    assert {container["image"] for _, container in _containers_of(manifests, "library/")} <= known


def _containers_of(manifests: Manifests, images: str) -> Iterator[tuple[Workload, Mapping[str, Any]]]:
    for workload in manifests.workloads():
        for container in workload.containers():
            if images in container["image"]:
                yield workload, container


def _check_configuration(manifests: Manifests, made_by_hand: Mapping[tuple[str, str], set[str]]) -> None:
    there = {
        **made_by_hand,
        **{
            (str(document["kind"]), str(document["metadata"]["name"])): set(document["data"])
            for document in manifests.of_kind("ConfigMap", "Secret")
        },
    }
    for workload in manifests.workloads():
        for kind, name, keys in _configuration(workload):
            assert (kind, name) in there, (workload.name, kind, name)
            assert keys <= there[kind, name], (workload.name, kind, name)
        for container in workload.containers():
            for path in _files_named(container, manifests):
                assert path in set(_mounted(workload, container, there)), (workload.name, container["name"], path)
    for ingress in manifests.of_kind("Ingress"):
        assert all(("Secret", tls["secretName"]) in there for tls in ingress["spec"]["tls"])


def _configuration(workload: Workload) -> Iterator[tuple[str, str, set[str]]]:
    """Yield the kind, name and keys of what a workload's pods read."""
    for volume in workload.pod["volumes"]:
        if "configMap" in volume:
            yield (
                "ConfigMap",
                volume["configMap"]["name"],
                {item["key"] for item in volume["configMap"].get("items", ())},
            )
        if "secret" in volume:
            yield "Secret", volume["secret"]["secretName"], {item["key"] for item in volume["secret"].get("items", ())}
    for container in workload.containers():
        for source in container.get("envFrom", ()):
            yield "ConfigMap", source["configMapRef"]["name"], set()
        assert all({"value", "valueFrom"} & variable.keys() for variable in container.get("env", ())), workload.name


def _mounted(
    workload: Workload, container: Mapping[str, Any], there: Mapping[tuple[str, str], set[str]]
) -> Iterator[str]:
    """Yield the paths of the files in the ConfigMaps and Secrets that a container mounts."""
    sources = {
        volume["name"]: ("ConfigMap", volume["configMap"]["name"])
        if "configMap" in volume
        else ("Secret", volume["secret"]["secretName"])
        for volume in workload.pod["volumes"]
        if {"configMap", "secret"} & volume.keys()
    }
    for mount in container.get("volumeMounts", ()):
        for key in there[sources[mount["name"]]] if mount["name"] in sources else ():
            yield f"{mount['mountPath']}/{key}"


def _files_named(container: Mapping[str, Any], manifests: Manifests) -> Iterator[str]:
    """Yield the files that variables and commands name and that a volume has to contain."""
    texts = [*container.get("command", ()), *(str(variable.get("value")) for variable in container.get("env", ()))]
    for source in container.get("envFrom", ()):
        texts += manifests.config_map(source["configMapRef"]["name"]).values()
    for text in texts:
        yield from re.findall(r"(?:/run/secrets|/etc|/contract)/[\w./-]+", text)


def _hosts(manifests: Manifests) -> Iterator[tuple[str, int]]:
    for name in ("gateway", "stores-reader", "stores-jobs", "stores-definitions"):
        for value in manifests.find("ConfigMap", name)["data"].values():
            parts = urlsplit(value)
            if not parts.scheme:
                continue
            for host in parts.netloc.rpartition("@")[2].split(","):
                node = urlsplit(f"//{host}")
                assert node.hostname
                assert node.port
                yield node.hostname, node.port


def _pods_of(service: Mapping[str, Any], manifests: Manifests) -> list[Workload]:
    selector = dict(service["spec"]["selector"])
    pod_name = selector.pop("statefulset.kubernetes.io/pod-name", None)
    if pod_name is None:
        return manifests.selected(selector)
    name, _, number = pod_name.rpartition("-")
    found = manifests.workload(name)
    return [found] if int(number) < found.document["spec"]["replicas"] else []
