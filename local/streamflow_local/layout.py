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
    def secrets(self) -> Path:
        """The passwords of the embedded stores' accounts."""
        return self.state / "secrets"

    @property
    def tls(self) -> Path:
        """The throw-away authority and the gateway's certificate of a secure stack."""
        return self.state / "tls"

    @property
    def ca_file(self) -> Path:
        """The certificate of the authority, for clients."""
        return self.tls / "ca.pem"

    @property
    def certificate(self) -> Path:
        """The gateway's certificate."""
        return self.tls / "gateway.pem"

    @property
    def certificate_key(self) -> Path:
        """The key of the gateway's certificate."""
        return self.tls / "gateway.key"

    @property
    def token(self) -> Path:
        """The token with which callers of a secure stack are let in."""
        return self.secrets / "gateway_token"

    @property
    def tokens(self) -> Path:
        """The gateway's file of names and hashes."""
        return self.secrets / "gateway_tokens"

    @property
    def curl(self) -> Path:
        """The folder of curl's options."""
        return self.secrets / "curl"

    @property
    def valkey_users(self) -> Path:
        """The users of the embedded Valkey, with their rules and the hashes of their passwords."""
        return self.run / "valkey-users.acl"

    @property
    def feature_server_variables(self) -> Path:
        """The connections of the feature servers."""
        return self.run / "feature-server.json"

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
