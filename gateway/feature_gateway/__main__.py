"""`feature-gateway`: reads the settings, and serves until it gets a signal."""

import argparse
import asyncio
import os
import sys
from collections.abc import Sequence
from dataclasses import Field, fields
from typing import Any

import uvloop

from feature_gateway.errors import StartError
from feature_gateway.logs import configure_logging
from feature_gateway.server import serve
from feature_gateway.settings import Settings, SettingsError


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until SIGTERM or SIGINT, then exit 0; exit 1 with one line on standard error if it can't start.

    The only argument is --help, which lists the settings.
    """
    _parser().parse_args(arguments)
    configure_logging()
    try:
        settings = Settings.from_environment(os.environ)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve(settings))
    except (SettingsError, StartError) as error:
        sys.exit(f"feature-gateway: {error}")


def _parser() -> argparse.ArgumentParser:
    settings = [f"  {setting.metadata['variable']:40} {_shown(setting)}".rstrip() for setting in fields(Settings)]
    return argparse.ArgumentParser(
        prog="feature-gateway",
        description="Serve Feast's features over gRPC and HTTP. Environment variables configure it.",
        epilog="\n".join(("settings and their defaults; gateway/README.md says what each does:", *settings)),
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
