"""`feast apply`, then the contract: definitions become what Feast serves and what the gateway checks by."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from streamflow_repo import CONTRACT_PATH

from streamflow_offline.errors import JobError
from streamflow_offline.feast_store import FEATURE_REPO, exclusive, job_environment
from streamflow_offline.ingest import create_tables


def apply_definitions(
    *, postgres_url: str, redis_url: str, on_output: Callable[[str], None], contract_path: Path | None = None
) -> str:
    """Run `feast apply` on the feature repository and write contract.json; return the contract's hash.

    Feast is declarative: what the repository no longer defines is removed from the registry. `on_output` gets Feast's
    output line by line. Raises JobError when Feast or the exporter refuses the definitions.
    """
    # Importing Feast takes seconds, which commands that don't use it should not, and nobody should wait for.
    from streamflow_repo.contract import ContractError, export_contract  # noqa: PLC0415

    with exclusive(postgres_url) as connection:
        # Feast checks that the tables of its sources exist.
        create_tables(connection)
        _feast_apply(job_environment(postgres_url=postgres_url, redis_url=redis_url), on_output)
        try:
            # While nobody else applies: registry and contract are of the same definitions.
            contract = export_contract(contract_path or CONTRACT_PATH)
        except ContractError as error:
            raise JobError(f"the definitions are applied, but the gateway can't serve them: {error}") from error
    return str(contract["hash"])


def _feast_apply(environment: dict[str, str], on_output: Callable[[str], None]) -> None:
    command = [str(Path(sys.executable).parent / "feast"), "apply", "--no-progress"]
    with subprocess.Popen(  # noqa: S603  # Feast's own command, from this environment
        command,
        cwd=FEATURE_REPO,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None  # noqa: S101  # by stdout=PIPE
        last = ""
        for line in process.stdout:
            # Python's logging, of Spark's Java connection, goes on after the error.
            last = last if line.startswith("INFO:") else line.strip() or last
            on_output(line.rstrip())
    if process.returncode:
        raise JobError(f"`feast apply` failed: {last}")
