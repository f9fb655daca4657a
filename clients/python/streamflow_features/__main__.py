"""`python -m streamflow_features USER_ID`: print one user's features."""

import argparse
import sys
from collections.abc import Sequence

from streamflow_features._client import DEFAULT_TARGET, DEFAULT_TIMEOUT_S, FeatureClient
from streamflow_features._errors import FeatureServingError
from streamflow_features._text import as_lines


def main(arguments: Sequence[str] | None = None) -> int:
    """Print one user's features, one line for each; return 0. On failure print the reason to stderr and return 1."""
    parser = argparse.ArgumentParser(prog="python -m streamflow_features", description="Print one user's features.")
    parser.add_argument("user_id", help="the user's id, such as 3413-BMNZE")
    parser.add_argument("--target", default=DEFAULT_TARGET, help="the gateway's address (%(default)s)")
    parser.add_argument(
        "--timeout-s", type=float, default=DEFAULT_TIMEOUT_S, help="the call's deadline in seconds (%(default)s)"
    )
    selection = parser.add_mutually_exclusive_group()
    selection.add_argument("--feature-service", help="all features of this service")
    selection.add_argument(
        "--feature",
        action="append",
        dest="features",
        help="a feature reference, view:feature; repeat the option for more",
    )
    options = parser.parse_args(arguments)
    with FeatureClient(options.target, timeout_s=options.timeout_s) as client:
        try:
            features = client.get_user_features(
                options.user_id, feature_service=options.feature_service, features=options.features
            )
        except FeatureServingError as error:
            sys.stderr.write(f"{error.code.name}: {error}\n")
            return 1
    sys.stdout.write("\n".join(as_lines(features)) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
