"""One journey through the view of corruptions, in a real browser."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlencode

from playwright.sync_api import BrowserContext, Page, expect

from tests.links import link


def test_walk_mark_draw_corrupt_share_and_cut(page: Page, new_context: Callable[..., BrowserContext]) -> None:
    query = {
        "models": "demo:photos/standard",
        "images": "demo:photos",
        "rows": "3",
        "steps": "6",
        "augmentation.draws": "1",
        "corruption.count": "3",
        "corruption.corruptions": "fog,contrast",
    }
    page.goto("/")
    page.get_by_role("link", name="Corruptions").first.click()
    expect(page.get_by_role("heading", name="Corruptions")).to_be_visible()
    page.goto(f"/corruptions?{urlencode(query)}")
    expect(page.get_by_text("Contrast from severity 0 to 5")).to_be_visible()
    expect(page.locator(".js-plotly-plot")).to_have_count(2)

    page.get_by_role("slider", name="Severity").press("ArrowRight")
    page.wait_for_url(lambda url: "marked=3.25" in url)
    expect(page.get_by_text("0.812 (share lost)")).to_be_visible()

    page.get_by_role("button", name="Corrupt 3 images of the set").click()
    expect(page.get_by_text("Accuracy on 3 images")).to_be_visible()
    expect(page.locator(".js-plotly-plot")).to_have_count(3)
    page.get_by_role("radio", name="change").click()
    expect(page.get_by_text("Change: mean ℓ2 length")).to_be_visible()
    assert link(page, "corruption.against") == "change"
    assert link(page, "also") == "corruption"

    second = new_context().new_page()
    second.goto(page.url)
    expect(second.get_by_text("Change: mean ℓ2 length")).to_be_visible()
    expect(second.get_by_text("0.812 (share lost)")).to_be_visible()
    assert second.url == page.url

    page.get_by_role("button", name="Slice along this corruption").click()
    expect(page.get_by_role("heading", name="Slices")).to_be_visible()
    expect(page.locator(".picture[data-loaded]").first).to_be_visible()
    assert link(page, "u") == "corruption:contrast"
    expect(page.get_by_text("contrast, severity 3").first).to_be_visible()
