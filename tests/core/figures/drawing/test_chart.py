"""What a chart says about itself, so that both renderers say the same."""

from __future__ import annotations

import numpy as np
import pytest

from core.figures.drawing.chart import (
    Axis,
    Chart,
    FieldLayer,
    ImagesLayer,
    LegendEntry,
    LinesLayer,
    Panel,
    Scale,
    side_by_side,
)


def field(x: np.ndarray, y: np.ndarray, scale: Scale | None = None) -> FieldLayer:
    return FieldLayer(x=x, y=y, colours=np.zeros((len(y), len(x), 3), np.uint8), scale=scale)


@pytest.mark.parametrize(
    ("label", "unit", "title"),
    [("distance", "ℓ2", "distance (ℓ2)"), ("distance", "", "distance"), ("", "ℓ2", "ℓ2"), ("", "", "")],
)
def test_titles_carry_the_unit(label: str, unit: str, title: str) -> None:
    assert Axis(label=label, unit=unit).title == title
    assert Scale(palette="vik", limits=(0.0, 1.0), label=label, unit=unit).title == title


def test_a_picture_reaches_half_a_step_beyond_its_cells() -> None:
    assert field(np.linspace(-1, 1, 5), np.linspace(0, 3, 4)).edges == (-1.25, 1.25, -0.5, 3.5)
    assert field(np.array([2.0]), np.array([0.0, 1.0])).edges == (1.5, 2.5, -0.5, 1.5)


def test_limits_are_those_of_the_axes_or_of_the_pictures() -> None:
    layers = (field(np.arange(3.0), np.arange(2.0)), field(np.arange(2.0, 6.0), np.arange(2.0)))
    assert Panel(layers=layers).limits == ((-0.5, 5.5), (-0.5, 1.5))
    assert Panel(layers=layers, x=Axis(limits=(0.0, 1.0))).limits == ((0.0, 1.0), (-0.5, 1.5))
    assert Panel(layers=(), y=Axis(limits=(0.0, 1.0))).limits == (None, (0.0, 1.0))


def test_the_scale_bar_makes_way_for_a_thumbnail() -> None:
    def corner(*positions: tuple[float, float]) -> tuple[int, int]:
        images = np.zeros((len(positions), 2, 2, 3), np.uint8)
        thumbnails = ImagesLayer(positions=np.array(positions), images=images)
        return Panel(layers=(field(np.arange(9.0), np.arange(9.0)), thumbnails)).scale_bar_corner

    assert corner((1.0, 0.5)) == (1, 0)
    assert corner((1.0, 0.5), (7.0, 2.5)) == (0, 1)  # its words hang down into the corner
    assert corner((1.0, 0.5), (7.0, 0.5), (1.0, 8.0)) == (1, 1)
    assert corner((1.0, 5.0)) == (0, 0)
    assert corner((-7.0, 0.5)) == (0, 0)
    assert Panel(layers=(LinesLayer(paths=()),)).scale_bar_corner == (0, 0)


def test_side_by_side_the_legend_tells_the_shares_of_each() -> None:
    def chart(**shares: float) -> Chart:
        entries = tuple(
            LegendEntry(colour="", label=label.replace("_", " "), share=share) for label, share in shares.items()
        )
        return Chart(panels=(Panel(layers=()),), name="slice", legend=entries)

    both = side_by_side([chart(cat=0.4, dog=0.6), chart(dog=0.001, **{"3_more_classes": 0.999})])
    told = {entry.label: entry.share_words for entry in both.legend}
    assert told == {"cat": "40 % / –", "dog": "60 % / <1 %", "3 more classes": "0 % / >99 %"}
    untold = side_by_side([chart(cat=1.0), Chart(panels=(Panel(layers=()),), name="slice")])
    assert [entry.share_words for entry in untold.legend] == [""]


def test_scales_are_those_of_the_pictures() -> None:
    scale = Scale(palette="vik", limits=(-1.0, 1.0), label="margin")
    assert Panel(layers=(field(np.arange(2.0), np.arange(2.0), scale), LinesLayer(paths=()))).scales == (scale,)


def test_paths_are_joined_with_a_gap() -> None:
    joined = LinesLayer(paths=(np.zeros((2, 2)), np.ones((1, 2)))).joined
    np.testing.assert_array_equal(joined, [[0, 0], [0, 0], [np.nan, np.nan], [1, 1]])
    assert LinesLayer(paths=()).joined.shape == (0, 2)


@pytest.mark.parametrize(
    ("share", "words"),
    [
        (None, ""),
        (0.0, "0 %"),
        (0.0001, "<1 %"),
        (0.0049, "<1 %"),
        (0.005, "<1 %"),
        (0.0051, "1 %"),
        (0.351, "35 %"),
        (0.996, ">99 %"),
        (1.0, "100 %"),
    ],
)
def test_shares_are_whole_percents(share: float | None, words: str) -> None:
    assert LegendEntry(colour="", label="", share=share).share_words == words


def test_an_image_off_the_plane_says_how_far() -> None:
    layer = ImagesLayer(
        positions=np.zeros((3, 2)),
        images=np.zeros((3, 2, 2, 3), np.uint8),
        labels=("a", "b", "c"),
        residuals=(0.0, 2e-6, 3.214),
    )
    assert [layer.words(place) for place in range(3)] == ["a", "b", "c\n3.2 off the plane"]
    assert [layer.off_plane(place) for place in range(3)] == [False, False, True]
    bare = ImagesLayer(positions=np.zeros((1, 2)), images=np.zeros((1, 2, 2, 3), np.uint8))
    assert bare.words(0) == ""
    assert not bare.off_plane(0)


def test_rows_follow_from_columns() -> None:
    panel = Panel(layers=())
    assert [Chart(panels=(panel,) * count, name="", columns=2).rows for count in (1, 2, 3)] == [1, 1, 2]
