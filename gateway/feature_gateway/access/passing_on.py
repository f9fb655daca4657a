"""The Authorization header of reads: the caller's, one of the gateway's own, or none."""

from collections import OrderedDict

_MAX_KNOWN = 8192


class PassingOn:
    """Remembers the header of each identity, where those are passed on."""

    def __init__(self, *, callers: bool, own: str = "") -> None:
        """Create it: for the headers of the `callers`, otherwise for the gateway's `own`."""
        self._callers = callers
        self._own = own
        self._now: OrderedDict[str, tuple[float, str]] = OrderedDict()
        """Ends and headers by identity."""
        # Calls that wait were let in with these.
        self._before: OrderedDict[str, tuple[float, str]] = OrderedDict()

    def remember(self, identity: str, header: str, until_s: float) -> None:
        """Take the header of an identity; of several, the one that is valid for longest is passed on."""
        if not self._callers:
            return
        known = self._now.get(identity)
        if known is None or known[0] <= until_s:
            self._now[identity] = until_s, header
        self._now.move_to_end(identity)
        if len(self._now) > _MAX_KNOWN:
            self._now.popitem(last=False)

    def forget(self) -> None:
        """Prefer headers that are remembered from now on."""
        self._before, self._now = self._now, OrderedDict()

    def header_for(self, identity: str, otherwise: str = "") -> str:
        """Return the header of a read for an identity; `otherwise` for one that is not remembered."""
        if not self._callers:
            return self._own
        known = self._now.get(identity) or self._before.get(identity)
        return known[1] if known else otherwise
