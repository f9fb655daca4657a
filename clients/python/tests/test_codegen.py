"""What `streamflow-features codegen` writes: a module for any contract, in which the contract's texts stay texts."""

import ast
import dataclasses
import inspect
import json
import types
from datetime import datetime
from typing import Any, get_type_hints

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from streamflow_features import TypedFeatures
from streamflow_features._codegen.contract import CodegenError, contract_services
from streamflow_features._codegen.module import module_source
from streamflow_features._codegen.names import attribute_names, class_names

_HASH = "sha256:00"
_SCALARS = {
    "Bool": bool,
    "Int32": int,
    "Int64": int,
    "Float32": float,
    "Float64": float,
    "String": str,
    "Bytes": bytes,
    "UnixTimestamp": datetime,
}
_HOSTILE = 'a """ b \\" c \\\n\r\t\x00 \u202e \U0001f600 {x} %s # noqa\\'
_texts = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)
_names = st.one_of(
    _texts, st.sampled_from(["class", "int", "features", "options", "_x", "__init__", "a-b", "a_b", "1", "ﬁ", "·"])
)


def _contract(
    features: dict[str, str],
    *,
    service: str = "churn_v1",
    request: dict[str, str] | None = None,
    text: str = "",
    **changes: Any,
) -> dict[str, Any]:
    """A contract of one feature service, whose features are computed if there is request data."""
    references = [f"v:{name}" for name in features]
    view = {
        "name": "v",
        "mode": "python",
        "request": [{"name": name, "dtype": dtype} for name, dtype in (request or {}).items()],
    }
    return {
        "version": 2,
        "project": "test",
        "on_demand_feature_views": [view] if request else [],
        "feature_services": [
            {
                "name": service,
                "join_keys": [{"name": "user_id", "entity": "user"}],
                "features": [
                    {"view": "v", "as": "v", "name": name, "dtype": dtype, "max_age_s": None}
                    for name, dtype in features.items()
                ],
            }
        ],
        "descriptions": {"feature_services": {service: text}, "features": dict.fromkeys(references, text)},
        "hash": _HASH,
        **changes,
    }


def _source(contract: dict[str, Any]) -> str:
    return module_source(contract_services(json.dumps(contract).encode()))


def _module(source: str) -> dict[str, Any]:
    module = types.ModuleType("written")
    exec(compile(source, "written.py", "exec"), vars(module))  # noqa: S102  # what an import does
    return vars(module)


def _classes(source: str) -> list[type[TypedFeatures]]:
    return [
        found
        for found in _module(source).values()
        if isinstance(found, type) and issubclass(found, TypedFeatures) and found.__module__ == "written"
    ]


def test_every_type_is_a_python_type_that_can_be_none() -> None:
    dtypes = [*_SCALARS, *(f"List({name})" for name in _SCALARS)]
    (written,) = _classes(_source(_contract({f"f{at}": dtype for at, dtype in enumerate(dtypes)})))
    hints = get_type_hints(written)
    scalars = {name: str(kind | None) for name, kind in _SCALARS.items()}
    # Feast stores a null time in a list.
    lists = {
        f"List({name})": f"tuple[{'datetime.datetime | None' if kind is datetime else kind.__name__}, ...] | None"
        for name, kind in _SCALARS.items()
    }
    assert {dtype: str(hints[f"f{at}"]) for at, dtype in enumerate(dtypes)} == {**scalars, **lists}


def test_the_docstrings_say_what_the_contract_says() -> None:
    contract = _contract({"x": "Int64"}, text="How  many\nthere are.")
    contract["feature_services"][0]["features"][0]["max_age_s"] = 86400.0
    source = _source(contract)
    (written,) = _classes(source)
    assert inspect.getdoc(written) == (
        "How many there are.\n\nThe feature service churn_v1. User ids are values of user_id. Ask for it with\n"
        "`client.get(ChurnV1, user_id)`."
    )
    assert '    """How many there are.\n\n    v:x, Int64, maximum age 86400 s.\n    """' in source
    assert f'CONTRACT_HASH = "{_HASH}"' in source


