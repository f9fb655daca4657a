"""Requests that are read without protobuf are read as protobuf reads them; all other bytes are read by protobuf."""

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from feast.protos.feast.types.Value_pb2 import Value
from feast_api_fakes import request_of, write_feast_api_contract
from feature_gateway.contract.columns import ColumnKind
from feature_gateway.contract.file import load_contract
from feature_gateway.contract.model import Contract
from feature_gateway.errors import GatewayError
from feature_gateway.grpc_api import feast_forms
from feature_gateway.grpc_api.feast_forms import FeastForms
from feature_gateway.grpc_api.feast_request import FeastQuestion, question_of
from google.protobuf.message import DecodeError
from streamflow.features.feast.serving.ServingService_pb2 import GetOnlineFeaturesRequest

_DRIVERS = [0, 1, 127, 128, 2**63 - 1, -1, -(2**63)]
_SHOPS = [Value(int32_val=number) for number in (0, 1, 2**31 - 1, -1, -(2**31))]
_USERS = ["3413-BMNZE", "", "é" * 30, "x" * 100, "x" * 128]
_TRIPS = ["driver_fv:trips", "driver_fv:rating"]

KNOWN = {
    **{f"service and Int64 {driver}": request_of("drivers_v1", {"driver_id": [driver]}) for driver in _DRIVERS},
    **{f"references and Int64 {driver}": request_of(_TRIPS, {"driver_id": [driver]}) for driver in _DRIVERS},
    **{f"Int32 {shop.int32_val}": request_of(["shop_fv:revenue"], {"shop_id": [shop]}) for shop in _SHOPS},
    **{f"String of {len(user)}, {user[:4]!r}": request_of("churn_v1", {"user_id": [user]}) for user in _USERS},
    "full names": request_of("drivers_v1", {"driver_id": [1]}, full_feature_names=True),
    "full names, String": request_of("churn_v1", {"user_id": ["3413-BMNZE"]}, full_feature_names=True),
}
_OTHERS = [
    request_of("churn_v1", {"user_id": ["x" * 129]}),
    # As if it ended with full_feature_names.
    request_of("churn_v1", {"user_id": ["user \x01"]}),
    request_of("drivers_v1", {"driver_id": [1, 2]}),
    request_of("drivers_v1", {"driver_id": []}),
    request_of("drivers_v1", {"driver_id": ["1"]}),
    request_of("drivers_v1", {"driver_id": [Value()]}),
    request_of("drivers_v1", {"driver_id": [1], "city_code": ["LIS"]}),
    request_of("drivers_v1", {"nope": [1]}),
    request_of("trips_v1", {"driver_id": [1]}, request_context={"km": [1.0]}),
    request_of(["driver_city_fv:trips"], {"driver_id": [1], "city_code": ["LIS"]}),
    request_of("clash_v1", {"driver_id": [1], "city_code": ["LIS"]}),
    request_of("nope", {"driver_id": [1]}),
    request_of("", {"driver_id": [1]}),
    request_of(["nope:x"], {"driver_id": [1]}),
]
_RARE_INT32 = request_of(["shop_fv:revenue"], {"shop_id": [Value(int64_val=1)]})


@pytest.fixture(scope="module")
def contract(tmp_path_factory: pytest.TempPathFactory) -> Contract:
    return load_contract(write_feast_api_contract(tmp_path_factory.mktemp("contract")))


def _outcome(question: Callable[[], FeastQuestion]) -> Any:
    """What a reading gives: all of the question, or the error."""
    try:
        found = question()
    except DecodeError:
        return "malformed"
    except GatewayError as error:
        return error.reason, error.message, error.field, error.metadata
    columns = {name: [*map(repr, values)] for name, values in found.columns.items()}
    names = [column.name for column in found.feature_set.columns if column.kind is ColumnKind.JOIN_KEY]
    keys = {name: found.encoded_key(name) for name in names if name in columns}
    return id(found.feature_set), found.full_names, columns, keys


def _by_protobuf(request: bytes, contract: Contract) -> Any:
    return _outcome(lambda: question_of(GetOnlineFeaturesRequest.FromString(request), contract))


class _NoProtobuf:
    @staticmethod
    def FromString(_: bytes) -> Any:  # noqa: N802  # the method's name in protobuf
        raise AssertionError("read by protobuf")


