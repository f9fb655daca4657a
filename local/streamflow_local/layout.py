"""Where the stack keeps what."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_CHECKOUT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Layout:
    """The folders and files of one stack."""

    state: Path
    """The folder of all that it writes."""

    @classmethod
    def of_environment(cls, environment: Mapping[str, str]) -> "Layout":
        """Return the layout in STREAMFLOW_STATE, by default `.local/` in the checkout."""
        return cls(Path(environment.get("STREAMFLOW_STATE") or _CHECKOUT / ".local").resolve())

    @property
    def checkout(self) -> Path:
        """The checkout that the stack runs from."""
        return _CHECKOUT

    @property
    def logs(self) -> Path:
        """A file for each process, `PROCESS.log`, and `up.log` for the steps of `make up`."""
        return self.state / "logs"

    @property
    def run(self) -> Path:
        """Sockets, pid files, and what a running stack was started with."""
        return self.state / "run"

    @property
    def postgres_data(self) -> Path:
        """The embedded PostgreSQL's cluster."""
        return self.state / "data" / "postgres"

    @property
    def postgres_socket_dir(self) -> Path:
        """The folder of the embedded PostgreSQL's socket."""
        return self.run / "postgres"

    @property
    def valkey_data(self) -> Path:
        """The embedded Valkey's append-only file."""
        return self.state / "data" / "valkey"

    @property
    def generated_months(self) -> Path:
        """The generated month folders that a first start loads."""
        return self.state / "data" / "months"

    @property
    def environment_file(self) -> Path:
        """For shells: the variables that Feast's and this project's commands read."""
        return self.state / "env"

    @property
    def supervisor_config(self) -> Path:
        """The supervisor's configuration."""
        return self.run / "supervisord.conf"

    @property
    def supervisor_socket(self) -> Path:
        """The supervisor's own socket."""
        return self.run / "supervisor.sock"

    @property
    def up_lock(self) -> Path:
        """Locked while `make up` is at work."""
        return self.run / "up.lock"

    @property
    def started_with(self) -> Path:
        """The configuration that the running stack was started with."""
        return self.run / "stack.json"
