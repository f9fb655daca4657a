"""The accounts of the embedded stores: whose connections a process of the stack gets."""

import os
import secrets
from dataclasses import dataclass

from streamflow_offline.grant.job import Role
from streamflow_repo.settings.feature_server import Routes

from streamflow_local import postgres, valkey
from streamflow_local.config import StackConfig
from streamflow_local.layout import Layout

_REDIS_USERS = {Role.DEFINITIONS: "writer", Role.JOBS: "writer", Role.READER: "reader"}


@dataclass(frozen=True, kw_only=True)
class Connections:
    """The stores, as one account reaches them."""

    postgres_url: str
    redis_url: str


def connections(config: StackConfig, layout: Layout, role: Role) -> Connections:
    """Return the URLs for a role; a store that a URL replaces has the account of that URL for all.

    The first call makes the passwords of the embedded Valkey.
    """
    user = _REDIS_USERS[role]
    return Connections(
        postgres_url=config.external_postgres_url
        or postgres.url(layout.postgres_socket_dir, config.database, user=role.value),
        redis_url=config.external_redis_url
        or f"{valkey.url(config.redis_port, user=user, password=redis_passwords(layout)[user])}"
        f"/{config.redis_database}",
    )


def role_of_feature_servers(config: StackConfig) -> Role:
    """Return READER, or JOBS for servers that are told to have Feast's routes that write."""
    return Role.JOBS if config.feature_server_routes is Routes.ALL else Role.READER


def redis_passwords(layout: Layout) -> dict[str, str]:
    """Return the password of each user of the embedded Valkey; the first call makes them."""
    return {user: _password(layout, f"redis_{user}_password") for user in ("reader", "writer")}


def _password(layout: Layout, name: str) -> str:
    layout.secrets.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = layout.secrets / name
    if not path.exists():
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.write(f"{secrets.token_urlsafe(24)}\n")
    return path.read_text(encoding="utf-8").strip()
