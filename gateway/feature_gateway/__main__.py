"""`feature-gateway`: reads the settings, and serves until it gets a signal."""

import argparse
import asyncio
import os
from collections.abc import Sequence
from dataclasses import Field, fields
from typing import Any

import uvloop
from streamflow_logs import LogSettingError, LogSettings, configure, end_with

from feature_gateway.environment import SettingsError
from feature_gateway.errors import StartError
from feature_gateway.server import serve
from feature_gateway.settings import Settings
from feature_gateway.tracing.setup import tracing_of


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until SIGTERM or SIGINT, then exit 0; exit 1 with one line on standard error if it can't start.

    The only argument is --help, which lists the settings.
    """
    _parser().parse_args(arguments)
    try:
        configure(LogSettings.from_environment(os.environ), own=("feature_gateway", "streamflow_logs"))
        settings = Settings.from_environment(os.environ)
        tracing = tracing_of(os.environ)
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(serve(settings, tracing=tracing))
        finally:
            if tracing is not None:
                tracing.close()
    except (LogSettingError, SettingsError, StartError) as error:
        end_with(f"feature-gateway: {error}", str(error))


_LOG_SETTINGS = """
settings of the log; logs/README.md says what each does:
  STREAMFLOW_LOG_FORMAT                    text
  STREAMFLOW_LOG_LEVEL                     info"""


def _parser() -> argparse.ArgumentParser:
    settings = [f"  {setting.metadata['variable']:40} {_shown(setting)}".rstrip() for setting in fields(Settings)]
    return argparse.ArgumentParser(
        prog="feature-gateway",
        description="Serve Feast's features over gRPC and HTTP. Environment variables configure it.",
        epilog="\n".join(
            ("settings and their defaults; gateway/README.md says what each does:", *settings, _LOG_SETTINGS)
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def _shown(setting: "Field[Any]") -> str:
    """Return a setting's default, and its other name if there is one."""
    default, other_name = setting.default, setting.metadata["other_name"]
    if isinstance(default, tuple):
        return ",".join(default)
    if isinstance(default, bool):
        return str(default).lower()
    shown = "" if default is None else str(default)
    return f"{shown} (other name: {other_name})" if other_name else shown


if __name__ == "__main__":
    main()
