"""One journey through the gallery, in a real browser: a figure is opened, left, and asked of another model."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlparse

from playwright.sync_api import Page, expect

from core.recipes.gallery import exhibit, gallery
from tests.links import link


def test_open_go_back_and_ask_it_of_another_model(page: Page) -> None:
    recipe = exhibit("limits").recipe
    place = [each.name for each in gallery()].index("limits")
    page.goto("/gallery")
    pictures = page.locator('[data-testid="stImage"] img')
    expect(pictures).to_have_count(len(gallery()))
    page.get_by_role("button", name="Open", exact=True).nth(place).click()
    expect(page.get_by_role("heading", name="Limits", exact=True)).to_be_visible()
    expect(page.locator(".js-plotly-plot").first).to_be_visible()
    assert dict(parse_qsl(urlparse(page.url).query)) == recipe.query()

    page.get_by_role("link", name="Gallery", exact=True).click()
    expect(page.get_by_role("heading", name="Gallery", exact=True)).to_be_visible()
    page.get_by_role("button", name="model photos / standard").click()
    page.get_by_role("radio", name="digits").first.click()
    page.get_by_text("digits / prime", exact=True).click()
    expect(page.get_by_role("button", name="model digits / prime")).to_be_visible()
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Run on my model").nth(place).click()
    expect(page.get_by_role("heading", name="Limits", exact=True)).to_be_visible()
    expect(page.locator(".js-plotly-plot").first).to_be_visible()
    assert (link(page, "models"), link(page, "images")) == ("demo:digits/prime", "demo:digits")
    assert link(page, "rows") == ",".join(map(str, recipe.rows))
