"""The form of the gateway's log."""

import logging
import sys
import time


def configure_logging() -> None:
    """Log to standard error, one line a message, with UTC times; from libraries only warnings and errors."""
    handler = logging.StreamHandler(sys.stderr)
    formatter = logging.Formatter("%(asctime)sZ %(levelname)s %(name)s %(message)s", datefmt="%Y-%m-%dT%H:%M:%S")
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("feature_gateway").setLevel(logging.INFO)
