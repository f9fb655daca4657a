"""`python -m streamflow_repo.settings COMMAND …` runs a command with the variables that feature_store.yaml reads.

Containers need it: their environment has two URLs and two password files, and Feast's own commands have to work.
"""

import argparse
import os
from collections.abc import Sequence

from streamflow_logs import end_with

from streamflow_repo.errors import SettingError
from streamflow_repo.logs import configure_logs
from streamflow_repo.settings.connections import (
    JOB_REDIS_TIMEOUT_S,
    SERVING_REDIS_TIMEOUT_S,
    feast_environment,
    urls_from_environment,
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Replace this process by the command, so that the command gets signals; exit with one line if that fails.

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
        configure_logs()
        postgres_url, redis_url = urls_from_environment(os.environ)
        environment = feast_environment(
            postgres_url=postgres_url,
            redis_url=redis_url,
            redis_timeout_s=JOB_REDIS_TIMEOUT_S if options.job else SERVING_REDIS_TIMEOUT_S,
        )
    except SettingError as error:
        end_with(f"error: {error}", str(error))
    try:
        os.execvpe(options.command[0], options.command, {**os.environ, **environment})  # noqa: S606  # its very purpose
    except OSError as error:
        reason = f"{options.command[0]} can't be run: {error.strerror}"
        end_with(f"error: {reason}", reason)


if __name__ == "__main__":
    main()
