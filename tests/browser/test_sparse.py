"""One journey through the view of sparse perturbations, in a real browser."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlencode

from playwright.sync_api import BrowserContext, Page, expect

from tests.links import link


def test_find_replay_click_ask_share_and_cut(page: Page, new_context: Callable[..., BrowserContext]) -> None:
    query = {
        "models": "demo:digits/standard",
        "images": "demo:digits",
        "rows": "5",
        "supports.count": "4",
        "supports.draws": "50",
    }
    page.goto("/")
    page.get_by_role("link", name="Sparse").first.click()
    expect(page.get_by_role("heading", name="Sparse", exact=True)).to_be_visible()
    page.goto(f"/sparse?{urlencode(query)}")
    expect(page.get_by_text("pixels changed", exact=True)).to_be_visible()
    expect(page.get_by_role("button", name="Open this plane in Slices")).to_be_visible()

    slider = page.get_by_role("slider", name="Pixels used")
    slider.press("ArrowLeft")
    page.wait_for_url(lambda url: "used=" in url)

    support = page.locator(".picture[data-loaded]").last
    box = support.bounding_box()
    assert box is not None
    support.click(position={"x": box["width"] * 4.5 / 32, "y": box["height"] * 7.5 / 32})
    expect(page.get_by_text("Pixel at row 7, column 4")).to_be_visible()
    assert (link(page, "pixel.row"), link(page, "pixel.column")) == ("7", "4")

    page.get_by_role("button", name="Find the pixels of 4 images").click()
    expect(page.get_by_text("4 of 4 images flipped")).to_be_visible()
    assert link(page, "also") == "pixel,supports"

    second = new_context().new_page()
    second.goto(page.url)
    expect(second.get_by_text("4 of 4 images flipped")).to_be_visible()
    expect(second.get_by_text("Pixel at row 7, column 4")).to_be_visible()
    assert second.url == page.url

    page.get_by_role("button", name="Open this plane in Slices").click()
    expect(page.get_by_role("heading", name="Slices", exact=True)).to_be_visible()
    expect(page.locator(".picture[data-loaded]").first).to_be_visible()
    assert (link(page, "u"), link(page, "v")) == ("adversarial", "sparse")


def test_a_picked_point_of_a_slice_is_asked_about(page: Page) -> None:
    query = {"models": "demo:digits/standard", "images": "demo:digits", "rows": "5,9,14", "point": "0.5,0.25"}
    page.goto(f"/slices?{urlencode(query)}")
    page.get_by_role("button", name="Find few pixels here").click()
    expect(page.get_by_role("heading", name="Sparse", exact=True)).to_be_visible()
    expect(page.get_by_text("The point 0.50, 0.25 that was picked on a slice.")).to_be_visible()
    assert link(page, "at") == "0.5,0.25"
    page.get_by_role("button", name="Back to the image itself").click()
    page.wait_for_url(lambda url: "at=" not in url)
