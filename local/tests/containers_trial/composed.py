"""docker-compose.yml, started with podman-compose under the trial's own names and on free ports."""

import json
import os
import re
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import compose_file
import compose_networks
from gateways import Gateway
from streamflow_local.ports import free_ports
from trial import PROJECT, Trial, run

_TIMEOUT_S = 600
_DEFAULT_GRACE = "10s"


@dataclass
class Composed:
    """The services of docker-compose.yml. The trial starts each one, because podman 4 does not wait for health."""

    trial: Trial
    command: Sequence[str]
    """podman-compose with its options."""

    folder: Path
    """Where the trial may write its compose file."""

    images: Mapping[str, str]
    """What replaces public images."""

    gateway: Gateway = field(init=False)
    _ports: Mapping[str, int] = field(init=False)
    _files: Sequence[str] = field(init=False)

    def __post_init__(self) -> None:
        """Choose free ports."""
        self._ports = _free_ports()
        self.gateway = Gateway(*(self._ports[f"GATEWAY_{port}_PORT"] for port in ("HTTP", "GRPC", "ADMIN")))
        override = self.folder / "stand-ins.yml"
        images = {name: service["image"] for name, service in compose_file.services().items()}
        replaced = {name: {"image": self.images.get(image, image)} for name, image in images.items()}
        # podman has no such options of Docker's networks, and keeps networks apart, as Docker does, only when told to.
        # JSON is YAML.
        networks = "".join(
            f"  {name}:\n    driver_opts: !override {{isolate: 'true'}}\n"
            for name, network in compose_file.document()["networks"].items()
            if "driver_opts" in network
        )
        override.write_text(f"services: {json.dumps(replaced)}\nnetworks:\n{networks}", encoding="utf-8")
        self._files = ("-f", str(compose_file.FILE), "-f", str(override))

    @property
    def ports(self) -> Collection[int]:
        """The host's ports that lead to containers while these run."""
        return self._ports.values()

    def published(self) -> Mapping[int, str]:
        """Return what each of the host's ports leads to, as SERVICE:PORT."""
        return {self._ports[variable]: listener for variable, listener in compose_networks.on_loopback().items()}

    def container(self, service: str) -> str:
        """Return podman-compose's name for the container of a service."""
        return f"{PROJECT}_{service}_1"

    def network(self, name: str) -> str:
        """Return podman-compose's name for a network."""
        return f"{PROJECT}_{name}"

    def addresses(self, service: str) -> Mapping[str, str]:
        """Return the address of a running container on each network that it is on; raise CommandError."""
        found = json.loads(self.trial.inspect(self.container(service), "{{json .NetworkSettings.Networks}}"))
        return {name.removeprefix(f"{PROJECT}_"): network["IPAddress"] for name, network in found.items()}

    def gateway_of(self, network: str) -> str:
        """Return the host's own address on a network; raise CommandError."""
        return self.trial.podman(
            "network", "inspect", self.network(network), "--format", "{{(index .Subnets 0).Gateway}}"
        )

    def start(self, *services: str) -> None:
        """Start services without what they depend on, whatever their profile is."""
        for service in services:
            self._compose("up", "-d", "--no-deps", "--no-build", service)

    def exec(self, service: str, *command: str) -> str:
        """Return the output of a command in a service's container; raise CommandError."""
        return self._compose("exec", "-T", service, *command)

    def run(self, service: str, *command: str, mounted: Path | None = None, at: str = "") -> str:
        """Return the output of a command in a new container, with a folder mounted if one is given.

        Raises CommandError.
        """
        volume = ("-v", f"{mounted}:{at}:ro") if mounted else ()
        return self._compose("run", "--rm", "--no-deps", "-T", *volume, service, *command)

    def stop(self, *services: str) -> None:
        """Stop services, and check that they exit by themselves within their grace period."""
        for service in services:
            started = time.monotonic()
            self._compose("stop", service)
            took_s = time.monotonic() - started
            grace_s = float(compose_file.services()[service].get("stop_grace_period", _DEFAULT_GRACE).rstrip("s"))
            self.trial.check_ended(service, self.container(service), within_s=grace_s, took_s=took_s)

    def down(self) -> None:
        """Remove containers, networks and volumes of this trial and of earlier ones."""
        self._compose("down", "--volumes")
        for volume in self.trial.podman("volume", "ls", "--quiet", "--filter", f"name=^{PROJECT}_").split():
            self.trial.podman("volume", "rm", "--force", volume)

    def _compose(self, *arguments: str) -> str:
        # podman-compose starts a service of a profile only if the profile is named.
        profiles = [f"--profile={name}" for name in compose_file.profiles()]
        environment = {**os.environ, **{name: str(port) for name, port in self._ports.items()}}
        return run(
            [*self.command, "-p", PROJECT, *self._files, *profiles, *arguments],
            timeout_s=_TIMEOUT_S,
            environment=environment,
        )


def _free_ports() -> Mapping[str, int]:
    names = re.findall(r"\$\{(\w+_PORT):-", compose_file.FILE.read_text(encoding="utf-8"))
    return dict(zip(names, free_ports(len(names)), strict=True))
