"""The source of a module of typed features."""

from collections.abc import Iterator

from streamflow_features._codegen.contract import ContractFeature, ContractService, ContractServices
from streamflow_features._codegen.dtypes import feature_type, request_type
from streamflow_features._codegen.names import attribute_names, class_names
from streamflow_features._codegen.text import docstring, literal

_INDENT = "    "
_BUILTINS = ("bool", "bytes", "classmethod", "datetime", "float", "int", "str", "tuple")
_IMPORTED = ("ClassVar", "Given", "Self", "Sequence", "TypedFeatures", "TypedService", "TypedUserFeatures", "dataclass")
_MODULE_NAMES = frozenset({*_BUILTINS, *_IMPORTED, "CONTRACT_HASH"})
_MEMBERS = _MODULE_NAMES | {"features", "given", "of", "options"}
_ARGUMENTS = _MODULE_NAMES | {"cls"}


def module_source(contract: ContractServices) -> str:
    """Return the module: a frozen dataclass for each feature service. The same contract gives the same text.

    Raises CodegenError for what can't be written.
    """
    names = class_names([service.name for service in contract.services], reserved=_MODULE_NAMES)
    classes = [_class(service, names[service.name]) for service in contract.services]
    left_out = (
        f"Left out, because several keys name a row: {', '.join(contract.left_out)}." if contract.left_out else ""
    )
    head = [
        docstring(
            "Typed features, which `streamflow-features codegen` wrote from a contract.",
            f"The contract is that of the project {contract.project}. Do not edit this module; write it again when the"
            " contract changes. A field is None when a user has no value: no contract promises one. The status in"
            " `features.statuses` says why.",
            left_out,
        ),
        "",
        "# ruff: noqa",
        "# fmt: off",
        "",
        *_imports("\n".join(classes)),
        f"CONTRACT_HASH = {literal(contract.hash)}",
        '"""The contract that this module was written from. Calls fail at a gateway that has another one."""',
    ]
    return "\n".join([*head, *(f"\n\n{written}" for written in classes)]) + "\n"


def _imports(classes: str) -> Iterator[str]:
    ours = [name for name in ("Given", "TypedFeatures", "TypedService", "TypedUserFeatures") if name in classes]
    if "Sequence[" in classes:
        yield "from collections.abc import Sequence"
    if classes:
        yield "from dataclasses import dataclass"
    if "datetime" in classes:
        yield "from datetime import datetime"
    if "Given(" in classes:
        yield "from typing import ClassVar, Self"
    elif classes:
        yield "from typing import ClassVar"
    if classes:
        yield f"\nfrom streamflow_features import {', '.join(ours)}\n"


def _class(service: ContractService, name: str) -> str:
    fields = attribute_names([feature.name for feature in service.features], reserved=_MEMBERS)
    renamed = {own: name for name, own in fields.items() if own != name}
    lines = [
        "@dataclass(frozen=True, slots=True, kw_only=True)",
        f"class {name}({'TypedFeatures' if service.request_data else 'TypedUserFeatures'}):",
        docstring(*_class_paragraphs(service, name), indent=_INDENT),
    ]
    for feature in service.features:
        lines += [
            "",
            f"{_INDENT}{fields[feature.name]}: {feature_type(feature.dtype)}",
            docstring(*_paragraphs_of(feature), indent=_INDENT),
        ]
    lines += ["", f"{_INDENT}_service: ClassVar[TypedService] = TypedService(", *_service_arguments(service, renamed)]
    lines += [f"{_INDENT})"]
    if service.request_data:
        lines += ["", *_given(service, name)]
    return "\n".join(lines)


def _class_paragraphs(service: ContractService, name: str) -> tuple[str, ...]:
    users = f"User ids are values of {service.join_key}." if service.join_key else ""
    asked = f"{name}.given(…)" if service.request_data else name
    return (
        service.description or f"The features of {service.name}.",
        f"The feature service {service.name}. {users} Ask for it with `client.get({asked}, user_id)`.",
    )


def _paragraphs_of(feature: ContractFeature) -> tuple[str, ...]:
    if feature.on_demand:
        age = "computed at each read"
    else:
        age = "no maximum age" if feature.max_age_s is None else f"maximum age {feature.max_age_s:g} s"
    return feature.description, f"{feature.reference}, {feature.dtype}, {age}."


def _service_arguments(service: ContractService, renamed: dict[str, str]) -> Iterator[str]:
    inner = _INDENT * 2
    yield f"{inner}{literal(service.name)},"
    yield f"{inner}CONTRACT_HASH,"
    if renamed:
        yield f"{inner}renamed={{"
        yield from (f"{inner}{_INDENT}{literal(own)}: {literal(name)}," for own, name in renamed.items())
        yield f"{inner}}},"
    if service.request_data:
        yield f"{inner}request_data=({' '.join(f'{literal(one.name)},' for one in service.request_data)}),"


def _given(service: ContractService, name: str) -> Iterator[str]:
    inner = _INDENT * 2
    arguments = attribute_names([one.name for one in service.request_data], reserved=_ARGUMENTS)
    yield f"{_INDENT}@classmethod"
    yield f"{_INDENT}def given("
    yield f"{inner}cls,"
    yield f"{inner}*,"
    for one in service.request_data:
        yield f"{inner}{arguments[one.name]}: {request_type(one.dtype)},"
    yield f"{_INDENT}) -> Given[Self]:"
    told = [f"{arguments[one.name]}: {one.description} {one.dtype}." for one in service.request_data]
    yield docstring(f"Return {name} with its request data, for `client.get`.", *told, indent=inner)
    yield f"{inner}return Given("
    yield f"{inner}{_INDENT}cls,"
    yield f"{inner}{_INDENT}{{"
    yield from (f"{inner}{_INDENT * 2}{literal(one.name)}: {arguments[one.name]}," for one in service.request_data)
    yield f"{inner}{_INDENT}}},"
    yield f"{inner})"
