"""Imports what is not installed with the client by default."""

from importlib import import_module
from typing import Any


def extra(module: str, *, name: str) -> Any:
    """Return a module of an extra. Raises ImportError that names the extra."""
    try:
        return import_module(module)
    except ImportError as error:
        message = f"this needs {module}; install it by: pip install 'streamflow-features[{name}]'"
        raise ImportError(message) from error
