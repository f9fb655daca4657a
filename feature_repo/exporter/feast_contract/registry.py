"""Reads what is applied in the registry that a repository's feature_store.yaml names."""

import re
import sys
import warnings
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from pathlib import Path
from typing import Any

from feast import FeatureStore
from feast.infra.registry.registry import get_registry_store_class_from_scheme, get_registry_store_class_from_type
from feast.infra.registry.sql import FeastRegistrySchemaError, SqlRegistry, SqlRegistryConfig
from feast.repo_config import RegistryConfig, load_repo_config

from feast_contract.definitions import Definitions
from feast_contract.errors import ContractError
from feast_contract.messages import definitions_in
from feast_contract.secrets import explained

_FILE = "feature_store.yaml"
_VARIABLE = re.compile(r"\$\{?([A-Za-z_][A-Za-z0-9_]*)\}?")


def read_definitions(repo: Path) -> Definitions:
    """Return what is applied in the project and the registry that the feature_store.yaml in `repo` names.

    The registry is read and not changed, and no function of a definition is loaded or run. Raises ContractError if
    there is no feature_store.yaml, the registry can't be read, or nothing is applied.
    """
    if not (repo / _FILE).is_file():
        raise ContractError(f"{repo} has no {_FILE}; name the folder in which you run `feast apply`")
    config = _config(repo)
    nothing = ContractError(f"nothing of the project {config.project} is applied; run `feast apply` in {repo}")
    with _at(repo):
        try:
            message = _message(config, repo)
        except (FileNotFoundError, FeastRegistrySchemaError) as error:
            raise nothing from error
        except Exception as error:
            raise ContractError(
                f"the registry of {repo / _FILE} can't be read: {explained(error, _registry_path(config))}; "
                "check `registry` there, its variables, and that it can be reached from here"
            ) from error
    definitions = definitions_in(message, project=config.project)
    if definitions.empty:
        raise nothing
    return definitions


def _config(repo: Path) -> Any:
    try:
        config = load_repo_config(repo, repo / _FILE)
        path = _registry_path(config)
    except Exception as error:
        # What Feast and YAML say of a bad file quotes it, with the passwords in it.
        raise ContractError(
            f"Feast can't read {repo / _FILE}: {type(error).__name__}; `feast configuration` in that folder says why"
        ) from error
    # Within a URL it may be a part of a password.
    unset = _VARIABLE.fullmatch(path)
    if unset:
        raise ContractError(f"{repo / _FILE} names the variable {unset[1]}, which is not set; set it")
    return config


def _registry_path(config: Any) -> str:
    return str(getattr(config.registry, "path", ""))


def _message(config: Any, repo: Path) -> Any:
    registry = config.registry
    if type(registry) is RegistryConfig:
        # Feast's own reader of registries in files writes an empty one where there is none.
        store_type = registry.registry_store_type
        kind = (
            get_registry_store_class_from_type(str(store_type))
            if store_type
            else get_registry_store_class_from_scheme(registry.path)
        )
        return kind(registry, repo).get_registry_proto()
    if isinstance(registry, SqlRegistryConfig):
        # Otherwise Feast creates its tables in a database that has none.
        registry.schema_mode = "verify"
    opened = FeatureStore(config=config).registry
    try:
        return opened.proto()
    finally:
        # Feast has no call that closes it.
        if isinstance(opened, SqlRegistry):
            opened.write_engine.dispose()
            opened.read_engine.dispose()


@contextmanager
def _at(repo: Path) -> Iterator[None]:
    """Be where `feast apply` runs: relative paths start there, and classes of the repository are found."""
    before = [*sys.path]
    sys.path.append(str(repo))
    try:
        with chdir(repo), warnings.catch_warnings():
            # They are about the definitions, and `feast apply` has said them.
            warnings.simplefilter("ignore")
            yield
    finally:
        sys.path[:] = before
