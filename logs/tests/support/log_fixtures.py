"""Logging of the test process, given back as it was."""

import logging
import sys
from collections.abc import Iterator

import pytest

OWN = "of_this_project"


@pytest.fixture(autouse=True)
def logging_as_it_was() -> Iterator[None]:
    root, own, hook = logging.getLogger(), logging.getLogger(OWN), sys.excepthook
    handlers, level, own_level = root.handlers[:], root.level, own.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    own.setLevel(own_level)
    logging.captureWarnings(capture=False)
    sys.excepthook = hook
