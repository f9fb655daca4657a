"""Makes feature sets of features: their columns, and what has to be read along; pure."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from streamflow.features.v1.error_reason_pb2 import ErrorReason

from feature_gateway.clipping import listed
from feature_gateway.contract.columns import Column, ColumnKind
from feature_gateway.contract.feature_set import FeatureSet, named
from feature_gateway.contract.views import ContractFeature, View
from feature_gateway.errors import GatewayError


def feature_set_of(features: Iterable[ContractFeature], views: Mapping[str, View]) -> FeatureSet:
    """Return the set of some features, in their order; those that share a name get their full names.

    Its columns are those of the features' views, each once, in the order of first use. Raises GatewayError if
    `feast serve` can't be asked for the features, or can't tell them apart.
    """
    chosen = tuple(features)
    used = [views[name] for name in dict.fromkeys(feature.view for feature in chosen)]
    on_demand = tuple(view for view in used if view.mode is not None)
    feature_set = FeatureSet(
        named(chosen),
        columns_of(used),
        on_demand=on_demand,
        read_along=read_along(chosen, on_demand, views),
    )
    check_names(feature_set)
    return feature_set


def columns_of(views: Iterable[View]) -> tuple[Column, ...]:
    """Return the columns of some views: join keys, then request data, each once, in the order of first use.

    Raises GatewayError (FEATURE_NAME_CLASH) if two of them have one name and different types.
    """
    columns: dict[str, Column] = {}
    for column in (column for view in views for column in view.columns):
        known = columns.setdefault(column.name, column)
        if (known.dtype, known.kind) != (column.dtype, column.kind):
            raise GatewayError(
                ErrorReason.ERROR_REASON_FEATURE_NAME_CLASH,
                f"Feature views of this selection have columns of different types that are named {column.name}; "
                "ask for each of these views alone.",
                metadata={"names": column.name},
            )
    return tuple(sorted(columns.values(), key=lambda column: column.kind is ColumnKind.REQUEST_DATA))


def check_names(feature_set: FeatureSet) -> None:
    """Raise GatewayError if `feast serve` can't be asked for features.

    ENTITY_KEY_MISSING: nothing names a row of them. A view without an entity has one row, which Feast reads beside
    others. FEATURE_NAME_CLASH: Feast would take features for others of the same name. Functions in Python find their
    inputs by bare names, and Feast keeps from a function all columns with the bare name of a feature that is not its
    input, request data among them.
    """
    if not feature_set.columns:
        raise GatewayError(
            ErrorReason.ERROR_REASON_ENTITY_KEY_MISSING,
            "The feature views of this selection have no entity, so no key names a row; "
            "select a feature of a view with an entity too.",
        )
    if not feature_set.on_demand:
        return
    inputs = [feature for view in feature_set.on_demand for feature in view.inputs]
    involved = {feature.full_name: feature.feature for feature in (*feature_set.read_features, *inputs)}
    names = [*involved.values()] if not feature_set.full_names else [*dict.fromkeys(involved.values())]
    count = Counter([*names, *(column.name for column in feature_set.columns)])
    clashes = [name for name, times in count.items() if times > 1]
    if clashes:
        raise GatewayError(
            ErrorReason.ERROR_REASON_FEATURE_NAME_CLASH,
            "The on-demand features of this selection can't be computed, because several of its features, inputs and "
            f"columns are named {listed(clashes)}; select fewer features.",
            metadata={"names": listed(clashes)},
        )


def read_along(
    chosen: Sequence[ContractFeature], on_demand: Sequence[View], views: Mapping[str, View]
) -> tuple[ContractFeature, ...]:
    """Return a feature of each source view of which no feature is chosen: whether it has a row, and how old.

    A view that is chosen by another name may be chosen by other keys.
    """
    chosen_views = {feature.projection for feature in chosen}
    first: dict[str, ContractFeature] = {}
    for feature in (feature for view in on_demand for feature in view.inputs):
        first.setdefault(feature.view, feature)
    return tuple(views[view].features[one.feature] for view, one in first.items() if view not in chosen_views)
