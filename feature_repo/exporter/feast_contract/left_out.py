"""What a contract leaves out, and why."""

ENTITY = "entity"
FEATURE_VIEW = "feature_view"
FEATURE = "feature"
ON_DEMAND_FEATURE_VIEW = "on_demand_feature_view"
FEATURE_SERVICE = "feature_service"


class Unservable(Exception):  # noqa: N818  # it is caught where it is raised: no error of a caller's
    """A definition can't be served; the message says why and what to change."""


class LeftOut:
    """Collects what is left out."""

    def __init__(self) -> None:
        """Create an empty collection."""
        self._why: dict[tuple[str, str], str] = {}

    def add(self, kind: str, name: str, why: str) -> None:
        """Leave out a definition."""
        self._why[kind, name] = why

    def why(self, kind: str, name: str) -> str | None:
        """Return why a definition is left out; None if it isn't."""
        return self._why.get((kind, name))

    @property
    def entries(self) -> list[dict[str, str]]:
        """What is left out, sorted by kind and name."""
        return [{"kind": kind, "name": name, "why": self._why[kind, name]} for kind, name in sorted(self._why)]
