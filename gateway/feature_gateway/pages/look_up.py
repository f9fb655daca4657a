"""The page *Look up*: the features of one row, or of two beside each other."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from aiohttp import web

from feature_gateway.access.caller import Caller
from feature_gateway.contract.columns import ColumnKind
from feature_gateway.contract.feature_set import FeatureSet
from feature_gateway.contract.model import Contract
from feature_gateway.errors import GatewayError
from feature_gateway.pages.asking import Asker
from feature_gateway.pages.calls import Look, Place, commands_of
from feature_gateway.pages.cells import STATUS_WORDS, Line, cells_of
from feature_gateway.pages.choices import SERVICE, Choice, choices_of
from feature_gateway.pages.fields import DATA, KEY, OTHER, fields_of, values_of
from feature_gateway.pages.rendering import Renderer
from feature_gateway.pages.visible import plain
from feature_gateway.values import FeatureStatus, Row


@dataclass(frozen=True)
class Found:
    """What a look-up of one row ended with."""

    key: str
    """The key in words."""

    values: Mapping[str, Any]
    row: Row | None = None
    error: GatewayError | None = None
    absent_views: Sequence[str] = ()
    """The feature views that have no row of the key."""

    @property
    def unknown(self) -> bool:
        """Whether no feature view has a row of the key."""
        return self.row is not None and not self.row.judgement.known


@dataclass(frozen=True, kw_only=True)
class LookUp:
    """Answers the page."""

    asker: Asker
    renderer: Renderer
    default_feature_service: str

    async def answer(self, request: web.Request, caller: Caller, place: Place) -> web.Response:
        """Return the page for a request's parameters; raise GatewayError for what the caller may not read."""
        contract = self.asker.lookup.contract
        choices = choices_of(contract, caller)
        choice = self._choice(request, choices)
        if choice is None:
            caller.spend()
            return await self.renderer.page("empty")
        feature_set = choice.feature_set(contract, caller)
        written = {name: value.replace("\r\n", "\n") for name, value in request.query.items()}
        found: list[Found] = []
        error: GatewayError | None = None
        for prefix in (KEY, OTHER):
            if error is None and _is_asked(feature_set, written, prefix):
                found.append(await self._found(feature_set, written, prefix, caller))
                error = found[-1].error
        if not found:
            # Each row is a call, and so is a form.
            caller.spend()
        return await self.renderer.page(
            "look-up",
            status=HTTPStatus.OK if error is None else error.http_status,
            choice=choice,
            choices=choices,
            description=_description(contract, choice),
            fields=fields_of(feature_set, contract, written, prefix=KEY, error=_error_of(found, 0)),
            others=fields_of(feature_set, contract, written, prefix=OTHER, error=_error_of(found, 1)),
            data=fields_of(feature_set, contract, written, prefix=DATA, error=error),
            incomplete=not found and any(written.get(name) for name in written if name.startswith(KEY)),
            error=error,
            found=found,
            lines=_lines(feature_set, contract, found) if found and error is None else [],
            commands=self._commands(choice, contract, feature_set, found, place),
            words=STATUS_WORDS,
        )

    def _choice(self, request: web.Request, choices: list[Choice]) -> Choice | None:
        """Return what is asked for, or else the default; None if the caller may read nothing."""
        if asked := request.query.get("features"):
            return Choice.of(asked)
        default = Choice(SERVICE, self.default_feature_service)
        return default if default in choices else next(iter(choices), None)

    async def _found(self, feature_set: FeatureSet, written: Mapping[str, str], prefix: str, caller: Caller) -> Found:
        values = values_of(feature_set, written, prefix=prefix)
        names = [column.name for column in feature_set.columns if column.kind is ColumnKind.JOIN_KEY]
        key = ", ".join(f"{plain(name)} {plain(written.get(prefix + name, ''))}" for name in names)
        try:
            row = await self.asker.row(feature_set, values, caller=caller)
        except GatewayError as error:
            if error.http_status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
                raise
            return Found(key, values, error=error)
        return Found(key, values, row, absent_views=_absent_views(feature_set, row))

    def _commands(
        self, choice: Choice, contract: Contract, feature_set: FeatureSet, found: list[Found], place: Place
    ) -> list[tuple[str, dict[str, str]]]:
        return [
            (
                one.key,
                commands_of(
                    Look(
                        kind=choice.kind,
                        name=choice.name,
                        references=choice.references(contract),
                        feature_set=feature_set,
                        values=one.values,
                        user=self.asker.lookup.user_column,
                    ),
                    place,
                ),
            )
            for one in found
            if one.row is not None
        ]


def _is_asked(feature_set: FeatureSet, written: Mapping[str, str], prefix: str) -> bool:
    """Return whether a form was filled in: it had all fields, and for another key, one of them has a text."""
    keys = [column.name for column in feature_set.columns if column.kind is ColumnKind.JOIN_KEY]
    data = [DATA + column.name for column in feature_set.columns if column.kind is ColumnKind.REQUEST_DATA]
    if not all(name in written for name in data):
        return False
    if prefix == OTHER:
        return any(written.get(OTHER + name) for name in keys)
    return all(KEY + name in written for name in keys)


def _error_of(found: list[Found], position: int) -> GatewayError | None:
    return found[position].error if position < len(found) else None


def _description(contract: Contract, choice: Choice) -> str:
    return contract.notes.description(f"feature_{choice.kind}s", choice.name)


def _lines(feature_set: FeatureSet, contract: Contract, found: list[Found]) -> list[Line]:
    now_ns = time.time_ns()
    rows = [cells_of(feature_set, one.row, key=one.key, now_ns=now_ns) for one in found if one.row is not None]
    return [
        Line(feature, contract.notes.description("features", feature.reference), cells)
        for feature, *cells in zip(feature_set.features, *rows, strict=True)
    ]


def _absent_views(feature_set: FeatureSet, row: Row) -> list[str]:
    views: dict[str, set[FeatureStatus]] = {}
    for feature, status in zip(feature_set.features, row.judgement.statuses, strict=True):
        views.setdefault(feature.view, set()).add(status)
    return [view for view, some in views.items() if some == {FeatureStatus.NOT_FOUND}]
