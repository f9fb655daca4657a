"""What can be said of an error without a part of a password."""

import re
from urllib.parse import unquote

_USER = re.compile(r"://(.*)@", re.DOTALL)
_ENCODED = re.compile(r"[^:@/?#\s]*:?[^:@/?#\s]*")


def explained(error: Exception, url: str) -> str:
    """Return an error's kind and what it says, in one line; of its text only what has no part of the URL's password."""
    kind = type(error).__name__
    user = _USER.search(url)
    if user and not _ENCODED.fullmatch(user[1]):
        # Libraries take a part of such a password for the host or the port, and quote it.
        return f"{kind}; percent-encode the characters @ : / ? # in the user name and the password of its URL"
    text = " ".join(str(error.__cause__ or error).split())
    password = user[1].partition(":")[2] if user else ""
    if password and (password in text or unquote(password) in text):
        return kind
    return f"{kind}: {text}" if text else kind
