"""What the classes of typed features are made of, which `streamflow-features codegen` writes."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from functools import cache
from typing import ClassVar, Generic, Protocol, Self, TypeVar

import grpc

from streamflow_features._errors import FailedPrecondition, FeatureServingError
from streamflow_features._features import UserFeatures
from streamflow_features._queries import QueryOptions, ReadOptions
from streamflow_features._reasons import ErrorReason
from streamflow_features._request_data import RequestDataValue

Typed = TypeVar("Typed", bound="TypedFeatures")
_Typed_co = TypeVar("_Typed_co", bound="TypedFeatures", covariant=True)


@dataclass(frozen=True, slots=True)
class TypedService:
    """The feature service that a class of typed features was written for."""

    name: str
    """The feature service's name."""

    contract_hash: str
    """The hash of the contract that the class was written from."""

    renamed: Mapping[str, str] = field(default_factory=dict)
    """The features' names of those fields that have another name."""

    request_data: tuple[str, ...] = ()
    """The names of the request data that every call has to have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TypedFeatures:
    """One user's features of a feature service as fields; `streamflow-features codegen` writes its subclasses.

    A field is None when there is no value. Its status says why.
    """

    features: UserFeatures = field(repr=False)
    """The same features by name, with `statuses`, `event_timestamps`, `user_id` and `user_known`."""

    _service: ClassVar[TypedService]

    @classmethod
    def options(cls) -> QueryOptions:
        """Return what selects these features by their contract, for `bind`, batches and streams."""
        return {"feature_service": cls._service.name, "contract_hash": cls._service.contract_hash}

    @classmethod
    def of(cls, result: UserFeatures | FeatureServingError) -> Self:
        """Return a result of a batch or a stream as this class, or raise the result if it is an error.

        Raises FailedPrecondition for features of another contract, and ValueError if a feature is missing. Features
        that `UserFeatures.of` made for a test need no contract.
        """
        if isinstance(result, FeatureServingError):
            raise result
        service = cls._service
        if result.contract_hash not in {"", service.contract_hash}:
            raise _other_contract(cls, result.contract_hash)
        names = _names_of(cls)  # type: ignore[arg-type]  # mypy takes no class of Self for hashable
        missing = [name for name in names.values() if name not in result]
        if missing:
            raise ValueError(f"{cls.__name__} has the feature {missing[0]}, which these features do not have.")
        return cls(features=result, **{own: result[name] for own, name in names.items()})


@dataclass(frozen=True, slots=True, kw_only=True)
class TypedUserFeatures(TypedFeatures):
    """Typed features that need no request data: `get` takes the class itself."""

    @classmethod
    def _without_request_data(cls) -> "Given[Self]":
        return Given(cls, {})


@dataclass(frozen=True, slots=True)
class Given(Generic[_Typed_co]):
    """A class of typed features, and the request data that its features are computed from."""

    features: type[_Typed_co]
    """The class."""

    request_data: Mapping[str, RequestDataValue]
    """The request data by name."""

    def options(self) -> QueryOptions:
        """Return what selects these features by their contract, with the request data."""
        return {**self.features.options(), "request_data": self.request_data}


class Asked(Protocol[_Typed_co]):
    """A subclass of TypedUserFeatures. A type checker refuses a class that needs request data and is given none."""

    def _without_request_data(self) -> Given[_Typed_co]: ...


@cache
def _names_of(features: type[TypedFeatures]) -> Mapping[str, str]:
    """Return the features' names by the fields of a class."""
    renamed = features._service.renamed  # noqa: SLF001  # of this module's own class
    return {one.name: renamed.get(one.name, one.name) for one in fields(features) if one.name != "features"}


def typed_question(asked: Asked[Typed] | Given[Typed], options: ReadOptions) -> tuple[type[Typed], QueryOptions]:
    """Return the class and the options of a call. Raises TypeError without the request data that the class needs."""
    given = asked if isinstance(asked, Given) else _given_nothing(asked)
    question: QueryOptions = {**options, **given.options(), "features": None}
    return given.features, question


def _given_nothing(asked: Asked[Typed]) -> Given[Typed]:
    if isinstance(asked, type) and issubclass(asked, TypedFeatures) and not issubclass(asked, TypedUserFeatures):
        arguments = ", ".join(f"{one}=…" for one in asked._service.request_data)  # noqa: SLF001  # the same
        raise TypeError(f"{asked.__name__} needs request data; ask for {asked.__name__}.given({arguments})")
    return asked._without_request_data()  # noqa: SLF001  # of this module's own class


@contextmanager
def contract_explained(features: type[TypedFeatures]) -> Iterator[None]:
    """Raise the error of a gateway with another contract again, with what to do."""
    try:
        yield
    except FailedPrecondition as error:
        if error.reason is not ErrorReason.CONTRACT_MISMATCH:
            raise
        raise _other_contract(features, error.metadata.get("contract_hash", "")) from error


def _other_contract(features: type[TypedFeatures], contract_hash: str) -> FailedPrecondition:
    expected = features._service.contract_hash  # noqa: SLF001  # of this module's own class
    return FailedPrecondition(
        f"{features.__name__} was written for the contract {expected}, and the gateway has"
        f" {contract_hash or 'another one'}; write the module again from the gateway's contract with"
        " `streamflow-features codegen`, and check that the model still fits.",
        code=grpc.StatusCode.FAILED_PRECONDITION,
        reason=ErrorReason.CONTRACT_MISMATCH,
        metadata={"requested_hash": expected, "contract_hash": contract_hash},
    )
