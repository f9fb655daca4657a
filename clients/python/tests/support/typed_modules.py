"""Modules of typed features, written by the command and imported."""

import importlib.util
from pathlib import Path
from typing import Any

from streamflow_features._command.main import main


def typed_module(contract: Path) -> Any:
    """The module that `streamflow-features codegen` writes of a contract, imported."""
    out = contract.with_suffix(".py")
    assert main(["codegen", str(contract), "--out", str(out)]) == 0
    spec = importlib.util.spec_from_file_location("typed_of_test", out)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
