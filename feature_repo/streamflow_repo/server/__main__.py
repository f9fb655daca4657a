"""`python -m streamflow_repo.server serve …` runs the feature server that FEATURE_SERVER names."""

import os
import sys
from pathlib import Path

from streamflow_logs import end_with

from streamflow_repo.errors import SettingError
from streamflow_repo.logs import configure_logs
from streamflow_repo.settings.feature_server import FeatureServer, feature_server, routes_of
from streamflow_repo.tracing import provider_of


def main() -> None:
    """Run the feature server in this process; exit with one line on standard error if there is none such."""
    try:
        configure_logs()
        chosen, routes = feature_server(), routes_of()
        make_provider = (
            None
            if chosen is FeatureServer.STOCK
            else provider_of(os.environ, service_name="feature-server", extra="streamflow-feature-repo[tracing]")
        )
    except SettingError as error:
        end_with(f"error: {error}", str(error))
    if chosen is FeatureServer.STOCK:
        feast = str(Path(sys.executable).parent / "feast")
        # A new Python, without -O and without a module of ours.
        os.execv(feast, [feast, *sys.argv[1:]])  # noqa: S606  # Feast's own command, from this environment
    from streamflow_repo.server.serve import serve  # noqa: PLC0415  # imports Feast, which takes seconds

    serve(routes, make_provider)


if __name__ == "__main__":
    main()
