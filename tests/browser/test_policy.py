"""Every view does its work under the headers that the server sends: nothing of it is blocked, and it is in no frame."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from dashboard.viewer.words import LENSES

VIEWS = ("", "gallery", "model", "images", *LENSES)


@pytest.mark.parametrize("view", VIEWS)
def test_nothing_of_a_view_is_blocked(page: Page, view: str) -> None:
    blocked: list[str] = []
    page.add_init_script(
        "document.addEventListener('securitypolicyviolation', e => console.error("
        "`Content Security Policy: ${e.violatedDirective} ${e.blockedURI} ${e.sourceFile}:${e.lineNumber}`))"
    )
    page.on("console", lambda said: blocked.append(said.text) if "Content Security Policy" in said.text else None)
    answer = page.goto(f"/{view}")
    assert answer is not None
    assert "script-src 'self' blob: 'wasm-unsafe-eval' 'sha256-" in answer.headers["content-security-policy"]
    expect(page.get_by_test_id("stApp")).to_have_attribute("data-test-script-state", "notRunning")
    expect(page.locator("h1").first).to_be_visible()
    page.wait_for_timeout(3000)  # what comes late: plots, thumbnails, previews
    assert page.evaluate("[...document.images].filter(each => each.complete && !each.naturalWidth).length") == 0
    assert blocked == []


def test_no_page_elsewhere_can_frame_it(page: Page, base_url: str) -> None:
    page.route("http://elsewhere.example/", lambda route: route.fulfill(
        content_type="text/html", body=f"<iframe src='{base_url}/limits'></iframe>"
    ))  # fmt: skip
    page.goto("http://elsewhere.example/")
    page.wait_for_timeout(2000)
    assert [frame.url for frame in page.frames if frame.url.startswith(base_url)] == []
