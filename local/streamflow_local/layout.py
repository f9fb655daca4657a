"""The folders and files of a stack."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_CHECKOUT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Layout:
    """Where one stack keeps its files."""

    state: Path
    """The folder that contains all files of the stack."""

    @classmethod
    def of_environment(cls, environment: Mapping[str, str]) -> "Layout":
        """Return the layout in STREAMFLOW_STATE; the default is `.local/` in the checkout."""
        return cls(Path(environment.get("STREAMFLOW_STATE") or _CHECKOUT / ".local").resolve())

    @property
    def checkout(self) -> Path:
        """The checkout that the stack runs from."""
        return _CHECKOUT

    @property
    def logs(self) -> Path:
        """`PROCESS.log` of each process, and `up.log` with the details of `make up`."""
        return self.state / "logs"

    @property
    def run(self) -> Path:
        """Sockets, pid files, and the configuration of the running stack."""
        return self.state / "run"

    @property
    def postgres_data(self) -> Path:
        """The data of the embedded PostgreSQL."""
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
        """The generated month folders, which the first start loads."""
        return self.state / "data" / "months"

    @property
    def environment_file(self) -> Path:
        """The connections, as variables for a shell."""
        return self.state / "env"

    @property
    def supervisor_config(self) -> Path:
        """The supervisor's configuration."""
        return self.run / "supervisord.conf"

    @property
    def supervisor_socket(self) -> Path:
        """The supervisor's socket."""
        return self.run / "supervisor.sock"

    @property
    def up_lock(self) -> Path:
        """The file that `make up` locks while it works."""
        return self.run / "up.lock"

    @property
    def started_with(self) -> Path:
        """The configuration that the running stack was started with."""
        return self.run / "stack.json"

    @property
    def repository(self) -> Path:
        """The settings on the stack of another Feast repository, and its contract."""
        return self.state / "repository"

    @property
    def repository_contract(self) -> Path:
        """The contract of another Feast repository."""
        return self.repository / "contract.json"

    @property
    def repository_probe(self) -> Path:
        """What the health checks ask another Feast repository's servers for."""
        return self.repository / "probe.json"

    def log(self, process: str) -> Path:
        """Return the log of a process."""
        return self.logs / f"{process}.log"