@pytest.mark.parametrize("name", KNOWN)
def test_a_request_of_a_known_form_is_read_without_protobuf(
    name: str, contract: Contract, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = KNOWN[name].SerializeToString()
    forms = FeastForms()
    first = _outcome(lambda: forms.question(request, contract))
    monkeypatch.setattr(feast_forms, "GetOnlineFeaturesRequest", _NoProtobuf)
    assert _outcome(lambda: forms.question(request, contract)) == first == _by_protobuf(request, contract)


def test_another_contract_has_other_forms(contract: Contract, tmp_path: Path) -> None:
    request = request_of("drivers_v1", {"driver_id": [1]}).SerializeToString()
    forms, other = FeastForms(), load_contract(write_feast_api_contract(tmp_path))
    for by in (contract, other, contract):
        for _ in range(2):
            assert forms.question(request, by).feature_set is by.services["drivers_v1"]


def test_a_selection_that_a_later_field_replaces_is_not_remembered(contract: Contract) -> None:
    one, other = (request_of(name, {"driver_id": [1]}) for name in ("drivers_v1", "trips_v1"))
    replaced = one.SerializeToString() + b"\x0a\x08trips_v1"
    forms = FeastForms()
    for request in (replaced, one.SerializeToString(), other.SerializeToString(), replaced):
        assert _outcome(lambda: forms.question(request, contract)) == _by_protobuf(request, contract)  # noqa: B023


def test_forms_are_bounded(contract: Contract, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feast_forms, "_MAX_FORMS", 2)
    forms = FeastForms()
    for request in [message.SerializeToString() for message in KNOWN.values()] * 2:
        assert _outcome(lambda: forms.question(request, contract)) == _by_protobuf(request, contract)  # noqa: B023
        assert len(forms._forms) <= 2


# full_feature_names in three ways, an unknown field, an empty service, empty references, a column without a name.
_LAST_FIELDS = [b"\x20\x01", b"\x20\x00", b"\x20\x81\x00", b"\x28\x01", b"\x0a\x00", b"\x12\x00", b"\x1a\x00"]


def _damaged(rng: random.Random, requests: list[bytes]) -> Iterator[bytes]:
    """Requests, and what is left of them after changes of some bytes, of a length, of a part or of their ends."""
    chosen, other = rng.choice(requests), rng.choice(requests)
    yield chosen
    at, end = rng.randrange(len(chosen)), rng.randrange(len(chosen) + 1)
    yield chosen[:at] + bytes([rng.randrange(256)]) + chosen[at + 1 :]
    yield chosen[:at] + bytes([chosen[at] ^ 1 << rng.randrange(8)]) + chosen[at + 1 :]
    yield chosen[:at] + rng.randbytes(rng.randrange(4)) + chosen[at:]
    yield chosen[:at] + chosen[at + 1 :]
    yield chosen[:end]
    yield chosen + other
    yield chosen + rng.choice(
        [b"\x20\x01", b"\x20\x00", b"\x20\x81\x00", b"\x28\x01", b"\x0a\x00", b"\x12\x00", b"\x1a\x00"]
    )
    yield chosen[:at] + other[rng.randrange(len(other)) :]
    # A number in more bytes than it needs, and one that is cut to 32 bits.
    yield chosen[:-1] + bytes([chosen[-1] | 0x80, 0])
    yield rng.randbytes(rng.randrange(40))


def test_damaged_and_random_bytes_are_read_as_protobuf_reads_them(contract: Contract) -> None:
    requests = [message.SerializeToString() for message in (*KNOWN.values(), *_OTHERS, _RARE_INT32)]
    rng = random.Random(1)  # noqa: S311  # repeatable, not a secret
    forms = FeastForms()
    for _ in range(3000):
        for request in _damaged(rng, requests):
            read = _outcome(lambda: forms.question(request, contract))  # noqa: B023
            assert read == _by_protobuf(request, contract), request


def test_numbers_that_protobuf_cuts_to_their_type_are_left_to_protobuf(contract: Contract) -> None:
    forms = FeastForms()
    for value in (b"\x01", b"\x81\x80\x80\x80\x10", b"\x81\x00", b"\xff\xff\xff\xff\x0f", b"\x80" * 9 + b"\x01"):
        column = b"\x0a" + bytes([1 + len(value)]) + b"\x18" + value
        entry = b"\x0a\x07shop_id\x12" + bytes([len(column)]) + column
        request = b"\x12\x11\x0a\x0fshop_fv:revenue\x1a" + bytes([len(entry)]) + entry
        assert _by_protobuf(request, contract)[0] == id(forms.question(request, contract).feature_set)
        assert _outcome(lambda: forms.question(request, contract)) == _by_protobuf(request, contract)  # noqa: B023
