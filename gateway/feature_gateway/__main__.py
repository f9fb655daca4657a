"""`feature-gateway`: read the settings, serve until told to end."""

import asyncio
import os
import sys

import uvloop

from feature_gateway.listeners import StartError
from feature_gateway.server import serve
from feature_gateway.settings import Settings, SettingsError
from feature_gateway.telemetry import configure_logging


def main() -> None:
    """Serve until SIGTERM or SIGINT, then exit 0; exit 1 with one line on standard error when that can't be."""
    configure_logging()
    try:
        settings = Settings.from_environment(os.environ)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve(settings))
    except (SettingsError, StartError) as error:
        sys.exit(f"feature-gateway: {error}")


if __name__ == "__main__":
    main()
