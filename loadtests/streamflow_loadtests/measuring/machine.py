"""What a run ran on."""

import os
import platform
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Self

import psutil
from streamflow_local import valkey

_PACKAGES = ("feast", "grpcio", "uvloop", "aiohttp", "feature-gateway")


@dataclass(frozen=True, kw_only=True)
class Machine:
    """A machine, and what is installed."""

    cores: int
    """That this process may use."""

    processor: str
    memory_gb: float

    load_average_1m: float
    """Before the run."""

    system: str
    """Operating system, kernel and architecture."""

    versions: Mapping[str, str]

    at: str
    """When it was looked at, UTC."""

    @classmethod
    def here(cls) -> Self:
        """Return this machine as it is now."""
        return cls(
            cores=len(os.sched_getaffinity(0)),
            processor=_processor(),
            memory_gb=round(psutil.virtual_memory().total / 1e9, 1),
            load_average_1m=round(os.getloadavg()[0], 2),
            system=f"{platform.system()} {platform.release()} {platform.machine()}",
            versions={
                "Python": platform.python_version(),
                "Valkey": valkey.version(),
                **{name: version(name) for name in _PACKAGES},
            },
            at=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        )


def _processor() -> str:
    try:
        found = re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(encoding="utf-8"), re.MULTILINE)
    except OSError:
        found = None
    return found[1] if found else platform.processor() or "an unknown processor"
