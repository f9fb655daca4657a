"""Calls through the project's own Python client, as a model service makes them."""

from collections.abc import Sequence
from typing import Any

from streamflow_features import AsyncFeatureClient, FeatureClient, FeatureServingError, FeatureStatus, UserFeatures

from streamflow_loadtests.callers.calls import CALL_TIMEOUT_S, Reply
from streamflow_loadtests.callers.errors import CallError


class OwnClient:
    """An AsyncFeatureClient of the gateways on loopback ports that are ready by their health."""

    resends = 0

    def __init__(self, ports: Sequence[int], *, feature_service: str, **options: Any) -> None:
        """Creates a client with its defaults, except for `options`."""
        self._client = AsyncFeatureClient(_target(ports), **options)
        self._feature_service = feature_service

    async def ask(self, user_ids: Sequence[str], *, timeout_s: float = CALL_TIMEOUT_S) -> Sequence[Reply]:
        """Return the users' values. Raises CallError, also for a user of a batch that got an error."""
        selection: Any = {"feature_service": self._feature_service, "timeout_s": timeout_s}
        try:
            if len(user_ids) == 1:
                return [_reply_of(await self._client.get_user_features(user_ids[0], **selection))]
            return _replies_of(await self._client.batch_get_user_features(user_ids, **selection))
        except FeatureServingError as error:
            raise CallError(error.code.name, str(error)) from error

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()


class OwnThreadedClient:
    """A FeatureClient, for calls from threads."""

    def __init__(self, ports: Sequence[int], *, feature_service: str) -> None:
        self._client = FeatureClient(_target(ports))
        self._feature_service = feature_service
        self.close = self._client.close

    def ask(self, user_ids: Sequence[str], *, timeout_s: float = CALL_TIMEOUT_S) -> Sequence[Reply]:
        """Return the users' values. Raises CallError, also for a user of a batch that got an error."""
        selection: Any = {"feature_service": self._feature_service, "timeout_s": timeout_s}
        try:
            if len(user_ids) == 1:
                return [_reply_of(self._client.get_user_features(user_ids[0], **selection))]
            return _replies_of(self._client.batch_get_user_features(user_ids, **selection))
        except FeatureServingError as error:
            raise CallError(error.code.name, str(error)) from error


def _target(ports: Sequence[int]) -> str:
    return "ipv4:" + ",".join(f"127.0.0.1:{port}" for port in ports)


def _replies_of(batch: Any) -> list[Reply]:
    replies = []
    for result in batch:
        if isinstance(result, FeatureServingError):
            raise CallError(f"a user of the batch: {result.code.name}", str(result))
        replies.append(_reply_of(result))
    return replies


def _reply_of(user: UserFeatures) -> Reply:
    values = dict(user.items())
    not_found = frozenset[str]()
    if None in values.values():
        not_found = frozenset(name for name, status in user.statuses.items() if status is FeatureStatus.NOT_FOUND)
    return Reply(user.user_id, values, user.user_known, not_found)
