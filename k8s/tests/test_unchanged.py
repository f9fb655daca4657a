"""An overlay that is applied again changes nothing, client-side and server-side."""

import pytest
from cluster import Cluster, changed
from manifests import OPTIONAL, Copy


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(("overlay", "without"), [("local", "redis-cluster"), ("production", "")])
def test_a_second_apply_changes_nothing(overlay: str, without: str, cluster: Cluster, copy: Copy) -> None:
    # Together these have every document: redis-cluster removes the Redis of local.
    folder = str(copy.overlay(overlay, tuple(name for name in OPTIONAL if name != without)))
    cluster.kubectl("apply", "-k", folder)
    before = cluster.wanted(folder)
    generations = _generations_of_budgets(cluster)
    assert not changed(cluster.kubectl("apply", "-k", folder))
    assert cluster.wanted(folder) == before
    assert _generations_of_budgets(cluster) == generations
    # The first of the other kind changes who manages a field, and nothing else.
    for _ in range(2):
        cluster.kubectl("apply", "--server-side", "-k", folder)
        assert cluster.wanted(folder) == before
        # `diff` would also show what controllers write meanwhile.
        assert cluster.wanted(folder, "apply", "--server-side", "--dry-run=server") == before
    cluster.kubectl("apply", "-k", folder)
    assert not changed(cluster.kubectl("apply", "-k", folder))
    assert cluster.wanted(folder) == before


def _generations_of_budgets(cluster: Cluster) -> dict[str, int]:
    """Return the generations of the objects that kubectl calls changed at each apply."""
    return {found["metadata"]["name"]: found["metadata"]["generation"] for found in cluster.items("pdb")}
