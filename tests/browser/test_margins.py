"""One journey through the view of margins, in a real browser."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlencode

from playwright.sync_api import BrowserContext, Page, expect

from tests.links import link


def test_map_mark_share_and_cut(page: Page, new_context: Callable[..., BrowserContext]) -> None:
    query = {"models": "demo:digits/standard", "images": "demo:digits", "rows": "5", "count": "2", "slides": "0"}
    page.goto("/")
    page.get_by_role("link", name="Margins").first.click()
    expect(page.get_by_role("heading", name="Margins", exact=True)).to_be_visible()
    page.goto(f"/margins?{urlencode(query)}")
    expect(page.get_by_text("3 images in 16 subspaces")).to_be_visible()
    picture = page.locator(".picture[data-loaded]").first
    expect(picture).to_be_visible()

    box = picture.bounding_box()
    assert box is not None
    picture.click(position={"x": box["width"] * 7 / 8, "y": box["height"] * 5 / 8})  # last column, second row
    page.wait_for_url(lambda url: "marked=7" in url)
    expect(page.get_by_text("without a preferred direction")).to_be_visible()

    second = new_context().new_page()
    second.goto(page.url)
    expect(second.get_by_text("without a preferred direction")).to_be_visible()
    assert second.url == page.url

    page.get_by_role("button", name="Slice along the lowest band and this one").click()
    expect(page.get_by_role("heading", name="Slices", exact=True)).to_be_visible()
    expect(page.locator(".picture[data-loaded]").first).to_be_visible()
    assert (link(page, "u"), link(page, "v")) == ("band:0,0", "band:8,24")
