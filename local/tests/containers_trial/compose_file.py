"""What docker-compose.yml has."""

from collections.abc import Mapping
from typing import Any

import yaml
from commands import CHECKOUT

FILE = CHECKOUT / "docker-compose.yml"


def services() -> Mapping[str, Mapping[str, Any]]:
    """Return the services by name."""
    found: Mapping[str, Mapping[str, Any]] = yaml.safe_load(FILE.read_text(encoding="utf-8"))["services"]
    return found


def builds() -> Mapping[str, Mapping[str, Any]]:
    """Return how images of ours are built, by their names."""
    return {service["image"]: service["build"] for service in services().values() if "build" in service}


def profiles() -> list[str]:
    """Return the names of the profiles."""
    return sorted({profile for service in services().values() for profile in service.get("profiles", ())})


def of_profiles(*, jobs: bool) -> list[str]:
    """Return the services that belong to profiles: the jobs, which have no health check, or the others."""
    return [
        name
        for name, service in services().items()
        if service.get("profiles") and bool(service.get("healthcheck", {}).get("disable")) is jobs
    ]
