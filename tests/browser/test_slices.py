"""Journeys through the slices view in a real browser."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlparse

import pytest
from playwright.sync_api import BrowserContext, Page, expect


def settled(page: Page) -> Page:
    """Wait until the picture is complete."""
    expect(page.locator(".picture[data-loaded]").first).to_be_visible()
    expect(page.get_by_text("forwards").first).to_be_visible()
    expect(page.get_by_role("button", name="Export").first).to_be_enabled()
    return page


def pixels(page: Page) -> list[str]:
    """The picture itself, as the browser has it: the data URLs of the fields."""
    found: list[str] = page.locator(".picture image").evaluate_all(
        "all => all.map(image => image.getAttribute('href'))"
    )
    return found


def test_open_choose_see_and_share(page: Page, new_context: Callable[..., BrowserContext]) -> None:
    page.goto("/")
    expect(page.get_by_role("heading", name="Boundary Atlas")).to_be_visible()
    expect(page.get_by_text("of 540 images")).to_be_visible()
    page.get_by_role("link", name="Slices").first.click()
    settled(page)
    expect(page.get_by_text("C: rocket, row 42")).to_be_visible()

    page.get_by_role("button", name="Anchors").click()
    page.get_by_role("radio", name="B", exact=True).click()
    page.get_by_role("button", name="coffee, image 2", exact=True).first.click()
    expect(page.get_by_text("B: coffee, row 2")).to_be_visible()
    page.keyboard.press("Escape")
    settled(page)
    expect(page.locator("div.legend").first).to_contain_text("coffee")

    first = pixels(page)
    assert first
    second = new_context().new_page()
    second.goto(page.url)
    settled(second)
    expect(second.get_by_text("B: coffee, row 2")).to_be_visible()
    assert pixels(second) == first


def frame(page: Page) -> tuple[float, float]:
    """The middle of the picture, in pixels of the page."""
    box = page.locator(".picture").first.bounding_box()
    assert box is not None
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def extent(page: Page) -> str:
    """The extent in the link."""
    return parse_qs(urlparse(page.url).query).get("extent", [""])[0]


def at_slices(page: Page, **settings: str) -> Page:
    query = {"models": "demo:photos/standard", "images": "demo:photos", "rows": "3,17,42", **settings}
    page.goto(f"/slices?{urlencode(query)}")
    return settled(page)


def drag(page: Page, size: float) -> None:
    """Drag a box of this many pixels around the middle of the picture."""
    x, y = frame(page)
    page.mouse.move(x - size / 2, y - size / 2)
    page.mouse.down()
    page.mouse.move(x + size / 2, y + size / 2, steps=4)
    page.mouse.up()


def test_zoom_three_levels_deep_and_back(page: Page) -> None:
    at_slices(page)
    seen = [extent(page)]
    for _ in range(3):
        drag(page, 150)
        page.wait_for_url(lambda url: parse_qs(urlparse(url).query).get("extent", [""])[0] not in seen)
        seen.append(extent(page))
        settled(page)
    widths = [float(ends.split(",")[1]) - float(ends.split(",")[0]) for ends in seen[1:]]
    assert widths[0] > 3 * widths[1] > 9 * widths[2]  # 150 of 540 pixels each time
    page.get_by_role("button", name="Show the whole plane").click()
    page.wait_for_url(lambda url: "extent" not in url)
    settled(page)


def test_pan_by_keys_and_pick(page: Page) -> None:
    at_slices(page, extent="0.0,8.0,-4.0,4.0")
    x, y = frame(page)
    page.mouse.click(x, y)
    expect(page.get_by_text("outside the pixel box")).to_be_visible()
    expect(page.get_by_role("button", name="point 4.0")).to_be_visible()
    expect(page.get_by_text("nearest boundary in this plane")).to_be_visible()
    expect(page.locator(".fact").first).to_contain_text("ℓ2")
    page.locator(".picture").first.focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_url(lambda url: parse_qs(urlparse(url).query)["extent"][0].startswith("1.0,9.0"))
    page.keyboard.press("0")
    page.wait_for_url(lambda url: "extent" not in url)


def test_compare_two_models_on_one_plane(page: Page, new_context: Callable[..., BrowserContext]) -> None:
    at_slices(page)
    page.get_by_role("button", name="+ compare").click()
    page.get_by_role("combobox", name="Compare with").click()
    page.get_by_role("option", name="photos / standard-1").click()
    page.keyboard.press("Escape")  # the list of options
    page.keyboard.press("Escape")  # the popover
    expect(page.get_by_text("Near a boundary: where a margin is below 1 logit")).to_be_visible()
    expect(page.locator(".picture")).to_have_count(2)
    settled(page)
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy link").click()
    link = page.evaluate("navigator.clipboard.readText()")
    assert link == page.url
    second = new_context().new_page()
    second.goto(link)
    settled(second)
    expect(second.locator(".picture")).to_have_count(2)
    expect(second.get_by_text("Near a boundary: where a margin is below 1 logit")).to_be_visible()
    assert pixels(second) == pixels(page)


def test_change_the_kind_of_plane(page: Page) -> None:
    at_slices(page)
    page.get_by_role("radio", name="directions").click()
    expect(page.get_by_text("gradient of hubble")).not_to_have_count(0)
    page.wait_for_url(lambda url: "plane=directions" in url)
    settled(page)


def test_cancel_and_go_on(page: Page) -> None:
    at_slices(page)
    page.get_by_role("radio", name="1024").click()
    page.wait_for_url(lambda url: "resolution=1024" in url)
    page.get_by_role("radio", name="full").click()
    page.wait_for_url(lambda url: "method=full" in url)
    expect(page.get_by_role("radio", name="full")).to_be_checked()
    page.get_by_role("button", name="Cancel").first.click()  # on a slow machine the profile beneath has one too
    expect(page.get_by_role("button", name="Stopped here. Go on")).to_be_visible()
    expect(page.locator(".picture").first).to_be_visible()  # the picture so far stays
    expect(page.get_by_role("button", name="Export").first).to_be_disabled()
    page.get_by_role("radio", name="128").click()
    settled(page)
    expect(page.get_by_text("16,384 points, 16,384 forwards")).to_be_visible()


def test_a_closed_tab_takes_its_work_along(new_context: Callable[..., BrowserContext]) -> None:
    slow, quick = (new_context().new_page() for _ in range(2))
    query = {"models": "demo:photos/standard", "images": "demo:photos", "resolution": "2048", "method": "full"}
    slow.goto(f"/slices?{urlencode({**query, 'rows': '7,27,57'})}")
    expect(slow.get_by_role("button", name="Cancel")).to_be_visible()
    expect(slow.get_by_text("s left")).to_be_visible()  # under way: four million points take minutes
    slow.close()
    at_slices(quick, rows="8,28,58", resolution="128")  # of the same rank: it does not pass what is under way


@pytest.mark.parametrize("kind", ["PDF", "SVG"])
def test_export_and_drop_the_file_back(page: Page, tmp_path: Path, kind: str) -> None:
    from core.figures.drawing.provenance import read_recipe
    from core.recipes.recipe import Recipe

    at_slices(page, shading="entropy", extent="-1.0,7.0,-3.0,5.0", resolution="128")
    page.locator(".st-key-frame-right").get_by_role("button", name="Export").click()
    with page.expect_download() as started:
        page.get_by_role("button", name=kind, exact=True).click()
    path = tmp_path / started.value.suggested_filename
    started.value.save_as(path)
    recipe = Recipe.read(read_recipe(path))
    assert recipe.figure["shading"] == "entropy"
    assert recipe.parameters["extent"] == (-1.0, 7.0, -3.0, 5.0)
    page.goto("/")
    page.locator("input[type=file]").set_input_files(path)
    page.wait_for_url(lambda url: "shading=entropy" in url and "resolution=128" in url)
    settled(page)
    assert extent(page) == "-1.0,7.0,-3.0,5.0"


def test_a_file_without_a_recipe_is_refused_in_one_sentence(page: Page, tmp_path: Path) -> None:
    path = tmp_path / "foreign.svg"
    path.write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    page.goto("/")
    page.locator("input[type=file]").set_input_files(path)
    expect(page.get_by_text("foreign.svg cannot be opened: expected a figure or a result")).to_be_visible()
