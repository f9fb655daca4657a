"""Gateways, as they are reached from outside their containers."""

import json
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from streamflow_features import FeatureClient, FeatureServingError

USER_ID = "3413-BMNZE"
_TIMEOUT_S = 3.0
# A feature server that was there before the first `apply` knows the definitions up to a minute after another one, and
# calls go to either.
_IN_A_ROW = 20


@dataclass(frozen=True)
class Gateway:
    """One gateway's ports on loopback."""

    http_port: int
    grpc_port: int

    @property
    def url(self) -> str:
        """Where the user's features are."""
        return f"http://127.0.0.1:{self.http_port}/features/{USER_ID}"

    def ask(self, *, deadline_s: float = _TIMEOUT_S) -> dict[str, Any]:
        """Return the answer for the user, over HTTP; raise OSError, of which HTTPError is one."""
        url = f"{self.url}?timeout_s={deadline_s:g}"
        with urllib.request.urlopen(url, timeout=deadline_s + 1) as response:  # noqa: S310  # http by construction
            body: dict[str, Any] = json.load(response)
            return body

    def answers(self) -> bool:
        """Return whether the user is known, over HTTP, some times in a row."""
        try:
            return all(self.ask().get("user_known") is True for _ in range(_IN_A_ROW))
        except OSError:
            return False

    def answers_grpc(self) -> bool:
        """Return whether the user is known, over gRPC, some times in a row."""
        with client(self) as features:
            try:
                return all(features.get_user_features(USER_ID).user_known for _ in range(_IN_A_ROW))
            except FeatureServingError:
                return False

    def unready(self) -> str:
        """Return why it is not ready, empty if it is; raise OSError."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.http_port}/ready", timeout=_TIMEOUT_S):
                return ""
        except urllib.error.HTTPError as error:
            return error.read().decode()

    def metric(self, name: str) -> float:
        """Return a metric without labels; raise OSError."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.http_port}/metrics", timeout=_TIMEOUT_S) as response:
            lines = response.read().decode().splitlines()
        (found,) = [line for line in lines if line.startswith(f"{name} ")]
        return float(found.split()[1])


def client(*gateways: Gateway) -> FeatureClient:
    """Return a client of all these gateways."""
    return FeatureClient(_target(gateways), timeout_s=_TIMEOUT_S)


def serving(address: str, service: str, *, timeout_s: float) -> bool:
    """Return whether gRPC health says SERVING."""
    with grpc.insecure_channel(address) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        try:
            status = stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=timeout_s).status
        except grpc.RpcError:
            return False
    return bool(status == health_pb2.HealthCheckResponse.SERVING)


def _target(gateways: Sequence[Gateway]) -> str:
    return f"ipv4:{','.join(f'127.0.0.1:{gateway.grpc_port}' for gateway in gateways)}"
