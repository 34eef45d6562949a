"""The page behind its server, and one Chromium for all tests that open it."""

from __future__ import annotations

import contextlib
import shutil
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from mnist1d_hf.playground.serve import serving

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
HOW = "no Chromium found; on Debian: sudo apt-get install --no-install-recommends chromium"


@pytest.fixture(scope="session")
def site() -> Iterator[str]:
    """The address of the page."""
    with serving() as (server, address):
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield address
        server.shutdown()
        thread.join()


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """A Chromium; without one, the tests that ask for it are skipped."""
    if CHROMIUM is None:
        pytest.skip(HOW)
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=20_000)  # for a machine that does other things, too
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM)
        yield started
        started.close()


Open = Callable[..., Any]


@pytest.fixture
def visit(browser: Any, site: str) -> Iterator[Open]:
    """Open the page in a new window: `visit(fragment, **options of the window)`.

    `address` is that of the folder, `loaded` gets the sizes of all files.

    At the end: nothing was asked of any other address, and the console shows no error.
    """
    elsewhere: list[str] = []
    problems: list[str] = []
    with contextlib.ExitStack() as windows:

        def call(fragment: str = "", address: str = site, loaded: dict[str, int] | None = None, **options: Any) -> Any:
            context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
            windows.callback(context.close)

            def guard(route: Any) -> None:
                if route.request.url.startswith(address):
                    route.continue_()
                else:
                    elsewhere.append(route.request.url)
                    route.abort()

            context.route("**/*", guard)
            if loaded is not None:
                context.on(
                    "response", lambda answer: loaded.update({answer.url: int(answer.headers["content-length"])})
                )
            page = context.new_page()
            page.set_default_timeout(20_000)
            page.on("console", lambda told: problems.append(told.text) if told.type in ("error", "warning") else None)
            page.on("pageerror", lambda error: problems.append(str(error)))
            page.goto(address + fragment)
            page.wait_for_selector("main section:not([hidden])")
            return page

        yield call
    assert (elsewhere, problems) == ([], [])