@given(
    names=st.lists(_names, min_size=1, max_size=5, unique=True),
    request=st.lists(_names, max_size=3, unique=True),
    service=_names,
    text=_texts,
)
@example(names=[_HOSTILE], request=[_HOSTILE], service=_HOSTILE, text=_HOSTILE)
@example(names=["a-b", "a_b", "a b"], request=["a-b", "a_b"], service='")\nimport os', text='"""')
@example(names=["ClassVar", "None", "mro"], request=["cls", "Given"], service="none", text="x")
def test_any_contract_gives_a_module_with_its_names_and_nothing_that_runs(
    names: list[str], request: list[str], service: str, text: str
) -> None:
    contract = _contract(
        dict.fromkeys(names, "Int64"), service=service, request=dict.fromkeys(request, "Float64"), text=text
    )
    source = _source(contract)
    assert source == _source(contract)
    (written,) = _classes(source)
    told = written._service
    own = [field.name for field in dataclasses.fields(written) if field.name != "features"]
    assert [told.renamed.get(name, name) for name in own] == names
    assert (told.name, told.contract_hash, list(told.request_data)) == (service, _HASH, request)
    assert not any(isinstance(node, ast.Call) for node in _run_on_import(source))
    if request:
        asked = written.given(**dict.fromkeys(_arguments(source), 1.5))  # type: ignore[attr-defined]
        assert (asked.features, asked.request_data) == (written, dict.fromkeys(request, 1.5))


def _run_on_import(source: str) -> list[ast.AST]:
    """What an import runs beside the decorators, and what names the feature service."""
    (written,) = [node for node in ast.parse(source).body if isinstance(node, ast.ClassDef)]
    others = [node for node in ast.parse(source).body if not isinstance(node, ast.ClassDef)]
    named = [node for node in written.body if isinstance(node, ast.AnnAssign) and node.value is not None]
    assert [ast.unparse(node.target) for node in named] == ["_service"]
    assert all(isinstance(node, ast.Expr | ast.Import | ast.ImportFrom | ast.Assign) for node in others)
    rest = [node for node in written.body if not isinstance(node, ast.FunctionDef) and node not in named]
    assert all(isinstance(node, ast.Expr | ast.AnnAssign) for node in rest)
    return [inner for node in (*others, *rest) for inner in ast.walk(node)]


def _arguments(source: str) -> list[str]:
    (given_,) = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef)]
    return [argument.arg for argument in given_.args.kwonlyargs]


def test_names_that_would_be_one_in_python_all_get_another() -> None:
    assert class_names(["churn_v1", "churnV1", "other"], reserved=()) == {
        "churn_v1": "ChurnV1_53ae3323",
        "churnV1": "ChurnV1_4fce7819",
        "other": "Other",
    }
    assert attribute_names(["class", "a-b", "x", "2x", "_y"], reserved=("x",)) == {
        "class": "class_",
        "a-b": "a_b",
        "x": "x_",
        "2x": "f_2x",
        "_y": "f__y",
    }


def test_a_service_whose_rows_several_keys_name_is_left_out_by_name() -> None:
    contract = _contract({"x": "Int64"})
    contract["feature_services"][0]["join_keys"].append({"name": "shop_id", "entity": "shop"})
    source = _source(contract)
    assert _classes(source) == []
    assert "Left out, because several keys name a row: churn_v1." in source


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "is not JSON"),
        ("[]", "its version is None"),
        ('{"version": 1}', "its version is 1; write it with `feast-contract export`"),
        ('{"version": 2, "on_demand_feature_views": [{"name": "\\ud800"}]}', "UnicodeEncodeError"),
        ('{"version": 2}', "has not the form of a contract: KeyError: 'on_demand_feature_views'"),
    ],
)
def test_what_is_no_contract_is_refused_with_what_to_do(content: str, said: str) -> None:
    with pytest.raises(CodegenError) as raised:
        contract_services(content.encode())
    assert said in str(raised.value)


def test_a_type_that_is_newer_than_the_client_is_refused() -> None:
    with pytest.raises(CodegenError, match="the type 'Json', which this package does not know; update it"):
        _source(_contract({"x": "Json"}))
