"""One journey from local properties to limits, in a real browser: measure, change, paint a class, watch it peel off."""

from __future__ import annotations

from urllib.parse import urlencode

from playwright.sync_api import Page, expect

from tests.links import link


def test_measure_around_an_image_and_paint_a_class(page: Page) -> None:
    query = {"models": "demo:digits/standard", "images": "demo:digits", "rows": "3", "count": "8", "permutations": "9"}
    page.goto(f"/local?{urlencode(query)}")
    charts = page.locator(".js-plotly-plot")
    expect(page.get_by_text("8 pairs of directions uniform on the sphere").first).to_be_visible()
    expect(charts).to_have_count(3)
    page.get_by_role("radio", name="subspace").click()
    expect(page.get_by_text("8 pairs of directions uniform in a random subspace").first).to_be_visible()
    assert link(page, "sampler") == "subspace"

    page.get_by_role("link", name="Limits", exact=True).first.click()
    expect(page.get_by_text("against 70 of 1,024 changed values")).to_be_visible()
    page.get_by_role("radio", name="2", exact=True).first.click()
    expect(page.get_by_text("diagonal of the box")).to_be_visible()

    board = page.locator(".picture[data-loaded]")
    expect(page.get_by_text("8 of 16 images in the class; 2 keep it against every change of 1 pixel")).to_be_visible()
    box = board.bounding_box()
    assert box is not None
    outside = {"x": 0.125 * box["width"], "y": 0.125 * box["height"]}  # first of four, in the top row
    board.click(position=outside)
    expect(page.get_by_text("9 of 16 images in the class")).to_be_visible()
    assert int(link(page, "painting.painted"), 16).bit_count() == 9
    board.click(position=outside)
    expect(page.get_by_text("8 of 16 images in the class; 2 keep it against every change of 1 pixel")).to_be_visible()
    page.locator(".st-key-painting-radius-slider").get_by_role("slider").press("ArrowRight")
    expect(page.get_by_text("8 of 16 images in the class; 0 keep it against every change of 2 pixels")).to_be_visible()

    page.locator(".st-key-painting-side").get_by_role("radio", name="3").click()
    expect(page.get_by_text("All black-and-white images of 3 x 3 pixels")).to_be_visible()
    expect(page.get_by_text("256 of 512 images in the class")).to_be_visible()
