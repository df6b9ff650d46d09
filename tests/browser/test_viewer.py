"""Every gesture of the plane viewer and its keyboard twin, in a page of its own."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.browser.visits import START, Visits

HOME = (-8.0, 8.0, -6.0, 10.0)
APP = '''
import json

import numpy as np
import streamlit as st
from skimage.measure import find_contours

from core.figures.drawing.chart import Axis, Chart, FieldLayer, ImagesLayer, LinesLayer, Panel
from dashboard.viewer.viewer import plane_view

HOME = (-8.0, 8.0, -6.0, 10.0)
BUSY = {"text": "512 × 512, level 4 of 5, about 1 s left", "fraction": 0.7}
NAMES = ("flower", "coffee", "chelsea", "astronaut", "china", "rocket", "retina")
PALETTE = np.array(
    [(150, 136, 184), (214, 178, 94), (201, 126, 78), (86, 120, 158), (110, 146, 104), (120, 164, 178), (190, 84, 76)]
)
SITES = np.array([(-4.6, 6.6), (5.8, 0.4), (0.8, 1.4), (-2.4, -4.8), (3.4, 8.6), (-6.6, -0.6), (2.2, -5.0)])
POWERS = np.array([9.0, 2.0, 5.0, -2.0, 4.0, -3.0, 1.0])


def logits(x, y):
    """A power diagram, bent a little: the class of a point is the site of the least squared distance less its power."""
    bent = np.stack([x + 0.55 * np.sin(0.6 * y), y + 0.6 * np.sin(0.5 * x + 0.4)], -1)
    return POWERS - np.square(bent[..., None, :] - SITES).sum(-1)


def chart(view, resolution):
    x = np.linspace(view[0], view[1], resolution)
    y = np.linspace(view[2], view[3], resolution)
    z = logits(*np.meshgrid(x, y))
    label, ranked = z.argmax(-1), np.sort(z, -1)
    sure = 0.12 + 0.88 * (1 - np.exp(-(ranked[..., -1:] - ranked[..., -2:-1]) / 14))
    colours = (255 - (255 - PALETTE[label]) * sure).astype(np.uint8)
    step = (view[1] - view[0]) / (resolution - 1)
    paths = []
    for k in np.unique(label):
        others = np.delete(z, k, -1).max(-1)
        paths += [p[:, ::-1] * step + (view[0], view[2]) for p in find_contours(z[..., k] - others, 0.0)]
    distance = np.hypot(*np.meshgrid(x - SITES[2, 0], y - SITES[2, 1]))
    rings = [p[:, ::-1] * step + (view[0], view[2]) for p in find_contours(distance, 3.0)]
    rng = np.random.default_rng(1)
    mosaic = rng.integers(0, 80, (3, 4, 4, 3)) + PALETTE[:3, None, None] // 2
    thumbnails = np.repeat(np.repeat(mosaic, 8, 1), 8, 2).astype(np.uint8)
    box = np.array([(-7, -5), (7.3, -5.4), (7.6, 7), (1, 9.4), (-7.2, 8.5), (-7, -5)])
    return Chart(
        name="plane",
        alt="Seven classes on a plane, chelsea in the middle",
        panels=(
            Panel(
                isometric=True,
                title=st.query_params.get("title", ""),
                x=Axis(label="towards coffee", unit="ℓ2"),
                y=Axis(label="away from both", unit="ℓ2"),
                scale_bar="ℓ2",
                layers=(
                    FieldLayer(x=x, y=y, colours=colours, smooth=True, hover=NAMES, hover_index=label),
                    LinesLayer(paths=(box,), role="outline"),
                    LinesLayer(paths=tuple(rings), role="contour", labels=("3.0",) * len(rings)),
                    LinesLayer(paths=tuple(paths), role="boundary"),
                    ImagesLayer(positions=SITES[:3], images=thumbnails, labels=NAMES[:3], residuals=(2.31, 0.0, 1e-6)),
                ),
            ),
        ),
    )


def zoomed(view):
    st.session_state["view"] = HOME if view is None else view
    st.session_state["zooms"] = st.session_state.get("zooms", 0) + 1


def picked(point):
    st.session_state["pick"] = point
    st.session_state["picks"] = st.session_state.get("picks", 0) + 1


st.set_page_config(layout="wide")
START
view = st.session_state.setdefault("view", HOME)
drawing, beside = st.columns([1.9, 1], gap="large")
pair = "pair" in st.query_params or ("late" in st.query_params and "zooms" in st.session_state)
for index, column in enumerate([drawing, beside] if pair else [drawing]):
    with column:
        plane_view(
            chart(view, int(st.query_params.get("resolution", 64))),
            key=f"plane{index}-{times}",
            view=view,
            home=HOME,
            pick=st.session_state.get("pick"),
            busy=BUSY if "busy" in st.query_params else None,
            on_zoom=None if "alone" in st.query_params else zoomed,
            on_pick=None if "alone" in st.query_params else picked,
            linked="pair",
        )
beside.text(json.dumps({name: st.session_state.get(name) for name in ("view", "pick", "zooms", "picks")}))
'''.replace("START", START)

Open = Callable[..., Page]


@pytest.fixture(scope="module")
def address(serve_page: Callable[..., str]) -> str:
    """Where the page above is served."""
    return serve_page(APP)


@pytest.fixture(scope="module")
def visits(browser: Browser) -> Iterator[Visits]:
    """A laptop that hears fingers."""
    visits = Visits(browser, 1280, 900, has_touch=True)
    yield visits
    visits.context.close()


@pytest.fixture
def visit(visits: Visits, address: str) -> Iterator[Open]:
    """Begin anew on the page with some query; nothing may fail in it, nor complain."""

    def visit(query: str = "") -> Page:
        page, times = visits(f"{address}/?{query}")
        expect(page.locator(f".st-key-plane0-{times} .picture")).to_have_attribute("data-loaded", "1")
        return page

    yield visit
    assert visits.complaints() == []


def picture(page: Page) -> Locator:
    return page.locator(".picture").first


def heard(page: Page, name: str, times: int) -> dict[str, Any]:
    """What Python knows once it has heard of so many zooms or picks."""
    echo = page.get_by_test_id("stText")
    expect(echo).to_contain_text(f'"{name}": {times}')
    known: dict[str, Any] = json.loads(echo.inner_text())
    return known


def on_screen(page: Page, across: float, down: float) -> tuple[float, float]:
    """A place of the picture, 0..1 from its top left corner, in the window."""
    sides = picture(page).bounding_box()
    assert sides is not None
    return sides["x"] + across * sides["width"], sides["y"] + down * sides["height"]


def drag(page: Page, start: tuple[float, float], end: tuple[float, float], button: Any = "left") -> None:
    page.mouse.move(*on_screen(page, *start))
    page.mouse.down(button=button)
    page.mouse.move(*on_screen(page, *end), steps=4)
    page.mouse.up(button=button)


def close(*values: float) -> Any:
    return pytest.approx(values, abs=1e-4)  # the browser hands over places in float32 pixels


def test_a_box_zooms_to_the_square_around_it(visit: Open) -> None:
    page = visit()
    drag(page, (0.25, 0.25), (0.75, 0.6))
    assert heard(page, "zooms", 1)["view"] == close(-4, 4, -2, 6)
    expect(picture(page)).to_have_attribute("data-loaded", "2")
    drag(page, (0.9, 0.9), (0.5, 0.8))  # from the lower right corner up
    assert heard(page, "zooms", 2)["view"] == close(0, 3.2, -1.2, 2.0)


def test_a_box_stays_within_the_picture(visit: Open) -> None:
    page = visit()
    drag(page, (0.5, 0.75), (0.9, 1.2))
    assert heard(page, "zooms", 1)["view"] == close(0, 4, -6, -2)


def test_the_wheel_zooms_around_the_pointer(visit: Open) -> None:
    page = visit()
    page.mouse.move(*on_screen(page, 0.25, 0.125))
    page.mouse.wheel(0, -300)
    x_min, x_max, y_min, y_max = heard(page, "zooms", 1)["view"]
    assert x_max - x_min == pytest.approx(16 * 2.718281828**-0.6, rel=1e-6)
    assert (x_min + 0.25 * (x_max - x_min), y_max - 0.125 * (y_max - y_min)) == pytest.approx(
        (-4, 8),
        abs=0.02,  # a wheel event hands over whole pixels
    )


def test_keys_zoom_pan_and_reset(visit: Open) -> None:
    page = visit()
    picture(page).focus()
    for times, (key, view) in enumerate(
        [
            ("+", (-4, 4, -2, 6)),
            ("ArrowRight", (-3, 5, -2, 6)),
            ("ArrowUp", (-3, 5, -1, 7)),
            ("ArrowLeft", (-4, 4, -1, 7)),
            ("ArrowDown", (-4, 4, -2, 6)),
            ("-", HOME),
            ("=", (-4, 4, -2, 6)),
            ("0", HOME),
            ("+", (-4, 4, -2, 6)),
            ("Home", HOME),
        ],
        start=1,
    ):
        page.keyboard.press(key)
        assert heard(page, "zooms", times)["view"] == close(*view), key


def test_an_older_answer_never_moves_a_newer_view(visit: Open) -> None:
    page = visit()
    picture(page).focus()
    for _ in range(8):
        page.keyboard.press("ArrowRight", delay=160)  # longer than the pause: each is told, most are overtaken
    expect(page.get_by_test_id("stText")).to_contain_text('"view": [8.0, 24.0, -6.0, 10.0]')
    expect(page.locator(".axes")).to_contain_text("24")


def test_buttons_zoom_and_reset(visit: Open) -> None:
    page = visit()
    page.get_by_role("button", name="Zoom in").click()
    assert heard(page, "zooms", 1)["view"] == close(-4, 4, -2, 6)
    page.get_by_role("button", name="Zoom out").click()
    assert heard(page, "zooms", 2)["view"] == close(*HOME)
    drag(page, (0.0, 0.0), (0.5, 0.5))
    assert heard(page, "zooms", 3)["view"] == close(-8, 0, 2, 10)
    page.get_by_role("button", name="Show the whole plane").click()
    assert heard(page, "zooms", 4)["view"] == list(HOME)


@pytest.mark.parametrize(("button", "held"), [("left", "Shift"), ("left", "Space"), ("middle", None)])
def test_a_drag_pans(visit: Open, button: str, held: str | None) -> None:
    page = visit()
    picture(page).focus()
    if held:
        page.keyboard.down(held)
    drag(page, (0.5, 0.5), (0.25, 0.75), button)
    if held:
        page.keyboard.up(held)
    assert heard(page, "zooms", 1)["view"] == close(-4, 12, -2, 14)


def test_a_click_picks_the_exact_point(visit: Open) -> None:
    page = visit()
    page.mouse.click(*on_screen(page, 0.3, 0.2))
    assert heard(page, "picks", 1)["pick"] == close(-3.2, 6.8)
    page.get_by_role("button", name="Zoom in").click()
    heard(page, "zooms", 1)
    page.mouse.click(*on_screen(page, 0.3, 0.2))
    known = heard(page, "picks", 2)
    assert known["pick"] == close(-1.6, 4.4)
    ring, target = page.locator(".marks .pick").bounding_box(), on_screen(page, 0.3, 0.2)
    assert ring is not None
    assert (ring["x"] + ring["width"] / 2, ring["y"] + ring["height"] / 2) == pytest.approx(target, abs=0.5)


def test_enter_picks_the_centre(visit: Open) -> None:
    page = visit()
    picture(page).focus()
    expect(page.locator(".readout")).to_have_text("x 0.00, y 2.00 ℓ2 · chelsea")
    page.keyboard.press("Enter")
    assert heard(page, "picks", 1)["pick"] == close(0, 2)


def test_a_tap_picks(visit: Open) -> None:
    page = visit()
    page.touchscreen.tap(*on_screen(page, 0.75, 0.75))
    assert heard(page, "picks", 1)["pick"] == close(4, -2)


def test_a_double_click_resets_and_picks_nothing(visit: Open) -> None:
    page = visit()
    page.get_by_role("button", name="Zoom in").click()
    heard(page, "zooms", 1)
    page.mouse.dblclick(*on_screen(page, 0.3, 0.2))
    assert heard(page, "zooms", 2)["view"] == list(HOME)
    page.keyboard.press("Enter")
    heard(page, "picks", 1)
    page.keyboard.press("+")
    known = heard(page, "zooms", 3)  # a pick held back for the double click would have come before this
    assert (known["picks"], known["pick"]) == (1, close(0, 2))


def test_escape_abandons_a_drag(visit: Open) -> None:
    page = visit()
    page.mouse.move(*on_screen(page, 0.2, 0.2))
    page.mouse.down()
    page.mouse.move(*on_screen(page, 0.6, 0.6), steps=3)
    expect(page.locator(".box")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator(".box")).to_be_hidden()
    page.mouse.up()
    page.keyboard.press("Enter")
    known = heard(page, "picks", 1)
    assert (known["zooms"], known["view"]) == (None, list(HOME))


def test_the_pointer_says_where_it_is_and_asks_nothing_of_python(visit: Open) -> None:
    page = visit()
    readout = page.locator(".readout")
    expect(readout).to_contain_text("click to pick")
    page.mouse.move(*on_screen(page, 0.2, 0.2))
    expect(readout).to_have_text("x −4.80, y 6.80 ℓ2 · flower")
    page.mouse.move(*on_screen(page, 0.9, 0.1))
    expect(readout).to_have_text("x 6.40, y 8.40 ℓ2 · china")
    page.mouse.move(5, 5)
    expect(readout).to_contain_text("click to pick")
    expect(page.get_by_test_id("stText")).to_contain_text('"picks": null')


def test_without_an_answer_the_picture_itself_zooms(visit: Open) -> None:
    page = visit("alone=1")
    picture(page).focus()
    page.keyboard.press("+")
    page.keyboard.press("Enter")
    page.mouse.move(*on_screen(page, 0.0, 0.0))
    expect(page.locator(".readout")).to_contain_text("x −4.00, y 6.00")
    expect(picture(page)).to_have_attribute("data-loaded", "1")
    field = page.locator(".fields image").bounding_box()
    sides = picture(page).bounding_box()
    assert field is not None
    assert sides is not None
    assert field["width"] == pytest.approx(2 * sides["width"] * 64 / 63, abs=1)  # 64 cells, the outer ones cut in half
    page.keyboard.press("0")
    expect(page.locator(".axes")).to_contain_text("−8")


def test_linked_viewers_move_together(visit: Open) -> None:
    page = visit("pair=1")
    other = page.locator(".plane").nth(1)
    expect(other.locator(".picture")).to_have_attribute("data-loaded", "1")
    page.mouse.move(*on_screen(page, 0.2, 0.2))
    expect(other.locator(".readout")).to_contain_text("flower")
    expect(other.locator(".here")).to_have_class("here shown")
    drag(page, (0.25, 0.25), (0.75, 0.75))
    assert heard(page, "zooms", 1)["view"] == close(-4, 4, -2, 6)
    for viewer in (page.locator(".plane").first, other):
        expect(viewer.locator(".picture")).to_have_attribute("data-loaded", "2")
        expect(viewer.locator(".bar")).to_contain_text("2 ℓ2")
    other.locator(".picture").focus()
    page.keyboard.press("-")
    assert heard(page, "zooms", 2)["view"] == close(*HOME)


def test_a_linked_viewer_that_comes_late_marks_where_the_pointer_is(visit: Open) -> None:
    page = visit("late=1")
    page.mouse.move(*on_screen(page, 0.2, 0.2))
    page.mouse.wheel(0, -100)
    other = page.locator(".plane").nth(1)
    expect(other.locator(".here")).to_have_class("here shown")
    expect(other.locator(".readout")).to_contain_text("flower")


def test_work_under_way_is_said_in_words(visit: Open) -> None:
    page = visit("busy=1")
    expect(page.get_by_role("progressbar", name="level 4 of 5")).to_have_attribute("aria-valuenow", "70")
    expect(page.locator(".status .busy")).to_have_text("512 × 512, level 4 of 5, about 1 s left")


def test_what_is_drawn_has_words(visit: Open) -> None:
    page = visit("title=%3Cimg%20src=x%3E")
    expect(page.get_by_role("application", name="Seven classes on a plane, chelsea in the middle")).to_be_visible()
    expect(page.locator(".plane .title")).to_have_text("<img src=x>")  # a name is never markup
    expect(page.locator(".axes")).to_contain_text("towards coffee (ℓ2)")
    expect(page.locator(".bar")).to_contain_text("2 ℓ2")
    expect(page.locator(".marks .level")).to_have_text(["3.0"])
    expect(page.locator(".marks .anchor title")).to_have_text(
        ["flower, 2.31 ℓ2 off the plane", "coffee", "chelsea"], use_inner_text=False
    )


@pytest.mark.parametrize("width", [700, 1280, 1920])
def test_the_picture_is_square_and_fits_its_column(visit: Open, width: int) -> None:
    page = visit()
    page.set_viewport_size({"width": width, "height": 1000})
    expect(picture(page)).to_be_visible()
    column = page.get_by_test_id("stColumn").first.bounding_box()
    sides = picture(page).bounding_box()
    assert column is not None
    assert sides is not None
    assert sides["width"] == pytest.approx(sides["height"], abs=0.01)
    assert sides["width"] == pytest.approx(min(720, column["width"] - 56), abs=0.01)
