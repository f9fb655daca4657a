"""`offline apply`: from its option to the applied definitions and the printed hash."""

import os
from pathlib import Path
from typing import Annotated

import typer
from streamflow_logs import Event
from streamflow_repo.settings.connections import urls_from_environment

from streamflow_offline.console import show
from streamflow_offline.reported import reported


def apply(
    *,
    contract: Annotated[
        Path | None,
        typer.Option(
            envvar="STREAMFLOW_CONTRACT", help="Where contract.json is written. Default: in the feature repository."
        ),
    ] = None,
    keep_removed: Annotated[
        bool,
        typer.Option(
            "--keep-removed", help="Keep what the registry has and the definitions no longer name: servers may read it."
        ),
    ] = False,
) -> None:
    """Apply the feature definitions with Feast and write contract.json."""
    from streamflow_offline.apply.job import apply_definitions  # noqa: PLC0415  # commands load what they use

    with reported("apply"):
        postgres_url, redis_url = urls_from_environment(os.environ)
        contract_hash = apply_definitions(
            postgres_url=postgres_url,
            redis_url=redis_url,
            on_output=_show_line,
            contract_path=contract,
            keep_removed=keep_removed,
        )
    show(f"contract {contract_hash}", events=[Event("applied", contract=contract_hash)])


def _show_line(line: str) -> None:
    show(line, events=[Event("progress", detail=line)])
