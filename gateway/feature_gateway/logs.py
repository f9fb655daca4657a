"""What the gateway tells of itself."""

import logging
import sys
import time


def configure_logging() -> None:
    """Log to standard error, one line a message, UTC-stamped; warnings and worse of libraries, all of the gateway's."""
    handler = logging.StreamHandler(sys.stderr)
    formatter = logging.Formatter("%(asctime)sZ %(levelname)s %(name)s %(message)s", datefmt="%Y-%m-%dT%H:%M:%S")
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("feature_gateway").setLevel(logging.INFO)
