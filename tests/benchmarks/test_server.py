"""Sixteen people at once on one server: everyone gets a first picture, and their own; how long it took is recorded."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from playwright.sync_api import expect, sync_playwright

PEOPLE = 16
MODELS = ("demo:photos/standard", "demo:photos/adversarial", "demo:digits/standard", "demo:photos/prime")


def test_sixteen_sessions(serve: Any, checkout: Path, say: Callable[[str], None]) -> None:
    dashboard = serve(checkout)
    path = os.environ.get("CHROMIUM") or shutil.which("chromium")
    settings: dict[str, Any] = {"executable_path": path} if path else {}
    flags = ["--disable-gpu", "--disable-background-networking", *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(args=flags, **settings)
        pages, asked, errors = [], [], []
        begin = time.monotonic()
        for person in range(PEOPLE):
            page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
            page.on("pageerror", lambda error: errors.append(str(error)))
            rows = f"{person},{person + 20},{person + 40}"
            model = MODELS[person % len(MODELS)]
            page.goto(f"{dashboard.url}/slices?models={model}&rows={rows}&resolution=256", wait_until="commit")
            pages.append(page)
            asked.append((model, rows))
        waited = []
        for page in pages:
            expect(page.locator(".picture[data-loaded]").first).to_be_visible(timeout=240_000)
            waited.append(time.monotonic() - begin)
        for page, (model, rows) in zip(pages, asked, strict=True):
            place = rows.split(",")
            for row in place:
                expect(page.get_by_text(f", row {row}").first).to_be_visible()
            name = model.removeprefix("demo:").replace("/", " / ")
            expect(page.get_by_text(f"model {name}").first).to_be_visible()
        browser.close()
    assert errors == []
    assert "Traceback" not in dashboard.log.read_text()
    half, last = sorted(waited)[PEOPLE // 2], max(waited)
    say(f"{PEOPLE} sessions at once: half have their first picture after {half:.1f} s, all after {last:.1f} s")
