"""One journey through the view of level sets, in a real browser."""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import urlencode

from playwright.sync_api import BrowserContext, Page, expect

from tests.links import link


def test_walk_pick_and_cut(page: Page, new_context: Callable[..., BrowserContext]) -> None:
    query = {"models": "demo:digits/standard", "images": "demo:digits", "rows": "5,1,2", "steps": "12"}
    page.goto(f"/level_sets?{urlencode(query)}")
    expect(page.get_by_role("heading", name="Level sets", exact=True)).to_be_visible()
    expect(page.get_by_text("Where the walks ended")).to_be_visible()
    picture = page.locator(".picture[data-loaded]").first
    expect(picture).to_be_visible()

    box = picture.bounding_box()
    assert box is not None
    picture.click(position={"x": box["width"] / 2, "y": box["height"] / 3})
    expect(page.get_by_text("Picked point of the plane")).to_be_visible()
    page.wait_for_url(lambda url: "point=" in url)

    second = new_context().new_page()
    second.goto(page.url)
    expect(second.get_by_text("Where the walks ended")).to_be_visible()

    page.get_by_role("button", name="Open this plane in Slices").click()
    expect(page.get_by_role("heading", name="Slices", exact=True)).to_be_visible()
    expect(page.get_by_text("walk on its level set towards image 1")).to_be_visible()
    assert (link(page, "u"), link(page, "v")) == ("walk:1,equality,5,12", "walk:2,equality,5,12")

    page.get_by_role("button", name="Walks from here").click()
    expect(page.get_by_text("put back into the pixel box").first).to_be_visible()
    expect(page.get_by_text("A walk from point", exact=False).first).to_be_visible()
    page.get_by_role("button", name="Choose targets").click()
    page.get_by_role("button", name=re.compile("image 9$")).click()
    page.wait_for_url(lambda url: "rows=5%2C1%2C2%2C9" in url)
    assert link(page, "at")  # its plane stays, as the first image and the directions do
