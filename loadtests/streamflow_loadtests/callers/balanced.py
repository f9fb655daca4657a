"""Calls through the project's own Python client, spread over several gateways."""

from collections.abc import Sequence

from streamflow_features import AsyncFeatureClient, FeatureServingError, FeatureStatus, UserFeatures, Value

from streamflow_loadtests.callers.calls import CALL_TIMEOUT_S, Reply, Request
from streamflow_loadtests.callers.errors import CallError


class BalancedCaller:
    """Calls of the gateways on loopback ports that are ready by their health, one user a call."""

    resends = 0

    def __init__(self, ports: Sequence[int], *, feature_service: str) -> None:
        self._client = AsyncFeatureClient("ipv4:" + ",".join(f"127.0.0.1:{port}" for port in ports))
        self._feature_service = feature_service

    def request(self, user_ids: Sequence[str]) -> Request:
        """Return the request for one user."""
        return Request(user_ids=tuple(user_ids), path="", body=b"")

    async def send(self, request: Request, *, timeout_s: float = CALL_TIMEOUT_S) -> UserFeatures:
        """Return the client's answer. Raises CallError."""
        [user_id] = request.user_ids
        try:
            return await self._client.get_user_features(
                user_id, feature_service=self._feature_service, timeout_s=timeout_s
            )
        except FeatureServingError as error:
            raise CallError(error.code.name, str(error)) from error

    def replies(self, _: Request, reply: UserFeatures) -> Sequence[Reply]:
        """Return what the answer says."""
        values: dict[str, Value] = dict(reply)
        not_found = frozenset(name for name, status in reply.statuses.items() if status is FeatureStatus.NOT_FOUND)
        return [Reply(user_id=reply.user_id, values=values, user_known=reply.user_known, not_found=not_found)]

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()
