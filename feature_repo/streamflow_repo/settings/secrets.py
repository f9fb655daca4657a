"""What keeps passwords out of errors and of what is printed."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from streamflow_repo.errors import ConnectionUrlError

# Of a URL that was parsed: behind its password, it has no other @ in front of a slash.
_USER_AND_PASSWORD = re.compile(r"(://[^:@/]*:)[^/]*@")
_PASSWORD_PARAMETER = re.compile(r"([?&](?:ssl)?password=)[^&]*")


def refuse_unprintable(url: str, variable: str) -> None:
    """Raise ConnectionUrlError for a URL with a control character, or with bytes that are not UTF-8."""
    if not url.isprintable():
        raise ConnectionUrlError(f"{variable} has a character that can't be printed; write its bytes as %XX")


def without_password(url: str) -> str:
    """Return a URL that could be parsed, with *** instead of its password."""
    return _PASSWORD_PARAMETER.sub(r"\1***", _USER_AND_PASSWORD.sub(r"\1***@", url))


@contextmanager
def redacted(password: str | None) -> Iterator[None]:
    """Have *** instead of a password in the message of an error of the block: a store may repeat what it was sent."""
    try:
        yield
    except Exception as error:
        if not password or password not in str(error):
            raise
        raise type(error)(str(error).replace(password, "***")) from None
