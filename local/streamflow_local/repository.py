"""Another Feast repository on the stack, with the stack's registry and online store instead of the repository's own.

The repository's own are neither read nor written: `feast apply` deletes what a folder does not define, and a registry
may have the definitions of several folders.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

import yaml
from streamflow_offline.feast_store import exclusive, job_environment
from streamflow_offline.grant.job import Role
from streamflow_repo.settings.redis_url import open_redis

from streamflow_local.accounts import connections
from streamflow_local.config import ConfigError, StackConfig
from streamflow_local.layout import Layout
from streamflow_local.probe import Probe, StoredRow
from streamflow_local.process import inheritable
from streamflow_local.steps import StepError, Steps

_BIN = Path(sys.executable).parent
_FILE = "feature_store.yaml"

# Each variable is a quoted YAML scalar (streamflow_repo/settings/connections.py). The values are those of
# feature_repo/feature_store.yaml, which gives the reasons.
_OF_THE_STACK: Mapping[str, object] = {
    "registry": {
        "registry_type": "sql",
        "path": "${FEAST_REGISTRY_URL}",
        "cache_mode": "sync",
        "cache_ttl_seconds": 0,
        "serve_features_while_materializing": True,
        "sqlalchemy_config_kwargs": {"echo": False, "pool_pre_ping": True},
    },
    "online_store": {
        "type": "${FEAST_ONLINE_STORE}",
        "redis_type": "${FEAST_REDIS_TYPE}",
        "connection_string": "${FEAST_REDIS_CONNECTION}",
        "full_scan_for_deletion": False,
    },
    "auth": {"type": "no_auth"},
}
# Feast's own metrics would take the gateway's port.
_LEFT_OUT = ("feature_server",)

_LOOKED_AT_KEYS = 1000
_TIME_OF_VIEW = b"_ts:"
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def settings_on_the_stack(folder: Path) -> dict[str, Any]:
    """Return a repository's feature_store.yaml with the stack's registry and online store; raise ConfigError."""
    file = folder / _FILE
    if not file.is_file():
        raise ConfigError(f"FEATURE_REPO: {folder} has no {_FILE}; name the folder in which you run `feast apply`")
    try:
        # As Feast does.
        settings = yaml.safe_load(os.path.expandvars(file.read_text(encoding="utf-8")))
        kept = {name: value for name, value in settings.items() if name not in _LEFT_OUT}
    except (AttributeError, OSError, ValueError, yaml.YAMLError) as error:
        # What YAML says of a bad file quotes it, with the passwords in it.
        raise ConfigError(f"FEATURE_REPO: {file} can't be read ({type(error).__name__})") from None
    return {**kept, **_OF_THE_STACK}


def repository_environment(folder: str, layout: Layout) -> dict[str, str]:
    """Return the variables by which Feast's commands find the repository, and its settings on the stack."""
    return {"FEAST_FS_YAML_FILE_PATH": str(layout.repository / _FILE), "FEATURE_REPO_DIR_ENV_VAR": folder}


class Repository:
    """A Feast repository that a stack serves."""

    def __init__(self, config: StackConfig, layout: Layout, steps: Steps) -> None:
        """Create the repository of `config.feature_repo`; raise ConfigError if its feature_store.yaml can't be used."""
        self._folder = Path(config.feature_repo or ".")
        self._settings = settings_on_the_stack(self._folder)
        self._config = config
        self._layout = layout
        self._steps = steps

    def load(self, *, on_applied: Callable[[], None]) -> None:
        """Apply the definitions, write the contract, and load what is new in the offline store into the online store.

        `on_applied` is called when the registry has the definitions. Raises StepError.
        """
        with self._steps.step(f"applying {self._folder} to the stack's registry"):
            self._write_settings()
            self._run(Role.DEFINITIONS, "feast", "apply", "--no-progress")
        with self._steps.step("writing the contract"):
            export = ("export", "--repo", str(self._layout.repository), "--out", str(self._layout.repository_contract))
            for line in self._run(Role.JOBS, "feast-contract", *export):
                self._steps.progress(line)
            contract = json.loads(self._layout.repository_contract.read_text(encoding="utf-8"))
            # The health checks of the feature servers ask for a row that need not exist.
            Probe.choose(contract, ()).save(self._layout.repository_probe)
        on_applied()
        with self._steps.step("materializing what is new in the offline store"):
            until = datetime.now(UTC).replace(tzinfo=None).isoformat(timespec="seconds")
            self._run(Role.JOBS, "feast", "materialize-incremental", until)
            Probe.choose(contract, self._stored_rows()).save(self._layout.repository_probe)

    def _write_settings(self) -> None:
        self._layout.repository.mkdir(parents=True, exist_ok=True)
        settings = self._layout.repository / _FILE
        # May have passwords of the offline store.
        settings.touch(mode=0o600)
        settings.write_text(yaml.safe_dump(self._settings, sort_keys=False), encoding="utf-8")

    def _stored_rows(self) -> Iterator[StoredRow]:
        """Yield some rows of the online store."""
        # Importing Feast takes seconds.
        from feast.infra.key_encoding_utils import deserialize_entity_key  # noqa: PLC0415

        project = str(self._settings["project"]).encode()
        with open_redis(connections(self._config, self._layout, Role.JOBS).redis_url, timeout_s=5) as client:
            for stored in islice(client.scan_iter(count=_LOOKED_AT_KEYS), _LOOKED_AT_KEYS):
                if stored.endswith(project):
                    key = deserialize_entity_key(stored.removesuffix(project), 3)
                    fields = [value.WhichOneof("val") for value in key.entity_values]
                    values = [getattr(value, field) for value, field in zip(key.entity_values, fields, strict=True)]
                    # Each view that has a row has a field for its time.
                    times = [name for name in client.hkeys(stored) if name.startswith(_TIME_OF_VIEW)]
                    yield StoredRow(
                        dict(zip(key.join_keys, zip(fields, values, strict=True), strict=True)),
                        frozenset(name.removeprefix(_TIME_OF_VIEW).decode() for name in times),
                    )

    def _run(self, role: Role, program: str, *arguments: str) -> list[str]:
        """Run a command of this environment in the repository with the connections of a role.

        Returns its lines, or raises StepError with the last.
        """
        urls = connections(self._config, self._layout, role)
        environment = {
            **inheritable(os.environ),
            **job_environment(postgres_url=urls.postgres_url, redis_url=urls.redis_url),
            **repository_environment(str(self._folder), self._layout),
        }
        lines = []
        with (
            exclusive(urls.postgres_url),
            subprocess.Popen(  # noqa: S603  # a command of this environment
                [str(_BIN / program), *arguments],
                cwd=self._folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            ) as process,
        ):
            assert process.stdout is not None  # noqa: S101  # a pipe was asked for
            for printed in process.stdout:
                line = _COLOUR.sub("", printed.rstrip())
                self._steps.detail(line)
                lines.append(line)
        if process.returncode:
            last = next((line for line in reversed(lines) if line), f"exit code {process.returncode}")
            raise StepError(f"`{program} {arguments[0]}` failed in {self._folder}:\n{last}\nlog: {self._steps.log}")
        return lines
