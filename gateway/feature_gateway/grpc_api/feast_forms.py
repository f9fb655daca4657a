"""Reads requests for one row of one join key without protobuf, once a request with the same selection was read with it.

Such a request is the selection, the column of the key with one value, and nothing else, in the order in which protobuf
writes fields. But for the value and the lengths around it, all its bytes are known. What differs in any other byte is
for protobuf to read.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, NamedTuple

from streamflow.features.feast.serving.ServingService_pb2 import GetOnlineFeaturesRequest

from feature_gateway.access.caller import ANYONE, Caller
from feature_gateway.contract.columns import ColumnKind
from feature_gateway.contract.feature_set import FeatureSet
from feature_gateway.contract.model import Contract
from feature_gateway.dtypes import DTYPES, INT_LIMITS
from feature_gateway.grpc_api.feast_request import FeastQuestion, question_of
from feature_gateway.wire import LENGTHS, field_of, heads, number_at, signed, varint

# One for each selection that callers use at a time, and a selection may have a kilobyte.
_MAX_FORMS = 1024
_MAX_SELECTION_BYTES = 4096
# Of a key's text. A longer one can be a key, but is rare.
_MAX_SIZE = 128

_SELECTIONS = b"\x0a", b"\x12"
"""The tags of feature_service and of features."""
_FULL_NAMES = b"\x20\x01"
"""The field full_feature_names, at the end of a request that has it."""

_VALUE, _COLUMN, _ENTRY = heads(1), heads(2), heads(3)
_MORE, _LOW_BITS, _BITS = 0x80, 0x7F, 7


class _Ahead(NamedTuple):
    """What stands ahead of a value of a certain size."""

    encoded: bytes
    column: int
    """Where in it the content of the column begins."""


@dataclass(frozen=True, slots=True)
class _Form:
    """The requests with one selection."""

    feature_set: FeatureSet
    feature_service: str
    """Empty for references."""
    references: tuple[str, ...]
    full_names: bool
    name: str
    ahead: Mapping[int, _Ahead]
    """By the bytes that a request has between selection and full_feature_names."""
    value_of: Callable[[bytes], Any]
    """Returns the value that bytes stand for; raises ValueError if they may be for another one."""

    def check(self, caller: Caller) -> None:
        """Raise GatewayError if a caller may not read what is selected."""
        if self.feature_service:
            caller.check_service(self.feature_service)
        else:
            caller.check_references(self.references, most=len(self.references))

    def read(self, request: bytes, start: int) -> FeastQuestion | None:
        """Return what a request asks whose selection ends at `start`; None if it is not of the form."""
        end = len(request) - len(_FULL_NAMES) if self.full_names else len(request)
        ahead = self.ahead.get(end - start)
        if ahead is None or not request.startswith(ahead.encoded, start):
            return None
        try:
            value = self.value_of(request[start + len(ahead.encoded) : end])
        except ValueError:
            return None
        column = request[start + ahead.column : end]
        return FeastQuestion(self.feature_set, self.full_names, {self.name: (value,)}, lambda _: column)


class FeastForms:
    """Reads requests, and remembers the forms that they have."""

    def __init__(self) -> None:
        """Create a reader that knows no forms yet."""
        self._contract: Contract | None = None
        self._forms: dict[bytes, _Form] = {}

    def question(self, request: bytes, contract: Contract, *, caller: Caller = ANYONE) -> FeastQuestion:
        """Return what a caller's encoded request asks; raise DecodeError, and what `question_of` raises."""
        if contract is not self._contract:
            self._contract, self._forms = contract, {}
        start = _end_of_selection(request)
        full_names = request.endswith(_FULL_NAMES)
        selection = request[:start] + _FULL_NAMES if full_names else request[:start]
        form = self._forms.get(selection)
        found = form.read(request, start) if form else None
        if form is not None and found is not None:
            form.check(caller)
            return found
        parsed = GetOnlineFeaturesRequest.FromString(request)
        asked = question_of(parsed, contract, caller=caller)
        if form is None and start:
            self._remember(selection, _form_of(asked, parsed), request, start)
        return asked

    def _remember(self, selection: bytes, form: _Form | None, request: bytes, start: int) -> None:
        # A request of the form has nothing that could change the selection.
        if form is None or form.read(request, start) is None:
            return
        if len(self._forms) >= _MAX_FORMS:
            del self._forms[next(iter(self._forms))]
        self._forms[selection] = form


def _end_of_selection(request: bytes) -> int:
    """Return where a selection ends that a request begins with; 0 if there is none, or a large one."""
    if not request.startswith(_SELECTIONS) or len(request) < len(_FULL_NAMES) + 1:
        return 0
    size, end = request[1], 2
    if size >= _MORE:
        if request[2] >= _MORE:
            return 0
        size, end = size & _LOW_BITS | request[2] << _BITS, 3
    return end + size if size <= _MAX_SELECTION_BYTES else 0


def _form_of(asked: FeastQuestion, request: GetOnlineFeaturesRequest) -> _Form | None:
    """Return the form of the requests that differ from one in the value alone; None for another number of columns."""
    columns = asked.feature_set.columns
    if len(columns) != 1 or columns[0].kind is not ColumnKind.JOIN_KEY:
        return None
    name, dtype = columns[0].name, columns[0].dtype
    selected = request.feature_service, tuple(request.features.val)
    return _Form(asked.feature_set, *selected, asked.full_names, name, _ahead(name, dtype), _VALUES[dtype])


@lru_cache
def _ahead(name: str, dtype: str) -> Mapping[int, _Ahead]:
    """Return what stands ahead of the values of a key, by the bytes of the whole field."""
    key, tag = field_of(1, name.encode()), DTYPES[dtype].tag
    found = {}
    for size in range(_MAX_SIZE + 1):
        value = tag + LENGTHS[size] if dtype == "String" else tag
        column = _VALUE[len(value) + size] + value
        entry = key + _COLUMN[len(column) + size] + column
        encoded = _ENTRY[len(entry) + size] + entry
        found[len(encoded) + size] = _Ahead(encoded, len(encoded) - len(column))
    return found


def _whole(content: bytes, *, limit: int) -> int:
    number = number_at(content, 0)
    # Protobuf takes longer forms of a number too, and cuts it to the bits of its type.
    if number is None or not -limit <= signed(number) < limit or varint(number) != content:
        raise ValueError
    return signed(number)


_VALUES: Mapping[str, Callable[[bytes], Any]] = {
    "String": bytes.decode,
    **{dtype: partial(_whole, limit=limit) for dtype, limit in INT_LIMITS.items()},
}
