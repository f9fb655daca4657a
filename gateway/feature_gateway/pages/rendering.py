"""Makes HTML of templates. What a template shows is escaped, and no page runs what is not the gateway's own script."""

import asyncio
from collections.abc import Mapping
from http import HTTPStatus
from importlib.resources import files
from typing import Any

from aiohttp import web
from jinja2 import Environment, PackageLoader, StrictUndefined

from feature_gateway.pages.visible import plain, shown

HEADERS: Mapping[str, str] = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    # A page's address has the key that was looked up.
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
"""The headers of every answer of the pages."""

_TYPES = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}


class Renderer:
    """Renders the templates of this package, and has its other files."""

    def __init__(self) -> None:
        """Read the files; templates are compiled when they are first used."""
        self._environment = Environment(
            loader=PackageLoader(__package__),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.filters |= {"shown": shown, "plain": plain}
        folder = files(__package__) / "static"
        self._files = {file.name: file.read_bytes() for file in folder.iterdir()}

    async def page(self, name: str, *, status: HTTPStatus = HTTPStatus.OK, **values: Any) -> web.Response:
        """Return the page of a template."""
        template = self._environment.get_template(f"{name}.html")
        # Off the event loop, which calls run on: a page can have a thousand features of 100 kB.
        text = await asyncio.to_thread(template.render, page=name, **values)
        # A request can have half a character, which no page can.
        body = text.encode(errors="replace")
        return web.Response(body=body, status=status, content_type="text/html", charset="utf-8", headers=HEADERS)

    async def file(self, request: web.Request) -> web.Response:
        """Return a style, a script or a picture."""
        name = request.match_info["name"]
        if name not in self._files:
            raise web.HTTPNotFound
        kind = _TYPES[name.rpartition(".")[2]]
        headers = {**HEADERS, "Cache-Control": "no-cache"}
        return web.Response(body=self._files[name], content_type=kind, charset="utf-8", headers=headers)
