"""Choosing among thumbnails by pointer and keys, and copying the link, in a page of its own."""

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.browser.visits import START, Visits

APP = """
import numpy as np
import streamlit as st

from dashboard.viewer.copy_link import copy_link
from dashboard.viewer.thumbnails import thumbnail_grid


def choose(row):
    st.session_state["row"] = row
    st.session_state["clicks"] = st.session_state.get("clicks", 0) + 1


START
with st.container(horizontal=True):
    copy_link("link")
    st.button("Export")
n = 540
rows = [2 * i for i in range(n)]
levels = np.arange(n)[:, None, None, None] % 256
images = np.broadcast_to(levels, (n, 32, 32, 3)).astype(np.uint8)
labels = ["<img src=x>" if i == 1 else "cat" for i in range(n)]
notes = ["dog" if i % 5 == 2 else "cat" for i in range(n)]
with st.container(key="grid"):
    thumbnail_grid(
        images,
        key=f"images-{times}",
        rows=rows,
        labels=labels,
        notes=notes,
        frames=["#b84f4b"] * n,
        selected=[8],
        marks={0: "A", 6: "B", st.session_state.get("row", 600): "C"},
        on_choose=choose,
        height=240,
    )
thumbnail_grid(images[:3], key="look", rows=[0, 1, 2])
thumbnail_grid(images[:0], key="none", rows=[])
st.text(f"chose {st.session_state.get('row')}, {st.session_state.get('clicks', 0)} times")
""".replace("START", START)

Open = Callable[..., Page]


@pytest.fixture(scope="module")
def address(serve_page: Callable[..., str]) -> str:
    """Where the page above is served, in the dashboard's theme."""
    return serve_page(APP, themed=True)


@pytest.fixture(scope="module")
def visits(browser: Browser, address: str) -> Iterator[Visits]:
    """A small window that lends its clipboard."""
    visits = Visits(browser, 1000, 800)
    visits.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=address)
    yield visits
    visits.context.close()


@pytest.fixture
def visit(visits: Visits, address: str) -> Iterator[Open]:
    """Begin anew on the page with some query; nothing may fail in it, nor complain."""

    def visit(query: str = "") -> Page:
        page, times = visits(f"{address}/{query}")
        expect(page.locator(f".st-key-images-{times} button")).to_have_count(540)
        return page

    yield visit
    assert visits.complaints() == []


def thumbnails(page: Page) -> Locator:
    return page.locator(".st-key-grid button")


def chose(page: Page, row: int, times: int) -> None:
    expect(page.get_by_test_id("stText")).to_have_text(f"chose {row}, {times} times")


def test_a_click_chooses_an_image(visit: Open) -> None:
    page = visit()
    fourth = page.get_by_role("button", name="cat, image 10, cat", exact=True)
    expect(fourth).to_have_attribute("aria-pressed", "false")
    fourth.click()
    chose(page, 10, 1)
    marked = page.get_by_role("button", name="cat, image 10, cat, C", exact=True)
    expect(marked).to_have_attribute("aria-pressed", "true")
    expect(marked).to_be_focused()
    marked.click()
    chose(page, 10, 2)


def test_arrows_lead_through_the_grid_and_enter_chooses(visit: Open) -> None:
    page = visit()
    grid = thumbnails(page)
    grid.nth(0).evaluate("button => button.getRootNode().host.scrollIntoView()")
    page.get_by_role("button", name="Export").focus()
    page.keyboard.press("Tab")
    expect(grid.nth(0)).to_be_focused()  # the first that is chosen
    page.keyboard.press("ArrowLeft")
    expect(grid.nth(0)).to_be_focused()
    across = grid.evaluate_all("all => all.filter((one) => one.offsetTop === all[0].offsetTop).length")
    assert 5 < across < 30
    for key, place in [
        ("ArrowRight", 1),
        ("ArrowDown", 1 + across),
        ("ArrowLeft", across),
        ("ArrowUp", 0),
        ("End", 539),
        ("Home", 0),
        ("ArrowRight", 1),
        ("ArrowRight", 2),
    ]:
        page.keyboard.press(key)
        expect(grid.nth(place)).to_be_focused()
        expect(grid.nth(place)).to_be_in_viewport()
    page.keyboard.press("Enter")
    chose(page, 4, 1)
    expect(grid.nth(2)).to_be_focused()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Space")
    chose(page, 6, 2)
    page.keyboard.press("Tab")
    expect(page.locator(".st-key-look button").nth(0)).to_be_focused()  # the grid is one stop


def test_marks_and_notes_are_seen(visit: Open) -> None:
    page = visit()
    expect(page.locator(".st-key-grid .mark:visible")).to_have_text(["A", "B", "C"])
    pressed = page.locator('.st-key-grid button[aria-pressed="true"]')
    assert pressed.evaluate_all("all => all.map((one) => one.dataset.row)") == ["0", "6", "8", "600"]
    right, wrong = (thumbnails(page).nth(place).locator(".note") for place in (0, 2))
    expect(right).to_have_text("cat")
    expect(wrong).to_have_text("dog")
    expect(wrong).to_have_css("color", "rgb(164, 71, 63)")
    expect(right).not_to_have_css("color", "rgb(164, 71, 63)")


