"""What the grid of thumbnails is told, and what it may say."""

import base64
import io
import json
from typing import Any

import numpy as np
import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

from dashboard.viewer.thumbnails import PIXELS, grid_data, parse_choice


def noise(n: int, height: int = 8, width: int = 8) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (n, height, width, 3), np.uint8)


def tiles(data: dict[str, Any]) -> np.ndarray:
    """The images as the browser cuts them from the sheet."""
    kind, encoded = data["sheet"].split(",")
    assert kind == "data:image/png;base64"
    sheet = np.asarray(Image.open(io.BytesIO(base64.b64decode(encoded))))
    n, across = len(data["rows"]), data["across"]
    down = -(-n // across)
    height, width = sheet.shape[0] // down, sheet.shape[1] // across
    assert sheet.shape == (down * height, across * width, 3)
    cut = sheet.reshape(down, height, across, width, 3).swapaxes(1, 2)
    return cut.reshape(-1, height, width, 3)[:n]


@pytest.mark.parametrize("n", [1, 2, 4, 5, 12, 13])
def test_each_image_lies_in_its_place_on_the_sheet(n: int) -> None:
    images = noise(n, 6, 9)
    assert np.abs(tiles(grid_data(images, range(n))).astype(int) - images).max() <= 2


def test_black_stays_black_and_white_white() -> None:
    images = np.stack([np.zeros((4, 4, 3), np.uint8), np.full((4, 4, 3), 255, np.uint8)])
    np.testing.assert_array_equal(tiles(grid_data(images, [0, 1])), images)


def test_the_longer_side_is_the_size() -> None:
    data = grid_data(noise(2, 16, 32), [0, 1], size=44)
    assert (data["wide"], data["tall"], data["smooth"]) == (44, 22, False)


def test_large_images_are_averaged_to_what_a_fine_screen_shows() -> None:
    images = noise(2, 4, 4).repeat(56, 1).repeat(56, 2)  # 224 x 224
    data = grid_data(images, [0, 1], size=44)
    assert tiles(data).shape == (2, 75, 75, 3)
    assert data["smooth"]
    flat = np.full((2, 224, 224, 3), 255, np.uint8)
    assert (tiles(grid_data(flat, [0, 1])) == 255).all()


def test_many_images_stay_within_the_budget() -> None:
    sent = tiles(grid_data(np.zeros((900, 64, 64, 3), np.uint8), range(900)))
    assert sent.shape[0] * sent.shape[1] * sent.shape[2] <= PIXELS


def test_the_demo_photos_travel_in_less_than_a_megabyte() -> None:
    from core.analyses.analysis import thumbnails
    from core.images.load import load_images

    photos = load_images("demo:photos")
    names = [photos.class_names[k] for k in photos.labels.tolist()]
    data = grid_data(thumbnails(photos), range(len(photos)), labels=names, notes=names, frames=["#3b678e"] * len(names))
    assert len(data["rows"]) == 540
    assert len(json.dumps(data)) < 1_000_000


def test_data_is_plain_and_the_same_for_the_same_images() -> None:
    words: dict[str, Any] = {"labels": ("a", "b"), "notes": ("a", ""), "frames": ("#123456", "")}
    first, second = (grid_data(noise(2), np.array([4, 7]).tolist(), **words) for _ in range(2))
    assert json.loads(json.dumps(first, allow_nan=False)) == first == second
    assert first["labels"] == ["a", "b"]
    assert first["rows"] == [4, 7]


def test_there_may_be_no_images() -> None:
    data = grid_data(noise(0), [])
    assert (data["sheet"], data["rows"], data["across"]) == ("", [], 1)


@pytest.mark.parametrize(
    ("images", "rows", "words"),
    [
        (noise(2)[..., :1], [0, 1], {}),
        (noise(2) / 255, [0, 1], {}),
        (noise(2)[0], [0, 1], {}),
        (noise(2)[:, :0], [0, 1], {}),
        (noise(2), [0], {}),
        (noise(2), [3, 3], {}),
        (noise(2), [0, 1], {"labels": ["one"]}),
        (noise(2), [0, 1], {"notes": ["one"]}),
        (noise(2), [0, 1], {"frames": ["#000000"] * 3}),
    ],
)
def test_what_is_not_one_per_image_is_refused(images: np.ndarray, rows: list[int], words: dict[str, list[str]]) -> None:
    with pytest.raises(ValueError, match="expected"):
        grid_data(images, rows, **words)


def test_a_choice_is_a_row() -> None:
    assert parse_choice({"row": 61}, range(540)) == 61


@pytest.mark.parametrize(
    "wrong",
    [
        None,
        1,
        "1",
        [],
        [1],
        {},
        {"rows": 1},
        *({"row": row} for row in (2, -1, "1", 1.0, True, None, [1], float("nan"))),
    ],
)
def test_a_choice_of_nothing_is_refused(wrong: object) -> None:
    with pytest.raises(ValueError, match="expected a row"):
        parse_choice(wrong, [0, 1, 5])


def page() -> None:
    import numpy as np

    from dashboard.viewer.copy_link import copy_link
    from dashboard.viewer.thumbnails import thumbnail_grid

    copy_link("link")
    images = np.zeros((2, 4, 4, 3), np.uint8)
    thumbnail_grid(images, key="look", rows=[5, 9])
    thumbnail_grid(
        images, key="choose", rows=[5, 9], selected=[9, 77], marks={5: "A", 88: "B"}, on_choose=print, height=90
    )


def test_a_page_shows_what_is_chosen_among_the_images_shown() -> None:
    app = AppTest.from_function(page).run()
    assert not app.exception
    link, look, choose = (node.proto for node in app.get("bidi_component"))
    assert link.component_name.endswith("copy_link")
    look, choose = json.loads(look.json), json.loads(choose.json)
    assert (look["selected"], look["marks"], look["chooses"], look["height"]) == ([], {}, False, None)
    assert (choose["selected"], choose["marks"], choose["chooses"], choose["height"]) == ([9], {"5": "A"}, True, 90)
