"""The gRPC gateway in front of Feast's feature servers."""
