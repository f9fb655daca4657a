"""Rows for single users. Each call is one POST of its own; merging calls belongs here."""

from feature_gateway.contract import FeatureSet
from feature_gateway.features import UserRow
from feature_gateway.upstream import FeatureServer


class Coalescer:
    """Turns calls for one user each into reads of the feature server."""

    def __init__(self, feature_server: FeatureServer) -> None:
        """Take what is read from."""
        self._feature_server = feature_server

    async def user_row(self, feature_set: FeatureSet, user_id: str, *, timeout_s: float) -> UserRow:
        """Return one user's row; raises what `FeatureServer.read_rows` raises."""
        (row,) = await self._feature_server.read_rows(feature_set, [user_id], timeout_s=timeout_s)
        return row
