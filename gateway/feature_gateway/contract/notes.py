"""What people wrote of definitions, for who looks at them: descriptions, owners and tags. No call depends on them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Notes:
    """The `descriptions` of a contract; what is not written is empty."""

    _texts: Mapping[tuple[str, str], str] = field(default_factory=dict)
    _tags: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def description(self, kind: str, name: str) -> str:
        """Return the description of one of the entities, feature_services, feature_views, features or request_data."""
        return self._texts.get((kind, name), "")

    def owner(self, kind: str, name: str) -> str:
        """Return the owner of an entity, feature_view or feature_service."""
        return self._texts.get(("owners", f"{kind} {name}"), "")

    def tags(self, kind: str, name: str) -> Mapping[str, str]:
        """Return the tags of an entity, feature, feature_view or feature_service."""
        return self._tags.get(f"{kind} {name}", {})


def notes_of(content: Any) -> Notes:
    """Return the notes of a contract's `descriptions`. What has another form is left out: it fails no call."""
    kinds = _mapping(content)
    return Notes(
        {
            (kind, name): text
            for kind, texts in kinds.items()
            for name, text in _mapping(texts).items()
            if isinstance(text, str)
        },
        {
            name: {key: str(value) for key, value in _mapping(tags).items()}
            for name, tags in _mapping(kinds.get("tags")).items()
        },
    )


def _mapping(content: Any) -> Mapping[str, Any]:
    return content if isinstance(content, dict) else {}
