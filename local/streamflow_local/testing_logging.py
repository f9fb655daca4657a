"""pytest plugin: each test leaves Python's `logging` as it found it.

Commands that tests call in their own process set `logging` up, and would write into what later tests read of standard
error.
"""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest


def _levels() -> dict[logging.Logger, int]:
    loggers = [each for each in logging.root.manager.loggerDict.values() if isinstance(each, logging.Logger)]
    return {each: each.level for each in (logging.root, *loggers)}


@contextmanager
def given_back() -> Iterator[None]:
    """Give back the root logger's handlers, the levels of all loggers, and the hooks for warnings and exceptions."""
    handlers, levels, hook = logging.root.handlers[:], _levels(), sys.excepthook
    try:
        yield
    finally:
        logging.root.handlers[:] = handlers
        for logger, level in _levels().items():
            if level != (before := levels.get(logger, logging.NOTSET)):
                logger.setLevel(before)
        logging.captureWarnings(capture=False)
        sys.excepthook = hook


@pytest.fixture(autouse=True)
def logging_as_it_was() -> Iterator[None]:
    """Give `logging` back after each test."""
    with given_back():
        yield
