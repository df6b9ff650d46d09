"""Journeys through the slices view in a real browser."""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import BrowserContext, Page, expect


def settled(page: Page) -> Page:
    """Wait until the picture is complete."""
    expect(page.locator(".picture[data-loaded]").first).to_be_visible()
    expect(page.get_by_text("forwards").first).to_be_visible()
    expect(page.get_by_role("button", name="Export")).to_be_enabled()
    return page


def pixels(page: Page) -> list[str]:
    """The picture itself, as the browser has it: the data URLs of the fields."""
    found: list[str] = page.locator(".picture image").evaluate_all(
        "all => all.map(image => image.getAttribute('href'))"
    )
    return found


def test_open_choose_see_and_share(
    page: Page, context: BrowserContext, new_context: Callable[..., BrowserContext]
) -> None:
    page.goto("/")
    expect(page.get_by_role("heading", name="Boundary Atlas")).to_be_visible()
    expect(page.get_by_text("of 540 images")).to_be_visible()
    page.get_by_role("link", name="Slices").first.click()
    settled(page)
    expect(page.get_by_text("C: rocket 42")).to_be_visible()

    page.get_by_role("button", name="Anchors").click()
    page.get_by_role("radio", name="B", exact=True).click()
    page.get_by_role("button", name="coffee, image 2", exact=True).first.click()
    expect(page.get_by_text("B: coffee 2")).to_be_visible()
    page.keyboard.press("Escape")
    settled(page)
    expect(page.locator(".legend")).to_contain_text("coffee")

    first = pixels(page)
    assert first
    second = new_context().new_page()
    second.goto(page.url)
    settled(second)
    expect(second.get_by_text("B: coffee 2")).to_be_visible()
    assert pixels(second) == first
