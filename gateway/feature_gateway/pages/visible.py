"""Texts of definitions and stores as people can read them: nothing hidden, nothing that moves its neighbours."""

import re

from markupsafe import Markup

_MAX_SHOWN = 160
_MAX_WHOLE = 200_000
_MAX_PLAIN = 80

# Controls, half characters, and marks that turn, hide or join what stands around them.
_HIDDEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)


def visible(text: str) -> str:
    r"""Return a text with hidden characters as escapes, such as \u202e for the mark that turns a line around."""
    return _HIDDEN.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def plain(text: str, most: int = _MAX_PLAIN) -> str:
    """Return the start of a visible text, for places that take no markup."""
    return visible(text if len(text) <= most else text[:most] + "…")


def shown(text: str, most: int = _MAX_SHOWN) -> Markup:
    """Return a text as HTML that keeps its direction to itself; of a long one the start, which opens to the rest."""
    if len(text) <= most:
        return Markup("<bdi>{}</bdi>").format(visible(text))
    rest = f" Only the first {_MAX_WHOLE:,} are shown." if len(text) > _MAX_WHOLE else ""
    return Markup(
        '<details class="long"><summary><bdi>{}…</bdi> <span class="note">{:,} characters</span></summary>'
        '<bdi class="whole" tabindex="0">{}</bdi><span class="note">{}</span></details>'
    ).format(visible(text[:most]), len(text), visible(text[:_MAX_WHOLE]), rest)
