"""The Python type of each of Feast's types."""

from collections.abc import Mapping

from streamflow_features._codegen.contract import CodegenError
from streamflow_features._dtypes import element_of

_PYTHON: Mapping[str, str] = {
    "Bool": "bool",
    "Int32": "int",
    "Int64": "int",
    "Float32": "float",
    "Float64": "float",
    "String": "str",
    "Bytes": "bytes",
    "UnixTimestamp": "datetime",
}


def feature_type(dtype: str) -> str:
    """Return the type of a feature's value. Raises CodegenError for a type that is newer than this package."""
    element = element_of(dtype)
    if element is None:
        return f"{_python(dtype)} | None"
    # Feast stores null in a list of times, and in no other.
    optional = " | None" if element == "UnixTimestamp" else ""
    return f"tuple[{_python(element)}{optional}, ...] | None"


def request_type(dtype: str) -> str:
    """Return the type of request data. Raises CodegenError for a type that is newer than this package."""
    element = element_of(dtype)
    return _python(dtype) if element is None else f"Sequence[{_python(element)}]"


def _python(dtype: str) -> str:
    if dtype not in _PYTHON:
        raise CodegenError(f"the contract has the type {dtype!a}, which this package does not know; update it")
    return _PYTHON[dtype]
