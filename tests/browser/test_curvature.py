"""One journey through the view of curvature, in a real browser."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlencode

from playwright.sync_api import BrowserContext, Page, expect

from tests.links import link


def test_pick_measure_choose_walk_and_share(page: Page, new_context: Callable[..., BrowserContext]) -> None:
    query = {"models": "demo:digits/standard", "images": "demo:digits", "rows": "5,9,14", "point": "0.5,0.25"}
    page.goto(f"/slices?{urlencode({**query, 'resolution': 64})}")
    page.get_by_role("button", name="Curvature here").click()
    expect(page.get_by_role("heading", name="Curvature", exact=True)).to_be_visible()
    expect(page.get_by_text("The point 0.50, 0.25 that was picked on a slice.")).to_be_visible()
    expect(page.get_by_text("share of directions with curvature x distance below 0.1")).to_be_visible()

    gallery = page.locator(".picture[data-loaded]").first
    box = gallery.bounding_box()
    assert box is not None
    gallery.click(position={"x": box["width"] * 0.5, "y": box["height"] * 0.2})  # the third of five, first row
    page.wait_for_url(lambda url: "number=3" in url)
    expect(page.get_by_text("cut along principal direction 3", exact=False)).to_be_visible()

    page.get_by_role("button", name="Walk along this direction").click()
    expect(page.get_by_text("From the boundary point along its tangent", exact=False)).to_be_visible()
    assert (link(page, "curvature_section.number"), link(page, "also")) == ("3", "curvature_walk")

    second = new_context().new_page()
    second.goto(page.url)
    expect(second.get_by_text("cut along principal direction 3", exact=False)).to_be_visible()
    expect(second.get_by_text("From the boundary point along its tangent", exact=False)).to_be_visible()
    assert second.url == page.url
