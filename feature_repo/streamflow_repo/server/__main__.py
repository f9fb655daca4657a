"""`python -m streamflow_repo.server serve …` runs the feature server that FEATURE_SERVER names."""

import os
import sys
from pathlib import Path

from streamflow_repo.errors import SettingError
from streamflow_repo.settings.feature_server import FeatureServer, feature_server


def main() -> None:
    """Run the feature server in this process; exit with one line on standard error if FEATURE_SERVER names none."""
    try:
        chosen = feature_server()
    except SettingError as error:
        sys.exit(f"error: {error}")
    if chosen is FeatureServer.STOCK:
        feast = str(Path(sys.executable).parent / "feast")
        # A new Python, without -O and without a module of ours.
        os.execv(feast, [feast, *sys.argv[1:]])  # noqa: S606  # Feast's own command, from this environment
    from streamflow_repo.server.serve import serve  # noqa: PLC0415  # imports Feast, which takes seconds

    serve()


if __name__ == "__main__":
    main()
