"""What answers on the networks of docker-compose.yml and on the host, computed from the file."""

import re

from compose_file import services
from dockerfile import IMAGES, stages

# Of public images and of commands that docker-compose.yml gives: the other images' ports are in their Dockerfiles.
_LISTENS = {
    "postgres": {5432},
    "redis": {6379},
    "feast-ui": {8888},
    "prefect": {4200},
    "prometheus": {9090},
    "pushgateway": {9091},
    "grafana": {3000},
}


def listens(name: str) -> set[int]:
    """Return the ports on which a service listens."""
    if name in _LISTENS:
        return _LISTENS[name]
    service = services()[name]
    if "command" in service:
        return set()
    by_dockerfile = {f"{path.parent.name}/{path.name}": path for path in IMAGES.values()}
    exposed = stages(by_dockerfile[service["build"]["dockerfile"]])[-1].last("EXPOSE").text
    return {int(port) for port in exposed.split()}


def members(network: str) -> set[str]:
    """Return the services of a network."""
    return {name for name, service in services().items() if network in service["networks"]}


def answering(network: str) -> set[str]:
    """Return what answers on a network, as SERVICE:PORT: each service of it, on all of its ports."""
    return {f"{name}:{port}" for name in members(network) for port in listens(name)}


def on_loopback() -> dict[str, str]:
    """Return what the host's loopback publishes, as SERVICE:PORT, by the variable that sets the host's port."""
    return {
        variable: f"{name}:{port}"
        for name, service in services().items()
        for published in service.get("ports", ())
        for variable, port in re.findall(r"^127\.0\.0\.1:\$\{(\w+):-\d+\}:(\d+)$", published)
    }
