"""Jobs import Feast without checks of arguments at run time; whoever writes definitions keeps them."""

import subprocess
import sys

import pytest

_WRONG_DEFINITION = "from feast import Entity; Entity(name='user', description=1)"
_WITHOUT = "from streamflow_repo.runtime_checks import leave_out_runtime_checks; leave_out_runtime_checks();"


@pytest.mark.slow
@pytest.mark.parametrize(("before", "complaint"), [("", "TypeCheckError"), (_WITHOUT, "")])
def test_definitions_are_checked_unless_that_is_left_out(before: str, complaint: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", before + _WRONG_DEFINITION],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert complaint in ended.stderr
    assert (ended.returncode == 0) == (not complaint), ended.stderr
