"""`python -m streamflow_repo.settings COMMAND …`: a command that has the environment of feature_store.yaml.

For containers, where the environment names two URLs and the files of their passwords, and Feast's own commands are to
work nevertheless.
"""

import argparse
import os
import sys
from collections.abc import Sequence

from streamflow_repo.errors import SettingError
from streamflow_repo.settings.connections import (
    JOB_REDIS_TIMEOUT_S,
    SERVING_REDIS_TIMEOUT_S,
    feast_environment,
    urls_from_environment,
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Become the command, so that it is the one that gets signals; exit with one line on standard error when it can't.

    Reads POSTGRES_URL, REDIS_URL, POSTGRES_PASSWORD_FILE and REDIS_PASSWORD_FILE, FEAST_OFFLINE_STORE and
    FEAST_SPARK_DATA.
    """
    parser = argparse.ArgumentParser(prog="python -m streamflow_repo.settings")
    parser.add_argument("--job", action="store_true", help="give Redis the time that large writes take")
    parser.add_argument("command", nargs=argparse.REMAINDER, help="the command and its arguments")
    options = parser.parse_args(arguments)
    if not options.command:
        parser.error("name a command")
    try:
        postgres_url, redis_url = urls_from_environment(os.environ)
        environment = feast_environment(
            postgres_url=postgres_url,
            redis_url=redis_url,
            redis_timeout_s=JOB_REDIS_TIMEOUT_S if options.job else SERVING_REDIS_TIMEOUT_S,
        )
    except SettingError as error:
        sys.exit(f"error: {error}")
    try:
        os.execvpe(options.command[0], options.command, {**os.environ, **environment})  # noqa: S606  # its very purpose
    except OSError as error:
        sys.exit(f"error: {options.command[0]} can't be run: {error.strerror}")


if __name__ == "__main__":
    main()
