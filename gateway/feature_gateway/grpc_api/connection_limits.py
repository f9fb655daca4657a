"""The bounds of gRPC's connections."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class ConnectionLimits:
    """What connections may take."""

    max_connections: int
    max_calls: int
    """The calls and streams that one connection may have at once."""
    max_message_bytes: int
    """The largest request message."""
    max_metadata_bytes: int
    """The most metadata of a call, as HTTP/2 counts it."""
    max_age_s: float
    """0 for any age."""
    age_grace_s: float
    """How long calls that are open at the age may take."""

    def options(self) -> tuple[tuple[str, int], ...]:
        """Return gRPC's options for the bounds that each engine keeps."""
        return (
            ("grpc.max_concurrent_streams", self.max_calls),
            ("grpc.max_receive_message_length", self.max_message_bytes),
            # Between the two, gRPC would refuse calls by chance.
            ("grpc.max_metadata_size", self.max_metadata_bytes),
            ("grpc.absolute_max_metadata_size", self.max_metadata_bytes),
        )
