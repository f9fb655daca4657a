"""`offline grant`."""

import os

from streamflow_repo.settings.connections import urls_from_environment
from streamflow_repo.settings.password_file import read_password

from streamflow_offline.console import tell


def grant() -> None:
    """Create PostgreSQL's roles for the definitions, the jobs and the feature servers, and give each its rights.

    POSTGRES_URL names a superuser. The roles' passwords are in the files of POSTGRES_DEFINITIONS_PASSWORD_FILE,
    POSTGRES_JOBS_PASSWORD_FILE and POSTGRES_READER_PASSWORD_FILE; a role whose variable is not set keeps its password.
    """
    from streamflow_offline.grant.job import Role, grant_roles  # noqa: PLC0415  # commands load what they use

    postgres_url, _ = urls_from_environment({**os.environ, "REDIS_URL": "redis://unused", "REDIS_PASSWORD_FILE": ""})
    variables = {role: f"POSTGRES_{role.name}_PASSWORD_FILE" for role in Role}
    passwords = {
        role: read_password(os.environ[name], name) for role, name in variables.items() if os.environ.get(name)
    }
    grant_roles(postgres_url, passwords=passwords)
    tell(f"granted: {', '.join(Role)}; with new passwords: {', '.join(passwords) or 'none'}")
