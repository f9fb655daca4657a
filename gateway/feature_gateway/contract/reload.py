"""The contract in service; a changed file replaces it as a whole, once the feature servers answer by it."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

from streamflow_logs import Event

from feature_gateway.contract.content import ContractError
from feature_gateway.contract.file import load_contract
from feature_gateway.contract.model import Contract
from feature_gateway.errors import as_gateway_error
from feature_gateway.file_stamp import file_stamp

_log = logging.getLogger(__name__)

POLL_INTERVAL_S = 1.0

TryOut = Callable[[Contract], Awaitable[object]]
"""Asks the feature servers to answer by a contract; raises while any of them can't."""


class ContractHolder:
    """Holds the contract in service; a call takes `current` once, and keeps it to its end."""

    def __init__(self, path: Path, *, default_feature_service: str) -> None:
        """Create a holder; raise ContractError if the file can't be used or lacks the default feature service.

        An empty `default_feature_service` is in any contract.
        """
        self._path = path
        self._default_feature_service = default_feature_service
        self._stamp = file_stamp(path)
        self._current = self._load()
        self._pending: Contract | None = None
        self._told: set[tuple[type[Exception], int]] = set()
        """The reasons for a pending contract that have been logged."""
        self.accepted = 0
        """Contracts put into service since the start."""

        self.refused = 0
        """Changes of the file that could not be used."""

        self.file_refused = False
        """Whether the file, as it was loaded last, could not be used."""

    @property
    def current(self) -> Contract:
        """The contract in service."""
        return self._current

    @property
    def pending(self) -> bool:
        """Whether a sound contract waits for the feature servers to answer by it."""
        return self._pending is not None

    async def check(self, try_out: TryOut) -> None:
        """Reload if the file has changed since the last load, so that a broken file is refused and logged once.

        Otherwise try a pending contract again.
        """
        if file_stamp(self._path) != self._stamp:
            await self.reload(try_out)
        elif self._pending is not None:
            await self._take_up(self._pending, try_out)

    async def reload(self, try_out: TryOut) -> None:
        """Put the file's contract into service if `try_out` succeeds, otherwise keep it pending.

        If the file can't be used, keep the old contract and log why. A contract that was pending is dropped.
        """
        # Taken ahead of the read, so that a write during the read is seen as the next change.
        self._stamp = file_stamp(self._path)
        self._pending = None
        before = self._current
        try:
            # Off the event loop: the file may be large, and its file system slow.
            contract = await asyncio.to_thread(self._load)
        except ContractError as error:
            self.refused += 1
            self.file_refused = True
            _log.error(Event("contract refused", reason=error, in_service=before.hash))  # the reason says all
            return
        self.file_refused = False
        if contract.hash == before.hash:
            if contract.notes != before.notes:
                # Its feature sets stay those by which calls merge.
                self._current = replace(before, notes=contract.notes)
            _log.info(Event("contract unchanged", in_service=before.hash))
            return
        self._told.clear()
        await self._take_up(contract, try_out)

    async def _take_up(self, contract: Contract, try_out: TryOut) -> None:
        before = self._current.hash
        try:
            await try_out(contract)
        except Exception as error:  # noqa: BLE001  # whatever it was, no call would have been answered
            self._pending = contract
            failure = as_gateway_error(error)
            if (why := (type(error), failure.reason)) not in self._told:
                self._told.add(why)
                if failure is not error:
                    _log.exception(Event("unforeseen failure", of="trial of a contract"))
                _log.warning(
                    Event("contract pending", reason=failure.message, contract=contract.hash, in_service=before)
                )
            return
        self._pending = None
        self._current = contract
        self.accepted += 1
        _log.info(Event("contract accepted", in_service=contract.hash, before=before))

    def _load(self) -> Contract:
        contract = load_contract(self._path)
        default = self._default_feature_service
        if default and default not in contract.services:
            raise ContractError(
                f"GATEWAY_DEFAULT_FEATURE_SERVICE is {default!r}; "
                f"the contract has {', '.join(sorted(contract.services))}"
            )
        return contract


async def keep_current(
    holder: ContractHolder, try_out: TryOut, *, asked: asyncio.Event, interval_s: float = POLL_INTERVAL_S
) -> None:
    """Check the file every `interval_s`, and reload it whenever `asked` is set; go on until cancelled."""
    while True:
        try:
            async with asyncio.timeout(interval_s):
                await asked.wait()
            asked.clear()
            act = holder.reload
        except TimeoutError:
            act = holder.check
        try:
            await act(try_out)
        except Exception:  # noqa: BLE001  # the next change must still be seen
            _log.exception(Event("unforeseen failure", of="reload of the contract"))
