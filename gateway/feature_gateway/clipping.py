"""Texts of errors, short enough for gRPC's trailers; each says how much is left out.

gRPC core drops trailers of 16 KB, and some of those above 8 KB; Java's client drops those above 8 KB. A message is in
the trailers up to three times: percent-encoded, and twice in the details, which are base64.
"""

from collections.abc import Mapping, Sequence

_MAX_MESSAGE_BYTES = 900
_MAX_LIST_BYTES = 600
_MAX_METADATA_BYTES = 1000
_MORE = "more"
# For the rest of a clipped text to be counted.
_COUNT_BYTES = 40


def clipped(text: str) -> str:
    """Return a text that fits; a longer one ends with the number of characters that are left out."""
    encoded = _encoded(text)
    if len(encoded) <= _MAX_MESSAGE_BYTES:
        return encoded.decode()
    kept = encoded[: _MAX_MESSAGE_BYTES - _COUNT_BYTES].decode(errors="ignore")
    return f"{kept}… ({len(text) - len(kept)} more characters)"


def clipped_metadata(metadata: Mapping[str, str]) -> dict[str, str]:
    """Return the first entries, as many as fit; if some do not, "more" is the number of these."""
    kept: dict[str, str] = {}
    left_bytes = _MAX_METADATA_BYTES
    for name, value in metadata.items():
        # Besides the texts, an entry has tags and lengths.
        left_bytes -= len(_encoded(name)) + len(_encoded(value)) + 8
        if left_bytes < 0:
            return {**kept, _MORE: str(len(metadata) - len(kept))}
        kept[_encoded(name).decode()] = _encoded(value).decode()
    return kept


def listed(names: Sequence[str]) -> str:
    """Return names with commas between, as many as fit, and the number of the others."""
    text = ", ".join(names)
    if len(_encoded(text)) <= _MAX_LIST_BYTES:
        return text
    kept: list[str] = []
    left_bytes = _MAX_LIST_BYTES
    for name in names:
        left_bytes -= len(_encoded(name)) + 2
        if left_bytes < 0:
            break
        kept.append(name)
    rest = len(names) - len(kept)
    return f"{', '.join(kept)} and {rest} more" if kept else f"{rest} in all"


def _encoded(text: str) -> bytes:
    return text.encode(errors="replace")
