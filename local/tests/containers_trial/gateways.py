"""Calls to gateways from outside their containers."""

import json
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any

from streamflow_features import FeatureClient, FeatureServingError

USER_ID = "3413-BMNZE"
_TIMEOUT_S = 3.0
# Feature servers learn of the first `apply` within a minute, but not at the same time, and calls go to all of them.
_IN_A_ROW = 20


@dataclass(frozen=True)
class Gateway:
    """One gateway's ports on loopback."""

    http_port: int
    grpc_port: int
    admin_port: int

    @property
    def url(self) -> str:
        """The URL of the user's features."""
        return f"http://127.0.0.1:{self.http_port}/features/{USER_ID}"

    def ask(self, *, deadline_s: float = _TIMEOUT_S) -> dict[str, Any]:
        """Return the answer for the user over HTTP; raise OSError or its subclass HTTPError."""
        url = f"{self.url}?timeout_s={deadline_s:g}"
        with urllib.request.urlopen(url, timeout=deadline_s + 1) as response:  # noqa: S310  # http by construction
            body: dict[str, Any] = json.load(response)
            return body

    def answers(self) -> bool:
        """Return whether several calls in a row over HTTP know the user."""
        try:
            return all(self.ask().get("user_known") is True for _ in range(_IN_A_ROW))
        except OSError:
            return False

    def answers_grpc(self) -> bool:
        """Return whether several calls in a row over gRPC know the user."""
        with client(self) as features:
            try:
                return all(features.get_user_features(USER_ID).user_known for _ in range(_IN_A_ROW))
            except FeatureServingError:
                return False

    def unready(self) -> str:
        """Return why the gateway is not ready, or an empty text if it is; raise OSError."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.admin_port}/ready", timeout=_TIMEOUT_S):
                return ""
        except urllib.error.HTTPError as error:
            return error.read().decode()

    def metric(self, name: str) -> float:
        """Return a metric that has no labels; raise OSError."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.admin_port}/metrics", timeout=_TIMEOUT_S) as response:
            lines = response.read().decode().splitlines()
        (found,) = [line for line in lines if line.startswith(f"{name} ")]
        return float(found.split()[1])


def client(*gateways: Gateway) -> FeatureClient:
    """Return a client of several gateways."""
    addresses = ",".join(f"127.0.0.1:{gateway.grpc_port}" for gateway in gateways)
    return FeatureClient(f"ipv4:{addresses}", timeout_s=_TIMEOUT_S)
