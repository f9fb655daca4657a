"""The spans of the call and of the read that the running code works for."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from feature_gateway.tracing.spans import CallSpan, ReadSpan

current_call: ContextVar["CallSpan | None"] = ContextVar("current_call", default=None)
"""The span of the call; None for a call that is not sampled."""

current_read: ContextVar["ReadSpan | None"] = ContextVar("current_read", default=None)
"""The span of the read; None for a read of which no call is sampled."""


@contextmanager
def reading(askers: "Sequence[CallSpan | None]", *, rows: int) -> Iterator[None]:
    """Trace a read of distinct rows during a block, for the calls that ask for them, row by row.

    None stands for a call that is not sampled; if none of them is, the read is not traced.
    """
    calls = [*dict.fromkeys(call for call in askers if call is not None)]
    if not calls:
        yield
        return
    span = calls[0].read(calls, rows=rows, rows_asked=len(askers), shared=len({*askers}) > 1)
    token = current_read.set(span)
    try:
        yield
    except BaseException as error:
        span.end(error)
        raise
    else:
        span.end(None)
    finally:
        current_read.reset(token)
