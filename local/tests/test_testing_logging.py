"""A test that sets `logging` up leaves nothing of it to the next."""

import logging
import sys
import warnings

import pytest
from streamflow_local.testing_logging import given_back
from streamflow_logs import Format, LogSettings, configure


@pytest.mark.parametrize("form", Format)
def test_what_configure_sets_is_given_back(form: Format) -> None:
    logging.getLogger("known_before").setLevel(logging.ERROR)
    before = (logging.root.handlers[:], logging.root.level, sys.excepthook, warnings.showwarning)
    with given_back():
        configure(LogSettings(format=form), own=["known_before", "new_within"])
        assert logging.root.handlers != before[0]
    assert (logging.root.handlers, logging.root.level, sys.excepthook, warnings.showwarning) == before
    assert logging.getLogger("known_before").level == logging.ERROR
    assert logging.getLogger("new_within").level == logging.NOTSET