def test_a_name_is_never_markup(visit: Open) -> None:
    page = visit()
    expect(thumbnails(page).nth(1)).to_have_attribute("aria-label", "<img src=x>, image 2, cat")
    expect(page.locator(".st-key-grid img")).to_have_count(0)


def test_each_button_shows_its_own_image(visit: Open) -> None:
    page = visit()
    middle = page.evaluate(
        """async () => {
          const root = document.querySelector(".st-key-grid [data-testid=stBidiComponentIsolated]").shadowRoot;
          const part = getComputedStyle(root.querySelectorAll(".image")[37]);
          const sheet = new Image();
          sheet.src = part.backgroundImage.slice(5, -2);
          await sheet.decode();
          const [wide, tall] = part.backgroundSize.split(" ").map(parseFloat);
          const [x, y] = part.backgroundPosition.split(" ").map(parseFloat);
          const canvas = new OffscreenCanvas(1, 1).getContext("2d");
          canvas.drawImage(sheet, (22 - x) / wide * sheet.width, (22 - y) / tall * sheet.height, 1, 1, 0, 0, 1, 1);
          return [...canvas.getImageData(0, 0, 1, 1).data];
        }"""
    )
    assert middle[:3] == pytest.approx([37] * 3, abs=2)


def test_a_tall_grid_scrolls_within_its_height(visit: Open) -> None:
    page = visit()
    sides = page.locator(".st-key-grid .grid").bounding_box()
    assert sides is not None
    assert sides["height"] == 240
    last = thumbnails(page).nth(539)
    last.click()
    chose(page, 1078, 1)
    expect(last).to_be_in_viewport()  # scroll and focus outlive the rerun
    expect(last).to_be_focused()


def test_a_grid_to_look_at_chooses_nothing(visit: Open) -> None:
    page = visit()
    image = page.locator(".st-key-look button").nth(1)
    expect(image).to_have_attribute("aria-disabled", "true")
    image.click(force=True)
    expect(page.locator(".st-key-none").get_by_text("no images")).to_be_visible()
    thumbnails(page).nth(4).click()
    chose(page, 8, 1)


@pytest.mark.parametrize("clipboard", ["lent", "refused", "missing"])
def test_the_link_is_copied_with_its_query(visit: Open, visits: Visits, clipboard: str) -> None:
    read = visits.context.new_page()  # whose clipboard stays whole
    refusal = {
        "lent": "",
        "refused": "navigator.clipboard.writeText = () => Promise.reject(new Error('not allowed'))",
        "missing": "Object.defineProperty(navigator, 'clipboard', { value: undefined })",
    }[clipboard]
    page = visit(f"?models=demo%3Aphotos%2Fstandard&x=4.1&how={clipboard}#there")
    if refusal:
        page.evaluate(f"() => {{ {refusal} }}")
    button = page.get_by_role("button", name="Copy link")
    width = button.bounding_box()
    button.focus()
    page.keyboard.press("Enter")
    status = page.locator(".st-key-link").get_by_role("status")
    expect(status).to_have_text("Copied")
    expect(page.locator(".st-key-link .done")).to_be_visible()
    button = page.locator(".st-key-link button")
    expect(button).to_be_focused()
    assert button.bounding_box() == width
    expect(status).to_have_text("")
    expect(page.get_by_role("button", name="Copy link")).to_be_visible()
    url = page.url
    assert url.endswith(f"?models=demo%3Aphotos%2Fstandard&x=4.1&how={clipboard}#there")
    read.goto(url)
    read.bring_to_front()
    assert read.evaluate("navigator.clipboard.readText()") == url


def test_a_link_that_cannot_be_copied_is_said_so(visit: Open) -> None:
    page = visit("?clipboard=locked")
    page.evaluate("navigator.clipboard.writeText = () => Promise.reject(); document.execCommand = () => false")
    page.get_by_role("button", name="Copy link").click()
    expect(page.locator(".st-key-link").get_by_role("status")).to_have_text("Copy it from the address bar")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_button_looks_like_its_neighbour(visit: Open, scheme: str) -> None:
    page = visit(f"?scheme={scheme}")
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    page.reload()
    looks = (
        "(node, names) => names.map((name) => getComputedStyle(node)[name])",
        ["color", "borderColor", "borderWidth", "borderRadius", "fontFamily", "fontWeight", "height", "padding"],
    )
    ours, theirs = (page.get_by_role("button", name=name) for name in ("Copy link", "Export"))
    expect(ours).to_be_visible()
    assert ours.evaluate(*looks) == theirs.evaluate(*looks)
    size = "node => getComputedStyle(node).fontSize"
    assert ours.evaluate(size) == theirs.locator("p").evaluate(size)
