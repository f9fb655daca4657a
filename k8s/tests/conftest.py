"""The fixtures of this folder's tests."""

from cluster_fixtures import cluster, control_plane, empty_cluster
from manifest_fixtures import built, copy, kept, manifests, whole
from process_fixtures import applied, feature_server, gateway, materialized, node

__all__ = [
    "applied",
    "built",
    "cluster",
    "control_plane",
    "copy",
    "empty_cluster",
    "feature_server",
    "gateway",
    "kept",
    "manifests",
    "materialized",
    "node",
    "whole",
]
