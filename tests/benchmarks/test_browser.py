"""How long a person waits in the browser: recorded beside the goals, never asserted."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

VIEW = "/slices?models=demo:photos/standard&images=demo:photos&rows={rows}"


@pytest.fixture
def chromium() -> Iterator[Browser]:
    """A browser of its own, started as the browser journeys start theirs."""
    import os
    import shutil

    path = os.environ.get("CHROMIUM") or shutil.which("chromium")
    settings: dict[str, Any] = {"executable_path": path} if path else {}
    flags = ["--disable-gpu", "--disable-background-networking", *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(args=flags, **settings)
        yield browser
        browser.close()


def pictures(page: Page) -> int:
    """How many pictures have been drawn so far."""
    return int(page.locator(".picture").first.get_attribute("data-loaded") or 0)


def wait(page: Page, done: Callable[[], bool]) -> float:
    """Seconds until something is so."""
    begin = time.monotonic()
    while not done():
        page.wait_for_timeout(20)
    return time.monotonic() - begin


def settled(page: Page) -> bool:
    return page.get_by_role("button", name="Export").first.is_enabled()


def test_waiting_for_pictures(chromium: Browser, serve: Any, checkout: Path, say: Callable[[str], None]) -> None:
    dashboard = serve(checkout)
    for name, rows in (("cold", "3,17,42"), ("warm", "5,100,400")):
        page = chromium.new_page(viewport={"width": 1280, "height": 900})
        begin = time.monotonic()
        page.goto(dashboard.url + VIEW.format(rows=rows))
        expect(page.locator(".picture[data-loaded]").first).to_be_visible(timeout=60_000)
        first = time.monotonic() - begin
        wait(page, lambda page=page: settled(page))  # type: ignore[misc]
        say(f"opening the slices view, {name}: first picture {first:.1f} s, complete {time.monotonic() - begin:.1f} s")
    for zoom in range(3):
        x, y = (float(part) for part in page.locator(".picture").first.evaluate(_MIDDLE).split(","))
        before, url = pictures(page), page.url
        page.mouse.move(x - 90, y - 90)
        page.mouse.down()
        page.mouse.move(x + 90, y + 90, steps=4)
        page.mouse.up()
        first = wait(page, lambda before=before: pictures(page) > before)  # type: ignore[misc]
        rest = wait(page, lambda url=url: page.url != url and settled(page))  # type: ignore[misc]
        say(f"zoom {zoom + 1}: first picture {first:.1f} s, goal 1 s; refined {first + rest:.1f} s, goal 3 s")
        assert page.url != url


_MIDDLE = "node => { const r = node.getBoundingClientRect(); return `${r.x + r.width / 2},${r.y + r.height / 2}`; }"
