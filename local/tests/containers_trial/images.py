"""Our images, which are built, and replacements for store images that are not the public ones."""

import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from compose_file import builds
from trial import PROJECT, Trial

_GATEWAY_MAX_MB = 150
_BUILD_TIMEOUT_S = 3600
_STORES = {
    "postgres": ("docker.io/library/postgres:17-bookworm", "/var/lib/postgresql/data", "/run/postgresql"),
    "redis": ("docker.io/library/redis:8-bookworm", "/data", "/run/redis"),
}
_PUBLIC_USER = 999


def build(trial: Trial, base: str) -> None:
    """Build our images, and check their size and history."""
    trial.say("\nthe images")
    for image, how in builds().items():
        started = time.monotonic()
        arguments = {"BASE_IMAGE": base, **how.get("args", {})}
        trial.podman(
            *("build", "--format", "docker", "-f", how["dockerfile"], "-t", image),
            *(f"--build-arg={name}={value}" for name, value in arguments.items()),
            how["context"],
            timeout_s=_BUILD_TIMEOUT_S,
        )
        trial.check(f"{image} is built", holds=True, saw=f"{time.monotonic() - started:.0f} s")
    for image in builds():
        over_mb = (_bytes(trial, image) - _bytes(trial, base)) / 1e6
        if "gateway" in image:
            sentence = f"{image} is less than {_GATEWAY_MAX_MB} MB over its base"
            trial.check(sentence, holds=over_mb < _GATEWAY_MAX_MB, saw=f"{over_mb:.0f} MB")
        else:
            trial.say(f"        {image} is {over_mb:.0f} MB over its base")
        history = trial.podman("history", "--no-trunc", image)
        trial.check(f"no package index is in the history of {image}", holds="INDEX" not in history)


def stand_ins(trial: Trial) -> Mapping[str, str]:
    """Return replacements for the store images that lack the public images' user; add user, locale and folders."""
    found = {}
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
        found[image] = f"localhost/{PROJECT}/{store}:{_PUBLIC_USER}"
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "Dockerfile").write_text(
                f"FROM {image}\nENV LANG=C.UTF-8\nRUN {' && '.join(steps)}\n", encoding="utf-8"
            )
            trial.podman("build", "--format", "docker", "-t", found[image], folder)
    if found:
        trial.say(f"\n        not the public image, but a stand-in: {', '.join(found)}")
    return found


def _bytes(trial: Trial, image: str) -> int:
    return int(trial.podman("image", "inspect", "--format", "{{.Size}}", image))
