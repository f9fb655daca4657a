"""`python local/tests/containers_trial`: build the images, bring docker-compose.yml up with podman, see what holds.

CI has no containers, so a person runs it, where podman and podman-compose are. Every service is started by itself,
since podman 4 does not wait for health. Containers, volumes and ports are the trial's own; exit code 1 if anything does
not hold.
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

import yaml
from driver import CHECKOUT, PROJECT, Trial, run
from parts import PARTS
from streamflow_local import ports

_BASE = "docker.io/library/python:3.12-slim-bookworm"
_GATEWAY_MAX_MB = 150
_BUILD_TIMEOUT_S = 3600
_IMAGES = {
    "streamflow/gateway:0.1.0": ("-f", "gateway/Dockerfile"),
    "streamflow/feast:0.1.0": ("-f", "feature_repo/Dockerfile"),
    "streamflow/feast-prefect:0.1.0": ("-f", "feature_repo/Dockerfile", "--build-arg", "EXTRA=prefect"),
}
_STORES = {
    "postgres": ("docker.io/library/postgres:17-bookworm", "/var/lib/postgresql/data", "/run/postgresql"),
    "redis": ("docker.io/library/redis:8-bookworm", "/data", "/run/redis"),
}
_PUBLIC_USER = 999


def _build(trial: Trial, base: str) -> None:
    for image, arguments in _IMAGES.items():
        started = time.monotonic()
        trial.podman(
            *("build", "--format", "docker", "--build-arg", f"BASE_IMAGE={base}", *arguments, "-t", image, "."),
            timeout_s=_BUILD_TIMEOUT_S,
        )
        over_mb = (_bytes(trial, image) - _bytes(trial, base)) / 1e6
        trial.check(
            f"{image} is built",
            holds=over_mb < _GATEWAY_MAX_MB or "gateway" not in image,
            saw=f"{over_mb:.0f} MB over its base, in {time.monotonic() - started:.0f} s",
        )
        history = trial.podman("history", "--no-trunc", image)
        trial.check("no package index is in its history", holds="INDEX" not in history)


def _bytes(trial: Trial, image: str) -> int:
    return int(trial.podman("image", "inspect", "--format", "{{.Size}}", image))


def _stand_ins(trial: Trial, folder: Path) -> list[str]:
    """Return compose arguments that make stand-ins for the stores' images more like those: user, locale, folders."""
    services = {}
    for store, (image, data, sockets) in _STORES.items():
        if trial.podman("run", "--rm", "--entrypoint", "id", image, "-u", store) == str(_PUBLIC_USER):
            continue
        steps = (
            f"groupmod --gid {_PUBLIC_USER} {store}",
            f"usermod --uid {_PUBLIC_USER} --gid {_PUBLIC_USER} {store}",
            f"mkdir -p {data} {sockets}",
            f"chmod 1777 {sockets}",
            f"chown {_PUBLIC_USER}:{_PUBLIC_USER} {data}",
        )
        (folder / "Dockerfile").write_text(
            f"FROM {image}\nENV LANG=C.UTF-8\nRUN {' && '.join(steps)}\n", encoding="utf-8"
        )
        services[store] = {"image": f"localhost/{PROJECT}/{store}:{_PUBLIC_USER}"}
        trial.podman("build", "--format", "docker", "-t", services[store]["image"], str(folder))
    if not services:
        return []
    trial.say(f"        {' and '.join(services)} are stand-ins")
    path = folder / "stand-ins.yml"
    path.write_text(yaml.safe_dump({"services": services}), encoding="utf-8")
    return ["-f", str(path)]


def _free_ports() -> dict[str, int]:
    first = ports.free_ports_in_a_row(2)
    names = ("GATEWAY_HTTP_PORT", "GATEWAY_GRPC_PORT", "FEAST_UI_PORT", "PREFECT_PORT")
    others = [port for port in ports.free_ports(len(names) + 2) if port not in {first, first + 1}]
    return {
        **dict(zip(names, others, strict=False)),
        "FEATURE_SERVER_PORT": first,
        "FEATURE_SERVER_2_PORT": first + 1,
    }


def main() -> int:
    """Run the trial; return the exit code."""
    parser = argparse.ArgumentParser(prog="python local/tests/containers_trial", description=__doc__)
    parser.add_argument("--podman", default="podman", help="the command; default: %(default)s")
    parser.add_argument("--podman-compose", default="podman-compose", help="the command; default: %(default)s")
    parser.add_argument("--base-image", default=_BASE, help="default: %(default)s")
    parser.add_argument("--no-build", action="store_true", help="the images are there")
    parser.add_argument("--keep", action="store_true", help="leave containers and volumes as they are at the end")
    options = parser.parse_args()
    run(["make", "-s", "secrets"], timeout_s=60)
    chosen = _free_ports()
    trial = Trial(
        podman_command=[options.podman],
        compose_command=[],
        environment={**os.environ, **{name: str(port) for name, port in chosen.items()}},
        url=f"http://127.0.0.1:{chosen['GATEWAY_HTTP_PORT']}/features/3413-BMNZE",
    )
    with tempfile.TemporaryDirectory() as folder:
        trial.compose_command = [
            *(options.podman_compose, "--podman-path", options.podman, "--in-pod", "false", "-p", PROJECT),
            # As with Docker, a read-only container has only the tmpfs that it asks for.
            "--podman-run-args=--read-only-tmpfs=false",
            *("-f", str(CHECKOUT / "docker-compose.yml"), *_stand_ins(trial, Path(folder))),
        ]
        if not options.no_build:
            _build(trial, options.base_image)
        trial.down()
        try:
            for part in PARTS:
                part(trial)
        finally:
            if not options.keep:
                trial.down()
    trial.say(f"\n{len(trial.failed)} do not hold" if trial.failed else "\nall hold")
    return 1 if trial.failed else 0


if __name__ == "__main__":
    sys.exit(main())
