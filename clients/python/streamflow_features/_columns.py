"""What each feature of a user has besides its value, made when it is first asked for."""

from collections.abc import Callable, ItemsView, Iterator, KeysView, Mapping, ValuesView
from typing import Any, Generic, Self, TypeVar

_T = TypeVar("_T")


class Column(Mapping[str, _T], Generic[_T]):
    """A mapping of features' names that does not change. Most callers read values alone, so the rest is made late."""

    __slots__ = ("_made", "_make", "_source")

    def __init__(self, make: Callable[[Any], dict[str, _T]], source: Any) -> None:
        """Creates the mapping that `make` will return for `source`."""
        self._make: Callable[[Any], dict[str, _T]] | None = make
        self._source = source

    @classmethod
    def of(cls, made: dict[str, _T]) -> Self:
        """Return a mapping that is made already."""
        column = cls(dict, ())
        column._make, column._made = None, made
        return column

    @property
    def _mapping(self) -> dict[str, _T]:
        # Threads that are here at once make equal mappings. The order of the lines lets none see half of it.
        source, make = self._source, self._make
        if make is not None:
            self._made: dict[str, _T] = make(source)
            self._make = None
            self._source = None
        return self._made

    def __getitem__(self, name: str) -> _T:
        return self._mapping[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._mapping)

    def __len__(self) -> int:
        return len(self._mapping)

    def keys(self) -> KeysView[str]:
        """Return the names."""
        return self._mapping.keys()

    def values(self) -> ValuesView[_T]:
        """Return what the features have."""
        return self._mapping.values()

    def items(self) -> ItemsView[str, _T]:
        """Return the names with what the features have."""
        return self._mapping.items()

    def __repr__(self) -> str:
        return repr(self._mapping)

    def __reduce__(self) -> tuple[object, ...]:
        return Column.of, (self._mapping,)
