"""Passwords in files, as Docker and Kubernetes mount secrets, beside URLs without them."""

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

from streamflow_repo.errors import ConnectionUrlError


def with_password(environment: Mapping[str, str], store: str) -> str:
    """Return the URL of a store, "POSTGRES" or "REDIS", with the password of its file if it has one.

    Raises ConnectionUrlError when the file can't be read, and when the URL has a password of its own.
    """
    url, variable = environment[f"{store}_URL"], f"{store}_PASSWORD_FILE"
    file = environment.get(variable)
    if not file:
        return url
    password = read_password(file, variable)
    try:
        parts = urlsplit(url)
    except ValueError:
        # Its message would quote parts of the URL.
        raise ConnectionUrlError(f"{store}_URL is not a URL") from None
    user, _, host = parts.netloc.rpartition("@")
    if ":" in user:
        raise ConnectionUrlError(f"{store}_URL has a password, and {variable} is set too; leave one of them out")
    return urlunsplit(parts._replace(netloc=f"{user}:{quote(password, safe='')}@{host}"))


def read_password(file: str, variable: str) -> str:
    """Return the password in the file that a variable names; raise ConnectionUrlError when the file can't be used."""
    try:
        password = Path(file).read_text(encoding="utf-8").rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise ConnectionUrlError(f"{variable} is {file!r}, which is not UTF-8") from error
    except OSError as error:
        raise ConnectionUrlError(f"{variable} is {file!r}, which can't be read: {error.strerror}") from error
    if not password:
        raise ConnectionUrlError(f"{variable} is {file!r}, which is empty")
    return password
