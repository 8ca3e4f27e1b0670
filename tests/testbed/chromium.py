"""A real browser without a window: Debian's Chromium, which Playwright drives."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from playwright.sync_api import Browser, Page, sync_playwright

SECONDS = 30
"""How long something on a page may take to come."""
_PROGRAM = "/usr/bin/chromium"
_OPTIONS = (
    "--no-sandbox",  # the tests run as root
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start the browser."""
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=_PROGRAM, args=list(_OPTIONS))
        yield browser
        browser.close()


class Visit:
    """A page that a user of a kind looks at; ``complaints`` are what the browser says about it."""

    def __init__(
        self,
        browser: Browser,
        url: str,
        *,
        scheme: Literal["light", "dark"] = "light",
        width: int = 1200,
        script: bool = True,
    ) -> None:
        self.complaints: list[str] = []
        self._context = browser.new_context(
            viewport={"width": width, "height": 800}, color_scheme=scheme, java_script_enabled=script
        )
        self._context.set_default_timeout(SECONDS * 1000)
        self.page: Page = self._context.new_page()
        self.page.on(
            "console", lambda one: self.complaints.append(one.text) if one.type in {"error", "warning"} else None
        )
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.goto(url)

    def text(self, place: str = "body") -> str:
        """Return what is to be read in a place, a CSS selector."""
        return str(self.page.inner_text(place))

    def shows(self, text: str, place: str = "body") -> None:
        """Wait until a text is to be read in a place."""
        self.page.locator(place).get_by_text(text).first.wait_for()

    def close(self) -> None:
        """Leave."""
        self._context.close()
