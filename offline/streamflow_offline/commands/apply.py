"""`offline apply`: from its option to the applied definitions and the printed hash."""

import os
from pathlib import Path
from typing import Annotated

import typer
from streamflow_repo.settings.connections import urls_from_environment

from streamflow_offline.console import out as stdout


def apply(
    *,
    contract: Annotated[
        Path | None,
        typer.Option(
            envvar="STREAMFLOW_CONTRACT", help="Where contract.json is written. Default: in the feature repository."
        ),
    ] = None,
) -> None:
    """Apply the feature definitions with Feast and write contract.json."""
    from streamflow_offline.apply import apply_definitions  # noqa: PLC0415  # commands load what they use

    postgres_url, redis_url = urls_from_environment(os.environ)
    contract_hash = apply_definitions(
        postgres_url=postgres_url,
        redis_url=redis_url,
        on_output=lambda line: stdout.print(line, markup=False),
        contract_path=contract,
    )
    stdout.print(f"contract {contract_hash}")
