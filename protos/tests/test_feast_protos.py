"""Feast's API as we write it is Feast's on the wire, and disturbs no process that has Feast's own."""

import subprocess
import sys
from typing import Any

import pytest
from feast.protos.feast.serving import ServingService_pb2 as feast_serving
from feast.protos.feast.types import Value_pb2 as feast_types
from google.protobuf.json_format import MessageToDict
from streamflow.features.feast.serving import ServingService_pb2 as our_serving
from streamflow.features.feast.types import Value_pb2 as our_types

_FEAST: list[Any] = [feast_serving.DESCRIPTOR, feast_types.DESCRIPTOR]
_OURS: list[Any] = [our_serving.DESCRIPTOR, our_types.DESCRIPTOR]


def _messages(file: Any) -> dict[str, Any]:
    """All messages of a file by their full names, nested ones too."""
    found: dict[str, Any] = {}
    waiting = [*file.message_types_by_name.values()]
    while waiting:
        message = waiting.pop()
        found[message.full_name] = message
        waiting += message.nested_types
    return found


def _wire_form(field: Any) -> tuple[Any, ...]:
    of = field.message_type or field.enum_type
    oneof = field.containing_oneof
    return (
        field.name,
        field.number,
        field.type,
        field.is_repeated,
        field.is_packed,
        of and of.full_name,
        oneof and oneof.name,
    )


def test_files_and_packages_have_feasts_names() -> None:
    assert [(file.name, file.package) for file in _OURS] == [(file.name, file.package) for file in _FEAST]


@pytest.mark.parametrize("position", [0, 1], ids=["serving", "types"])
def test_every_message_field_and_value_is_feasts(position: int) -> None:
    theirs, ours = _messages(_FEAST[position]), _messages(_OURS[position])
    assert ours
    assert ours.keys() <= theirs.keys()
    for name, message in ours.items():
        fields = {_wire_form(field) for field in message.fields}
        assert fields <= {_wire_form(field) for field in theirs[name].fields}, name
    enums = {name: _numbers(enum) for name, enum in _OURS[position].enum_types_by_name.items()}
    assert enums == {name: _numbers(_FEAST[position].enum_types_by_name[name]) for name in enums}


def _numbers(enum: Any) -> dict[str, int]:
    return {value.name: value.number for value in enum.values}


@pytest.mark.parametrize(
    "name", ["feast.serving.GetOnlineFeaturesRequest", "feast.serving.GetOnlineFeaturesResponse", "feast.types.Value"]
)
def test_the_messages_of_a_call_lack_no_field_of_feasts(name: str) -> None:
    """Feast's Value has fields for further types, which the gateway does not serve."""
    for theirs, ours in zip(_FEAST, _OURS, strict=True):
        if name in _messages(ours):
            lacking = {field.number for field in _messages(theirs)[name].fields} - {
                field.number for field in _messages(ours)[name].fields
            }
            assert {number for number in lacking if number < 20 or name != "feast.types.Value"} == set()


def test_the_service_is_feasts() -> None:
    def methods(file: Any) -> list[tuple[str, str, str]]:
        (service,) = file.services_by_name.values()
        return [
            (method.full_name, method.input_type.full_name, method.output_type.full_name) for method in service.methods
        ]

    assert methods(our_serving.DESCRIPTOR) == methods(feast_serving.DESCRIPTOR)


def test_what_one_side_writes_the_other_reads() -> None:
    ours = our_serving.GetOnlineFeaturesResponse()
    ours.metadata.feature_names.val.append("embedding")
    column = ours.results.add(statuses=[our_serving.PRESENT])
    column.values.add().float_list_val.val.extend([0.5, 1.5])
    column.event_timestamps.add(seconds=1709164800, nanos=5000)
    theirs = feast_serving.GetOnlineFeaturesResponse.FromString(ours.SerializeToString())
    assert MessageToDict(theirs) == MessageToDict(ours)
    assert theirs.SerializeToString(deterministic=True) == ours.SerializeToString(deterministic=True)


# Without the rest of Feast, which takes seconds to import.
_FEAST_WITHOUT_INIT = """
import importlib.util, sys
spec = importlib.util.find_spec("feast")
sys.modules["feast"] = importlib.util.module_from_spec(spec)
"""
_FEASTS_FIRST = "from feast.protos.feast.serving import ServingService_pb2, ServingService_pb2_grpc as theirs\n"
_OURS_FIRST = "from streamflow.features.feast.serving import ServingService_pb2, ServingService_pb2_grpc as ours\n"
_BOTH = """
from feast.protos.feast.serving import ServingService_pb2 as theirs
from streamflow.features.feast.serving import ServingService_pb2 as ours
from google.protobuf import descriptor_pool
found = descriptor_pool.Default().FindMessageTypeByName("feast.serving.GetOnlineFeaturesRequest")
assert found is theirs.GetOnlineFeaturesRequest.DESCRIPTOR
request = ours.GetOnlineFeaturesRequest()
request.entities["user_id"].val.add(string_val="u")
request = theirs.GetOnlineFeaturesRequest.FromString(request.SerializeToString())
assert request.entities["user_id"].val[0].string_val == "u"
"""


@pytest.mark.parametrize(
    "imports", [_FEASTS_FIRST + _OURS_FIRST, _OURS_FIRST + _FEASTS_FIRST], ids=["feast's first", "ours first"]
)
def test_both_are_in_one_process_in_either_order(imports: str) -> None:
    command = [sys.executable, "-W", "ignore", "-c", _FEAST_WITHOUT_INIT + imports + _BOTH]
    result = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr


def test_ours_alone_leaves_the_default_pool_without_feasts_names() -> None:
    program = _OURS_FIRST + (
        "from google.protobuf import descriptor_pool\n"
        "try:\n"
        "    descriptor_pool.Default().FindFileByName('feast/serving/ServingService.proto')\n"
        "except KeyError:\n"
        "    print('not there')\n"
    )
    result = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=60)
    assert result.stdout == "not there\n"
