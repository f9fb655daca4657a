"""Finds calls that no sampler would choose, in less than a thousandth of what a call takes."""

import random
import re
from collections.abc import Iterable

from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import Sampler, TraceIdRatioBased

_RATIO = re.compile(r"AlwaysOnSampler|AlwaysOffSampler|TraceIdRatioBased\{(?P<ratio>[0-9.e+-]+)\}")
_PARENT_BASED = re.compile(
    r"ParentBased\{root:(?P<root>.+),remoteParentSampled:AlwaysOnSampler,remoteParentNotSampled:AlwaysOffSampler,"
    r"localParentSampled:AlwaysOnSampler,localParentNotSampled:AlwaysOffSampler\}"
)
_BITS = 64
# The last digit of traceparent's flags, `00-<32 digits>-<16 digits>-01`, and those that say that the parent is sampled.
_FLAGS_AT, _SAMPLED = 54, "13579bdf"


class Chances(RandomIdGenerator):
    """Draws the ids of new traces, ahead of the sampler, which decides by the id."""

    _drawn: int | None = None
    _bound: int | None = None
    _follows_parents = False

    def follow(self, sampler: Sampler) -> None:
        """Draw for a sampler of the SDK's own, found by its description; another sampler is asked for each call."""
        parent_based = _PARENT_BASED.fullmatch(description := sampler.get_description())
        self._follows_parents = parent_based is not None
        self._bound = _bound(parent_based["root"] if parent_based else description)

    def none_for(self, metadata: Iterable[tuple[str, str | bytes]]) -> bool:
        """Return whether a call with this metadata is certainly not sampled; its keys are in lower case."""
        if self._bound is None:
            return False
        for key, value in metadata:
            if key == "traceparent":
                return self._follows_parents and str(value)[_FLAGS_AT : _FLAGS_AT + 1] not in _SAMPLED
        drawn = random.getrandbits(_BITS)
        if drawn >= self._bound:
            return True
        self._drawn = drawn
        return False

    def generate_trace_id(self) -> int:
        """Return the id that was drawn last, once; otherwise a new one."""
        drawn, self._drawn = self._drawn, None
        return super().generate_trace_id() if not drawn else random.getrandbits(_BITS) << _BITS | drawn


def _bound(description: str) -> int | None:
    """Return the number that the low bits of a sampled trace's id are below; None for a sampler that is not known."""
    found = _RATIO.fullmatch(description)
    if found is None:
        return None
    return TraceIdRatioBased.get_bound_for_rate(float(found["ratio"] or (description == "AlwaysOnSampler")))
