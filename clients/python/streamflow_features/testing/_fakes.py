"""The two clients, each with a server of its own."""

from collections.abc import Mapping
from typing import Unpack

import grpc

from streamflow_features._async_client import AsyncFeatureClient
from streamflow_features._channel import channel_options
from streamflow_features._client import FeatureClient
from streamflow_features.testing._server import FeatureServer, ServedOptions
from streamflow_features.testing._users import ServedUser

# For a busy machine. A test of deadlines gives its own.
_TIMEOUT_S = 10.0


class FakeFeatureClient(FeatureClient):
    """A FeatureClient whose answers a test gives.

    The client is the real one, and calls a FeatureServer in this process. So deadlines, merged calls and errors are
    those of production.
    """

    def __init__(
        self,
        users: Mapping[str, ServedUser] | None = None,
        *,
        timeout_s: float = _TIMEOUT_S,
        merge_calls: bool = True,
        **options: Unpack[ServedOptions],
    ) -> None:
        """Creates a client and its server. The parameters are FeatureServer's; `timeout_s` is each call's deadline."""
        self.server = FeatureServer(users, **options).start()
        """What the client is served by: `users`, `fail_next`, `delay_next`, `latencies_s`."""
        self._fake_channel = grpc.insecure_channel(self.server.target, options=channel_options(follow_health=False))
        super().__init__(timeout_s=timeout_s, merge_calls=merge_calls, channel=self._fake_channel)

    def close(self) -> None:
        """Close the client, and stop its server."""
        super().close()
        self._fake_channel.close()
        self.server.stop()


class FakeAsyncFeatureClient(AsyncFeatureClient):
    """An AsyncFeatureClient whose answers a test gives, as FakeFeatureClient's are."""

    def __init__(
        self,
        users: Mapping[str, ServedUser] | None = None,
        *,
        timeout_s: float = _TIMEOUT_S,
        merge_calls: bool = True,
        **options: Unpack[ServedOptions],
    ) -> None:
        """Creates a client and its server, with FakeFeatureClient's parameters."""
        self.server = FeatureServer(users, **options).start()
        """What the client is served by, as FakeFeatureClient's."""
        self._fake_channel = grpc.aio.insecure_channel(self.server.target, options=channel_options(follow_health=False))
        super().__init__(timeout_s=timeout_s, merge_calls=merge_calls, channel=self._fake_channel)

    async def close(self) -> None:
        """Close the client, and stop its server."""
        await super().close()
        await self._fake_channel.close()
        self.server.stop()
