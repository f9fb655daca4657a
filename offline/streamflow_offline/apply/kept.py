"""What the registry has and the repository no longer names, kept for servers that still read it."""

from collections.abc import Iterator
from copy import copy

from feast import FeatureStore, FeatureView
from feast.infra.registry.registry import FeastObjectType
from feast.repo_contents import RepoContents


def keep_removed(definitions: RepoContents, store: FeatureStore) -> list[str]:
    """Add to a repository's definitions what only the registry has; return a line for each thing that is added.

    A feature view keeps its features that the repository no longer names. An on-demand feature view does not: its
    function would not compute them.
    """
    return [*_added(definitions, store)]


def _added(definitions: RepoContents, store: FeatureStore) -> Iterator[str]:
    named = FeastObjectType.get_objects_from_repo_contents(definitions)
    for kind, applied in FeastObjectType.get_objects_from_registry(store.registry, store.project).items():
        ours = {found.name: position for position, found in enumerate(named[kind])}
        for theirs in applied:
            if theirs.name not in ours:
                named[kind].append(theirs)
                yield f"kept: {kind.value} {theirs.name}"
            elif kind is FeastObjectType.FEATURE_VIEW:
                # The repository's own view is an object of a module, which another apply of this process reads.
                view = named[kind][ours[theirs.name]] = copy(named[kind][ours[theirs.name]])
                yield from _features_added(view, theirs)


def _features_added(view: FeatureView, theirs: FeatureView) -> Iterator[str]:
    named = {field.name for field in view.features}
    for field in theirs.features:
        if field.name not in named:
            view.features.append(field)
            yield f"kept: feature {view.name}:{field.name}"
