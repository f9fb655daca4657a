"""Visits pages with a real browser, and notes what a page must not do."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any
from urllib.parse import urlsplit

from playwright.async_api import Browser, Page

BOUND_MS = 60_000
PHONE = {"width": 360, "height": 740}
DESK = {"width": 1200, "height": 900}
# axe-core, as axe-playwright-python brings it.
_AXE = files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")


@dataclass
class Visit:
    """A page in a browser."""

    page: Page
    faults: list[str] = field(default_factory=list)
    """Errors on its console, dialogs, and requests to other hosts."""

    _host: str = ""

    async def to(self, url: str) -> None:
        """Go there, and forbid requests to other hosts from there on."""
        self._host = urlsplit(url).netloc
        await self.page.goto(url)

    def requested(self, url: str) -> None:
        """Note a request."""
        if not url.startswith("blob:") and urlsplit(url).netloc != self._host:
            self.faults.append(f"a request to {url}")

    async def findings(self) -> list[str]:
        """What axe finds that keyboards and screen readers can't use, or eyes can't tell."""
        await self.page.evaluate(_AXE)
        found: dict[str, Any] = await self.page.evaluate("axe.run()")
        return [
            f"{one['id']}: {node['html'][:200]} {node['failureSummary']}"
            for one in found["violations"]
            for node in one["nodes"]
        ]

    async def too_wide(self) -> int:
        """How many pixels of the page are beyond the window's width."""
        wider: int = await self.page.evaluate(
            "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )
        return wider

    async def focused(self) -> str:
        """The text or the name of what has the focus."""
        found: str = await self.page.evaluate(
            "(document.activeElement.name || document.activeElement.textContent).trim().replace(/\\s+/g, ' ')"
        )
        return found


@asynccontextmanager
async def visiting(browser: Browser, **options: Any) -> AsyncIterator[Visit]:
    """A window of its own, on a desk unless options say otherwise; fails for what the page must not do."""
    context = await browser.new_context(**{"viewport": DESK, **options})
    context.set_default_timeout(BOUND_MS)
    page = await context.new_page()
    visit = Visit(page)
    page.on("console", lambda message: visit.faults.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: visit.faults.append(str(error)))
    page.on("request", lambda request: visit.requested(request.url))

    async def dialog_opened(dialog: Any) -> None:
        visit.faults.append(f"a dialog: {dialog.message}")
        await dialog.dismiss()

    page.on("dialog", dialog_opened)
    yield visit
    assert visit.faults == []
    await context.close()
