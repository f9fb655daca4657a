"""`feast apply`, then the contract: definitions become what Feast serves and what the gateway checks by."""

import io
import warnings
from collections.abc import Callable, Iterator
from contextlib import chdir, contextmanager, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING

from streamflow_repo import CONTRACT_PATH
from streamflow_repo.settings.spark import offline_store_environment

from streamflow_offline.errors import JobError
from streamflow_offline.feast_store import FEATURE_REPO, environment_of, exclusive, open_store
from streamflow_offline.ingest.schema import create_tables
from streamflow_offline.steps import step

if TYPE_CHECKING:
    from feast import FeatureStore


def apply_definitions(
    *,
    postgres_url: str,
    redis_url: str,
    on_output: Callable[[str], None],
    contract_path: Path | None = None,
    keep_removed: bool = False,
) -> str:
    """Apply the feature repository as `feast apply` does and write contract.json; return the contract's hash.

    Feast is declarative: what the repository no longer defines is removed from the registry, unless `keep_removed`.
    `on_output` gets Feast's output line by line. Raises JobError when Feast or the exporter refuses the definitions.
    """
    # Importing Feast takes seconds, which commands that don't use it should not, and nobody should wait for.
    from feast_contract import ContractError, write_contract  # noqa: PLC0415

    from streamflow_offline.applied_contract import applied_contract  # noqa: PLC0415

    with (
        exclusive(postgres_url) as connection,
        open_store(postgres_url=postgres_url, redis_url=redis_url) as store,
    ):
        # Feast checks that the tables of its sources exist.
        create_tables(connection)
        with step("apply"), environment_of(offline_store_environment()):
            _apply(store, on_output, keep_removed=keep_removed)
        try:
            # While nobody else applies: registry and contract are of the same definitions.
            with step("export contract"):
                contract = applied_contract(store)
                write_contract(contract, contract_path or CONTRACT_PATH)
        except ContractError as error:
            raise JobError(f"the definitions are applied, but the gateway has no contract of them: {error}") from error
    return str(contract["hash"])


@contextmanager
def on_demand_views_unwarned() -> Iterator[None]:
    """Keep Feast from warning at every apply that on-demand feature views are slow in its own offline retrieval."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "On demand feature view is an experimental feature", RuntimeWarning)
        yield


def _apply(store: "FeatureStore", on_output: Callable[[str], None], *, keep_removed: bool) -> None:
    """Apply the definitions in this process: the command would import Feast a second time, which takes seconds."""
    from feast import Project  # noqa: PLC0415
    from feast.repo_operations import apply_total_with_repo_instance, parse_repo  # noqa: PLC0415

    from streamflow_offline.apply import kept  # noqa: PLC0415

    output = io.StringIO()
    try:
        # Feast names the modules of the definitions by their paths from the working directory.
        with chdir(FEATURE_REPO), redirect_stdout(output), on_demand_views_unwarned():
            definitions = parse_repo(FEATURE_REPO)
            definitions.projects.append(Project(name=store.project))
            if keep_removed:
                for line in kept.keep_removed(definitions, store):
                    on_output(line)
            apply_total_with_repo_instance(
                store, store.project, store.registry, definitions, skip_source_validation=False
            )
    except Exception as error:
        raise JobError(f"Feast can't apply the definitions: {type(error).__name__}: {error}") from error
    finally:
        for line in output.getvalue().splitlines():
            on_output(line)
