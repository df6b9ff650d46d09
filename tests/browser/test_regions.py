"""Journeys through the views of regions, shared directions and the detector, in a real browser."""

from __future__ import annotations

import re
from urllib.parse import urlencode

from playwright.sync_api import Page, expect

from tests.links import link

DIGITS = {"models": "demo:digits/standard", "images": "demo:digits"}


def test_two_images_are_picked_and_joined(page: Page) -> None:
    page.goto(f"/regions?{urlencode({**DIGITS, 'rows': '5,9', 'end': 'relabelled'})}")
    expect(page.get_by_role("heading", name="Regions", exact=True)).to_be_visible()
    expect(page.get_by_text("end moved for its class")).to_be_visible()

    page.get_by_role("button", name="Anchors").click()
    page.get_by_role("radio", name="B", exact=True).click()
    page.get_by_role("button", name=re.compile("image 14$")).click()
    page.wait_for_url(lambda url: "rows=5%2C14" in url or "rows=5,14" in url)
    page.keyboard.press("Escape")
    expect(page.get_by_text("relabelled", exact=False).filter(has_text="row 14").first).to_be_visible()
    expect(page.get_by_text("path found", exact=True)).to_be_visible()
    expect(page.get_by_text("length of the path over the straight one")).to_be_visible()
    drawn = page.locator(".js-plotly-plot").first
    expect(drawn.locator(".imagelayer image")).to_have_count(14)  # frames of the path, and of the straight segment
    expect(drawn.get_by_text("distance along the way")).to_be_visible()
    assert link(page, "end") == "relabelled"


def test_shared_directions_and_the_detector_show_their_first_pictures(page: Page) -> None:
    page.goto(f"/directions?{urlencode({**DIGITS, 'rows': '5', 'count': 2, 'directions': 2, 'noise': 1})}")
    expect(page.get_by_text("largest mean curvature")).to_be_visible()
    drawn = page.locator(".js-plotly-plot").first
    expect(drawn.get_by_text("curvature over chance")).to_be_visible()
    expect(page.get_by_role("button", name="Put noise along directions")).to_be_visible()

    few = {"count": 2, "overshoots": "1.1", "probes": 2, "classes": 1}
    page.goto(f"/detector?{urlencode({**DIGITS, 'rows': '5', **few})}")
    expect(page.get_by_text("not a defence", exact=False).first).to_be_visible()
    expect(page.locator(".fact").get_by_text("class recovered")).to_be_visible()
    expect(page.locator(".js-plotly-plot").first.get_by_text("clean images called perturbed")).to_be_visible()
