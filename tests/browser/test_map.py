"""One journey through the map, in a real browser: look, choose, draw around, share, follow a path, cut."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlencode

from playwright.sync_api import BrowserContext, Page, expect

from tests.links import link

QUERY = {
    "models": "demo:digits/standard",
    "images": "demo:digits",
    "rows": "3,17,42",
    "count": "60",
    "seeds": "1",
    "resolution": "8",
    "map_path.steps": "4",
}


def test_look_choose_draw_around_share_and_cut(page: Page, new_context: Callable[..., BrowserContext]) -> None:
    page.goto(f"/map?{urlencode(QUERY)}")
    expect(page.get_by_role("heading", name="How faithful is this map?")).to_be_visible()
    sheet = page.locator(".map .sheet")
    expect(sheet.locator(".points g").nth(59)).to_be_attached()
    card = page.locator(".map .card")
    expect(card).to_be_hidden()

    sheet.focus()
    page.keyboard.press("ArrowRight")
    expect(card).to_be_visible()
    expect(card).to_contain_text("predicted")
    shown = card.inner_text().split(":")[0].removeprefix("image ")
    page.keyboard.press("Enter")
    page.wait_for_url(lambda url: f"rows={shown}%2C17%2C42" in url or f"rows={shown},17,42" in url)
    expect(page.get_by_text("put it in place B")).to_be_visible()

    box = sheet.bounding_box()
    assert box is not None
    left, top, side = box["x"], box["y"], box["width"]
    page.mouse.move(left + 3, top + 3)
    page.mouse.down()
    for across, down in ((0.99, 0.01), (0.99, 0.99), (0.01, 0.99), (0.01, 0.02)):
        page.mouse.move(left + across * side, top + down * side, steps=3)
    page.mouse.up()
    expect(page.get_by_text("60 images; other views show the first three")).to_be_visible()
    assert len(link(page, "rows").split(",")) == 60

    second = new_context().new_page()
    second.goto(page.url)
    expect(second.get_by_text("60 images; other views show the first three")).to_be_visible()
    assert second.url == page.url

    page.get_by_role("button", name="Draw a path").click()
    expect(page.get_by_text("Squares: gaussian blur, severity 0 to 5").first).to_be_visible()

    page.get_by_role("button", name="Slice A, B, C").click()
    expect(page.get_by_role("heading", name="Slices", exact=True)).to_be_visible()
    expect(page.locator(".picture[data-loaded]").first).to_be_visible()
    assert len(link(page, "rows").split(",")) == 3
