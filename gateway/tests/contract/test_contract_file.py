"""A contract is loaded whole, or refused with the reason."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from feature_gateway.contract.content import ContractError
from feature_gateway.contract.file import load_contract
from gateway_fakes import contract_content, with_hash


def _remove(*path: str | int) -> Callable[[dict[str, Any]], None]:
    def edit(content: dict[str, Any]) -> None:
        target: Any = content
        for part in path[:-1]:
            target = target[part]
        del target[path[-1]]

    return edit


def _set(value: Any, *path: str | int) -> Callable[[dict[str, Any]], None]:
    def edit(content: dict[str, Any]) -> None:
        target: Any = content
        for part in path[:-1]:
            target = target[part]
        target[path[-1]] = value

    return edit


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (
            _set(1, "version"),
            "version 1, and this gateway reads version 2; write it again with `offline apply` or `feast-contract ",
        ),
        (_set("Float64", "entities", 0, "dtype"), "the join key of user is Float64; it can be String, Int32, Int64"),
        (_set("[", "entities", 0, "pattern"), "has not the form of a contract"),
        (_set("Array(Int64)", "feature_views", 0, "features", 0, "dtype"), "profile_fv:months_active is Array"),
        (_set("gone", "feature_services", 0, "features", 0, "name"), "churn_v1 has profile_fv:gone, which no view has"),
        (_set([], "feature_services", 0, "features"), "churn_v1 has no features"),
        (_set("soon", "feature_views", 0, "max_age_s"), "has not the form of a contract"),
        (_remove("feature_services"), "KeyError: 'feature_services'"),
        (_remove("entities"), "KeyError: 'entities'"),
        (_remove("feature_views", 0, "max_age_s"), "KeyError: 'max_age_s'"),
    ],
)
def test_a_broken_contract_is_refused(tmp_path: Path, edit: Callable[[dict[str, Any]], None], message: str) -> None:
    content = contract_content()
    edit(content)
    path = tmp_path / "contract.json"
    path.write_text(json.dumps(with_hash(content)))
    with pytest.raises(ContractError) as raised:
        load_contract(path)
    assert message in str(raised.value)
    assert str(path) in str(raised.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [("", "is not JSON"), ("[]", "has not the form"), ("null", "has not the form"), ("{", "is not JSON")],
)
def test_a_file_that_is_no_contract_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "contract.json"
    path.write_text(text)
    with pytest.raises(ContractError, match=message):
        load_contract(path)


def test_an_edited_contract_is_refused(contract_path: Path) -> None:
    contract_path.write_text(contract_path.read_text().replace('"Float64"', '"Float32"'))
    with pytest.raises(ContractError, match="edited by hand or damaged"):
        load_contract(contract_path)


def test_a_missing_contract_says_what_writes_it(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match="`offline apply` and `feast-contract export` write it"):
        load_contract(tmp_path / "contract.json")
