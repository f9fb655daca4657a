"""Which web pages may use locust's own page: those of its own origin alone."""

from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from flask import Flask


def refuse_other_origins(app: Flask) -> None:
    """Answer 403 to pages of other origins, which locust lets start a load and read its results."""
    served: Any = app.wsgi_app

    def of_own_origin(environment: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        origin = environment.get("HTTP_ORIGIN")
        if origin is not None and urlsplit(origin).netloc != environment.get("HTTP_HOST"):
            start_response(f"{HTTPStatus.FORBIDDEN:d} Forbidden", [("Content-Type", "text/plain")])
            return [b"pages of other origins are refused\n"]
        answer: Iterable[bytes] = served(environment, start_response)
        return answer

    setattr(app, "wsgi_app", of_own_origin)  # noqa: B010  # Flask's own way to wrap an app; mypy sees a method
