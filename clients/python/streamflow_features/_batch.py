"""The results of many users, as one value."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Unpack, overload

from streamflow_features._columns import Column
from streamflow_features._errors import FeatureServingError, error_of_users
from streamflow_features._features import ServingInfo, UserFeatures
from streamflow_features._fills import Fills, columns_of
from streamflow_features._text import in_columns, shown

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import pyarrow as pa
    from numpy.typing import DTypeLike

USER_ID = "user_id"
_SHOWN_USERS = 10


@dataclass(frozen=True, slots=True, repr=False)
class UserFeaturesBatch(Sequence[UserFeatures | FeatureServingError]):
    """One result for each user id, in the order of the ids.

    A result is the user's features, or the error that a call for that user alone would have raised. Batches can be
    pickled, and are equal when users, results, contract and serving_info are. A slice is a batch.

    The conversions have one row for each user and one column for each feature, in contract order. They raise the error
    of `raise_for_errors` when a user has no features; `batch.ok` leaves such users out.
    """

    user_ids: Sequence[str]
    """The ids, as they were asked for. Ids can be repeated."""

    results: Sequence[UserFeatures | FeatureServingError]
    """The results, in the order of the ids."""

    contract_hash: str = ""
    """The hash of the gateways' contract. Empty when no gateway answered."""

    serving_info: ServingInfo | None = None
    """How the batch was served: the maxima of times and sizes. None unless the call has include_serving_info."""

    dtypes: Mapping[str, str | None] = field(default_factory=dict, compare=False)
    """Feast's name of each feature's type, such as "Int32" or "List(Float32)", in contract order.

    None when no user has a value of the feature and no feature service has the feature.
    """

    def __post_init__(self) -> None:
        """Keep what does not change. Raises ValueError unless there are as many results as ids."""
        object.__setattr__(self, "user_ids", tuple(self.user_ids))
        object.__setattr__(self, "results", tuple(self.results))
        known = next((result for result in self.results if isinstance(result, UserFeatures)), ())
        object.__setattr__(self, "dtypes", Column.of({**dict.fromkeys(known), **self.dtypes}))
        if len(self.user_ids) != len(self.results):
            raise ValueError(f"there are {len(self.user_ids)} user ids and {len(self.results)} results")

    @property
    def ok(self) -> "UserFeaturesBatch":
        """The batch of the users that have features."""
        return self._of([position for position, result in enumerate(self) if isinstance(result, UserFeatures)])

    @property
    def errors(self) -> Mapping[str, FeatureServingError]:
        """The errors by user id, in the order of the ids. Of an id that is repeated, the first error."""
        errors: dict[str, FeatureServingError] = {}
        for user_id, result in zip(self.user_ids, self, strict=True):
            if isinstance(result, FeatureServingError):
                errors.setdefault(user_id, result)
        return errors

    def raise_for_errors(self) -> None:
        """Raise one error for all users that have no features; return when there are none.

        The message has their number and the first of them. The error has the class and the code of the users' errors
        if all have the same code, else it is a FeatureServingError. The users' first error is its cause.
        """
        failed = [
            (user_id, result)
            for user_id, result in zip(self.user_ids, self, strict=True)
            if isinstance(result, FeatureServingError)
        ]
        if failed:
            raise error_of_users(failed, users=len(self)) from failed[0][1]

    def to_dict(self) -> dict[str, list[Any]]:
        """Return columns of Python values as Feast's `OnlineResponse.to_dict` does: "user_id", and each feature.

        What has no value is None. A list is a list.
        """
        users = self._rows()
        columns = {name: [user[name] for user in users] for name in self.dtypes}
        return {
            USER_ID: list(self.user_ids),
            **{name: [list(v) if isinstance(v, tuple) else v for v in values] for name, values in columns.items()},
        }

    def to_pandas(self, **fills: Unpack[Fills]) -> "pd.DataFrame":
        """Return a data frame: the column "user_id", and one column of the feature's type for each feature.

        The types are pandas' nullable ones: Int32 is "Int32", Float64 "Float64", Bool "boolean", String "string",
        UnixTimestamp "datetime64[us, UTC]". Bytes are objects, and so are lists, as NumPy arrays. What has no value is
        missing, unless `fills` say otherwise. Needs `streamflow-features[pandas]`.

        Raises ImportError without pandas, and TypeError or ValueError for a feature of unknown type and for a fill
        that is not of the feature's type.
        """
        from streamflow_features._to_pandas import data_frame  # noqa: PLC0415  # an optional extra

        return data_frame(self.user_ids, columns_of(self._rows(), self.dtypes, **fills))

    def to_numpy(
        self, names: Sequence[str] | None = None, *, dtype: "DTypeLike | None" = None, **fills: Unpack[Fills]
    ) -> "np.ndarray[tuple[int, int], Any]":
        """Return a matrix: one row for each user, one column for each of `names`, by default all features.

        The matrix has the type that holds all of the features' types, whatever the values are: int32 for Int32 alone,
        float64 for Int32 and Float64, datetime64[us] for times alone. It holds objects when a feature is a text, bytes
        or a list, and when times are mixed with others; the object of a list is an array. `dtype` asks for another
        type. What has no value is NaN, NaT, or None among objects. Needs `streamflow-features[numpy]`.

        Raises ValueError when a value is missing from a matrix of integers or booleans: say what it becomes by
        `null`, `not_found` and `too_old`, or give `dtype=float`. Raises KeyError for a name that no feature has, and
        otherwise what `to_pandas` raises.
        """
        from streamflow_features._to_numpy import matrix  # noqa: PLC0415  # an optional extra

        if isinstance(names, str):
            raise TypeError("names is one text; give a list of texts")
        features = self._features()
        wanted = tuple(self.dtypes if names is None else names)
        if unknown := [name for name in wanted if name not in self.dtypes]:
            raise KeyError(f"no features: {', '.join(unknown)}; there are {', '.join(self.dtypes)}")
        columns = columns_of(features, {name: self.dtypes[name] for name in wanted}, **fills)
        return matrix(self.user_ids, columns, dtype=dtype)

    def to_arrow(self, **fills: Unpack[Fills]) -> "pa.Table":
        """Return an Arrow table: the column "user_id", and one column of the feature's type for each feature.

        Lists are Arrow's lists, and a time is a timestamp in microseconds, in UTC: the types of a training set. What
        has no value is null, unless `fills` say otherwise. Needs `streamflow-features[arrow]`. Raises what `to_pandas`
        raises.
        """
        from streamflow_features._to_arrow import table  # noqa: PLC0415  # an optional extra

        return table(self.user_ids, columns_of(self._rows(), self.dtypes, **fills))

    def _features(self) -> Sequence[UserFeatures]:
        self.raise_for_errors()
        return [result for result in self.results if isinstance(result, UserFeatures)]

    def _rows(self) -> Sequence[UserFeatures]:
        if USER_ID in self.dtypes:
            raise ValueError(f"a feature has the name of the column {USER_ID}; use to_numpy")
        return self._features()

    def _of(self, positions: Sequence[int]) -> "UserFeaturesBatch":
        return UserFeaturesBatch(
            [self.user_ids[position] for position in positions],
            [self.results[position] for position in positions],
            contract_hash=self.contract_hash,
            serving_info=self.serving_info,
            dtypes=self.dtypes,
        )

    @overload
    def __getitem__(self, index: int) -> UserFeatures | FeatureServingError: ...

    @overload
    def __getitem__(self, index: slice) -> "UserFeaturesBatch": ...

    def __getitem__(self, index: int | slice) -> "UserFeatures | FeatureServingError | UserFeaturesBatch":
        return self._of(range(len(self))[index]) if isinstance(index, slice) else self.results[index]

    def __iter__(self) -> Iterator[UserFeatures | FeatureServingError]:
        return iter(self.results)

    def __len__(self) -> int:
        return len(self.results)

    def __repr__(self) -> str:
        failed = sum(isinstance(result, FeatureServingError) for result in self)
        errors = f"{failed:,} errors, " if failed else ""
        return f"<UserFeaturesBatch: {len(self):,} users, {errors}{len(self.dtypes):,} features>"

    def __str__(self) -> str:
        """Return a table of the first ten users: the id, and the values or the error."""
        rows = [(USER_ID, *self.dtypes)]
        lines = in_columns(rows + [self._cells(position) for position in range(min(len(self), _SHOWN_USERS))])
        return "\n".join([*lines, f"… {len(self):,} users in all"] if len(self) > _SHOWN_USERS else lines)

    def _cells(self, position: int) -> tuple[str, ...]:
        user_id, result = self.user_ids[position], self.results[position]
        if isinstance(result, FeatureServingError):
            cells = [f"{result.code.name}: {result}", *[""] * len(self.dtypes)]
            return (user_id, *cells[: len(self.dtypes)])
        return (user_id, *map(shown, result.values()))
