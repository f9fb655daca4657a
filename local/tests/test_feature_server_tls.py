"""Feature servers over TLS, Feast's own and this project's, are read by a gateway that trusts their authority."""

from pathlib import Path

import pytest
from any_gateway import gateway_before
from any_repo import AnyRepo, feast_serve
from streamflow_features import FeatureClient, Unavailable
from streamflow_repo.settings.feature_server import FeatureServer
from tls_files import Certified

pytestmark = pytest.mark.slow

_TIMEOUT_S = 20


@pytest.mark.parametrize("server", FeatureServer)
def test_features_are_read_over_tls_from_servers_of_the_right_authority(
    any_repo_on_redis: AnyRepo, tmp_path: Path, server: FeatureServer
) -> None:
    certified, stranger = Certified(tmp_path / "server"), Certified(tmp_path / "stranger")
    tls = ("--key", str(certified.key_file), "--cert", str(certified.cert_file))
    with feast_serve(any_repo_on_redis.folder, logs=tmp_path, server=server, tls=tls) as url:
        # A name that stands for all addresses of this host.
        by_name = url.replace("https://127.0.0.1", "dns+https://localhost")
        for trusted in (certified, stranger):
            with (
                gateway_before(
                    by_name,
                    contract=any_repo_on_redis.contract,
                    logs=tmp_path,
                    GATEWAY_FEATURE_SERVER_CA_FILE=str(trusted.ca_file),
                ) as gateway,
                FeatureClient(gateway.target, timeout_s=_TIMEOUT_S, follow_health=False) as client,
            ):
                if trusted is certified:
                    assert client.get_user_features("fresh", features=["aging_fv:score"]).user_known
                else:
                    with pytest.raises(Unavailable):
                        client.get_user_features("fresh", features=["aging_fv:score"])
