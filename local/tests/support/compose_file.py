"""The content of docker-compose.yml."""

from collections.abc import Mapping
from typing import Any

import yaml
from stack_under_test import CHECKOUT

FILE = CHECKOUT / "docker-compose.yml"


def document() -> dict[str, Any]:
    """Return the whole file."""
    found: dict[str, Any] = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    return found


def services() -> dict[str, dict[str, Any]]:
    """Return the services by name."""
    found: dict[str, dict[str, Any]] = document()["services"]
    return found


def is_job(service: Mapping[str, Any]) -> bool:
    """Return whether a service ends by itself; a job has no health check."""
    return bool(service.get("healthcheck", {}).get("disable"))


def builds() -> Mapping[str, Mapping[str, Any]]:
    """Return the build sections of our images, by image name."""
    return {service["image"]: service["build"] for service in services().values() if "build" in service}


def profiles() -> list[str]:
    """Return the names of the profiles."""
    return sorted({profile for service in services().values() for profile in service.get("profiles", ())})


def of_profiles(*, jobs: bool) -> list[str]:
    """Return the services of profiles: the jobs, which have no health check, or the others."""
    return [name for name, service in services().items() if service.get("profiles") and is_job(service) is jobs]
