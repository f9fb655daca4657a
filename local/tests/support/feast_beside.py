"""The gateway beside Feast's own Python SDK and `feast listen`, on one repository: the same request to each."""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import grpc
from any_gateway import gateway_before
from any_repo import SQLITE_OF_THREADS, AnyRepo
from feast.protos.feast.serving.GrpcServer_pb2_grpc import GrpcFeatureServerStub
from feast.protos.feast.serving.ServingService_pb2 import GetOnlineFeaturesRequest, GetOnlineFeaturesResponse
from feast.protos.feast.serving.ServingService_pb2_grpc import ServingServiceStub
from feast.protos.feast.types.Value_pb2 import Value
from feast_contract import read_contract
from stack_under_test import BIN
from streamflow_local import ports
from streamflow_local.process import ProcessSpec
from streamflow_local.testing import running, wait_for_port

_TIMEOUT_S = 20
_FIELDS = {
    "Bool": "bool_val",
    "Int32": "int32_val",
    "Int64": "int64_val",
    "Float32": "float_val",
    "Float64": "double_val",
    "String": "string_val",
}

Selection = str | tuple[str, ...]
"""A feature service's name, or feature references."""


@dataclass(frozen=True)
class Column:
    """A column of an answer."""

    name: str
    values: list[Any]
    statuses: list[int]
    stamps_ns: list[int]


@dataclass(frozen=True)
class Question:
    """What is asked of each."""

    selection: Selection
    columns: Mapping[str, Sequence[Any]]
    """Join keys and request data, by name."""
    full_feature_names: bool = False

    def message(self, dtypes: Mapping[str, str]) -> GetOnlineFeaturesRequest:
        """Return the request, with values in the fields of their columns' types."""
        request = GetOnlineFeaturesRequest(full_feature_names=self.full_feature_names)
        if isinstance(self.selection, str):
            request.feature_service = self.selection
        else:
            request.features.val.extend(self.selection)
        for name, values in self.columns.items():
            for value in values:
                setattr(request.entities[name].val.add(), _FIELDS[dtypes[name]], value)
        return request


@dataclass(frozen=True)
class Beside:
    """A repository, served by Feast and by the gateway."""

    repo: AnyRepo = field(repr=False)
    contract: Mapping[str, Any] = field(repr=False)
    gateway: Any
    listen: Any
    target: str
    """The gateway's gRPC address."""

    @cached_property
    def _dtypes(self) -> dict[str, str]:
        keys = {entity["name"]: entity["dtype"] for entity in self.contract["entities"]}
        services = self.contract["feature_services"]
        views = self.contract["on_demand_feature_views"]
        return (
            {entity["join_key"]: entity["dtype"] for entity in self.contract["entities"]}
            | {key["name"]: keys[key["entity"]] for service in services for key in service["join_keys"]}
            | {part["name"]: part["dtype"] for view in views for part in view["request"]}
        )

    def ask_gateway(self, question: Question) -> list[Column]:
        """Return the gateway's answer; raise grpc.RpcError."""
        return _columns(self.gateway.GetOnlineFeatures(question.message(self._dtypes), timeout=_TIMEOUT_S))

    def ask_listen(self, question: Question) -> list[Column]:
        """Return the answer of `feast listen`; raise grpc.RpcError."""
        return _columns(self.listen.GetOnlineFeatures(question.message(self._dtypes), timeout=_TIMEOUT_S))

    def ask_sdk(self, question: Question) -> list[Column]:
        """Return the answer of Feast's Python SDK; raise what it raises."""
        return _columns(self.ask_as_code(self.repo.store, question).proto)

    def ask_as_code(self, store: Any, question: Question) -> Any:
        """Return what the code of a user of Feast's SDK gets of a store: Feast's, or one that takes its place."""
        selection = question.selection
        features = self.repo.store.get_feature_service(selection) if isinstance(selection, str) else [*selection]
        entities = {name: [*values] for name, values in question.columns.items()}
        return store.get_online_features(features, entities, full_feature_names=question.full_feature_names)


@contextmanager
def served_beside(repo: AnyRepo, *, feature_server_url: str, folder: Path) -> Iterator[Beside]:
    """Run `feast listen`, and a gateway before a feature server, for the length of a block."""
    contract, port, log = repo.folder / "contract.json", ports.free_port(), folder / "feast-listen.log"
    listen = ProcessSpec(
        name="feast-listen",
        command=(str(BIN / "feast"), "listen", "-a", f"127.0.0.1:{port}", "-w", "2"),
        directory=repo.folder,
        # Leaves out run-time checks of arguments, which take half of the start.
        environment={**SQLITE_OF_THREADS, "PYTHONOPTIMIZE": "1"},
    )
    with (
        running(listen, log=log),
        gateway_before(feature_server_url, contract=contract, logs=folder, GATEWAY_DRAIN_PAUSE_S="0") as gateway,
        grpc.insecure_channel(gateway.target) as to_gateway,
        grpc.insecure_channel(f"127.0.0.1:{port}") as to_listen,
    ):
        wait_for_port(port, log=log, timeout_s=150)
        gateway_stub = ServingServiceStub(to_gateway)  # type: ignore[no-untyped-call]
        listen_stub = GrpcFeatureServerStub(to_listen)  # type: ignore[no-untyped-call]
        yield Beside(repo, read_contract(contract), gateway_stub, listen_stub, gateway.target)


def _columns(answer: GetOnlineFeaturesResponse) -> list[Column]:
    return [
        Column(
            name,
            [_comparable(value) for value in result.values],
            [*result.statuses],
            [stamp.seconds * 1_000_000_000 + stamp.nanos for stamp in result.event_timestamps],
        )
        for name, result in zip(answer.metadata.feature_names.val, answer.results, strict=True)
    ]


def _comparable(value: Value) -> Any:
    """Return a value with its field, and NaN as something that equals itself; None for null."""
    kind = value.WhichOneof("val")
    # Feast's null timestamp is NumPy's NaT.
    if kind in {None, "null_val"} or (kind == "unix_timestamp_val" and value.unix_timestamp_val == -(2**63)):
        return None
    content = getattr(value, kind)
    elements = [*content.val] if hasattr(content, "val") else [content]
    return kind, ["NaN" if isinstance(one, float) and math.isnan(one) else one for one in elements]
