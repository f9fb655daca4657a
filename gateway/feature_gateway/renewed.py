"""What is made of files, made again when the files change."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar

from streamflow_logs import Event

from feature_gateway.errors import StartError
from feature_gateway.file_stamp import FileStamp, file_stamp

POLL_INTERVAL_S = 1.0

_log = logging.getLogger(__name__)

_T = TypeVar("_T")


class Renewed(Generic[_T]):
    """Holds what was made of files last; files that can't be used leave it in place."""

    def __init__(self, make: Callable[[], _T], files: Sequence[Path], *, what: str) -> None:
        """Call `make`, which raises OSError or ValueError for unusable files; `what` is the log's name for them.

        Raises StartError for files that can't be used.
        """
        self.refused = False
        """Whether the files have changed and can't be used."""

        self._make = make
        self._files = files
        self._what = what
        self._seen = self._stamps()
        try:
            self._current = make()
        except (OSError, ValueError) as error:
            raise StartError(f"{what}: {error}") from error

    @property
    def current(self) -> _T:
        """What was made last."""
        return self._current

    def check(self) -> bool:
        """Make it again if a file has changed, and return whether it was made; log the outcome of each change once."""
        stamps = self._stamps()
        if stamps == self._seen:
            return False
        try:
            made = self._make()
        except (OSError, ValueError) as error:
            self._seen, self.refused = stamps, True
            _log.warning(Event("files refused", reason=error, what=self._what))
            return False
        except Exception:  # noqa: BLE001  # the next change must still be seen
            self._seen, self.refused = stamps, True
            _log.exception(Event("unforeseen failure", of=f"reload of {self._what}"))
            return False
        if stamps != self._stamps():
            # Files are being replaced, one after another: they are looked at again.
            return False
        self._seen, self.refused, self._current = stamps, False, made
        _log.info(Event("files accepted", what=self._what))
        return True

    def _stamps(self) -> list[FileStamp | None]:
        return [file_stamp(file) for file in self._files]


async def keep_renewed(
    all_of: Sequence[Renewed[Any]],
    *,
    changed: Callable[[Sequence[Renewed[Any]]], object] = lambda _: None,
) -> None:
    """Check each every `POLL_INTERVAL_S` until cancelled; call `changed` with those that were made again, if any."""
    while True:
        await asyncio.sleep(POLL_INTERVAL_S)
        if made := [each for each in all_of if each.check()]:
            changed(made)
