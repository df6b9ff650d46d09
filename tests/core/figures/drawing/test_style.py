"""Class colours tell apart for every kind of colour vision; scales are the published ones; paleness means doubt."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pytest
from cmcrameri import cm

from core.figures.drawing import style

# Machado, Oliveira, Fernandes, IEEE TVCG 15(6), 2009: full loss of one kind of cone, on linear RGB
VISION: dict[str, np.ndarray | list[list[float]]] = {
    "full": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


def linear(rgb: np.ndarray) -> np.ndarray:
    """Light of sRGB colours 0..255."""
    part = np.asarray(rgb, np.float64) / 255
    return np.where(part <= 0.04045, part / 12.92, ((part + 0.055) / 1.055) ** 2.4)


def lab(light: np.ndarray) -> np.ndarray:
    """CIE Lab under D65."""
    to_xyz = [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
    xyz = light @ np.transpose(to_xyz) / [0.95047, 1.0, 1.08883]
    root = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    x, y, z = np.moveaxis(root, -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], -1)


def rgb(colour: str) -> np.ndarray:
    return np.array([int(colour[place : place + 2], 16) for place in (1, 3, 5)])


def nearest(colours: list[str], vision: str) -> float:
    """The smallest distance between two of the colours, as that eye sees them."""
    seen = lab((linear(np.stack([rgb(colour) for colour in colours])) @ np.asarray(VISION[vision]).T).clip(0, 1))
    apart = np.linalg.norm(seen[:, None] - seen[None], axis=-1)
    return float(apart[np.triu_indices(len(colours), 1)].min())


@pytest.mark.parametrize("vision", VISION)
def test_the_first_ten_classes_are_told_apart(vision: str) -> None:
    ours = nearest([style.class_colour(k) for k in range(10)], vision)
    assert ours > 16.0  # just noticeable is about 2.3
    assert ours > min(nearest(list(style.PALETTES["okabe-ito"].colours), eye) for eye in VISION)


def test_classes_are_told_apart_from_undefined() -> None:
    for vision in VISION:
        for grey in style.UNDEFINED[:1]:
            apart = min(nearest([style.class_colour(k), grey], vision) for k in range(10))
            assert apart > 10.0


def test_a_colour_follows_from_the_id_alone() -> None:
    few = style.class_colours(np.array([[7, 3]]))
    many = style.class_colours(np.arange(10)[None])
    np.testing.assert_array_equal(few[0], many[0, [7, 3]])
    np.testing.assert_array_equal(few[0, 0], rgb(style.class_colour(7)))


@pytest.mark.parametrize("palette", ["muted", "okabe-ito"])
def test_ids_past_the_palette_repeat_with_their_lightness_shifted(palette: str) -> None:
    count = len(style.PALETTES[palette].colours)
    lightness = [lab(linear(rgb(style.class_colour(turn * count, palette))))[0] for turn in range(4)]
    assert min(abs(a - b) for i, a in enumerate(lightness) for b in lightness[:i]) > 5
    assert style.class_colour(4 * count, palette) == style.class_colour(0, palette)


def test_paleness_means_low_confidence_on_a_fixed_range() -> None:
    confidence = np.array([[0.05, 0.1, 0.4, 0.7, 1.0]])
    colours = style.class_colours(np.zeros((1, 5), int), confidence, chance=0.1).astype(int)
    assert (np.diff(colours.sum(-1)[0, 1:]) < 0).all()
    np.testing.assert_array_equal(colours[0, 0], colours[0, 1])  # below chance is chance
    np.testing.assert_array_equal(colours[0, -1], rgb(style.class_colour(0)))
    alone = style.class_colours(np.zeros((1, 1), int), confidence[:, 2:3], chance=0.1)
    np.testing.assert_array_equal(alone[0, 0], colours[0, 2])  # whatever else the view holds
    assert (colours[0, 1] < 255).any()  # a region keeps its hue


def test_undefined_is_hatched() -> None:
    colours = style.class_colours(np.full((80, 80), -1), np.full((80, 80), np.nan))
    assert {tuple(colour) for colour in colours.reshape(-1, 3).tolist()} == {tuple(rgb(c)) for c in style.UNDEFINED}
    assert style.class_colours(np.array([-1])).tolist() == [rgb(style.UNDEFINED[0]).tolist()]


def test_scales_are_the_published_ones() -> None:
    places = np.linspace(0, 1, 256)
    for name, original in (("cividis", mpl.colormaps["cividis"]), ("vik", cm.vik)):
        drawn = style.scale_colours(places, name, (0.0, 1.0)).astype(int)
        assert np.abs(drawn - 255 * original(np.arange(256))[:, :3]).max() <= 3


def test_scale_colours_at_the_limits_beyond_and_nowhere() -> None:
    values = np.array([-9.0, 2.0, 4.0, np.inf, -np.inf, np.nan])
    below, low, high, above, least, nowhere = style.scale_colours(values, "cividis", (2.0, 4.0)).tolist()
    assert below == low == least == rgb("#00224e").tolist()
    assert high == above == rgb("#fee838").tolist()
    assert nowhere == rgb(style.UNDEFINED[0]).tolist()
    assert style.scale_colours(np.zeros((2, 3)), "vik", (-1.0, 1.0)).shape == (2, 3, 3)
    assert style.scale_colours(np.ones(1), "vik", (1.0, 1.0)).dtype == np.uint8


def test_zero_is_in_the_middle_of_vik() -> None:
    middle = style.scale_colours(np.zeros(1), "vik", (-3.0, 3.0))
    np.testing.assert_array_equal(middle, [rgb(style.PALETTES["vik"].colours[16])])


def test_a_wrong_palette_says_which_there_are() -> None:
    with pytest.raises(ValueError, match="classes palettes muted, okabe-ito, got 'vik'"):
        style.class_colour(0, "vik")
    with pytest.raises(ValueError, match="sequential or diverging palettes cividis, paleness, vik, got 'muted'"):
        style.scale_colours(np.zeros(1), "muted", (0.0, 1.0))


@pytest.mark.parametrize("theme", [style.LIGHT, style.DARK, style.PRINT])
def test_words_can_be_read_on_the_page(theme: style.Theme) -> None:
    def brightness(colour: str) -> float:
        return float(linear(rgb(colour)) @ [0.2126, 0.7152, 0.0722])

    for words in (theme.ink, theme.quiet):
        light, dark = sorted((brightness(words), brightness(theme.paper)), reverse=True)
        assert (light + 0.05) / (dark + 0.05) > 4.5  # WCAG 2, level AA


def test_lines_on_a_picture_stay_dark_in_a_dark_theme() -> None:
    assert style.stroke_colour("boundary", style.DARK) == style.LIGHT.ink
    assert style.stroke_colour("curve", style.DARK) == style.DARK.ink


@pytest.mark.parametrize(("span", "length"), [(30.0, 5.0), (40.0, 10.0), (0.9, 0.2), (8e-5, 2e-5), (3.9, 0.5)])
def test_a_scale_bar_is_a_round_part_of_the_picture(span: float, length: float) -> None:
    assert style.round_length(span) == pytest.approx(length)


def test_faded_pictures_are_halfway_to_white() -> None:
    np.testing.assert_array_equal(style.faded(np.array([0, 100, 255], np.uint8)), [128, 178, 255])


def test_words_are_held_inwards() -> None:
    assert [style.inwards(part) for part in (0.0, 0.5, 1.0)] == ["left", "center", "right"]


def test_journal_widths_are_millimetres_of_a_page() -> None:
    assert style.WIDTHS["Nature, single column"] == 89.0
    assert all(50 < width < 200 for width in style.WIDTHS.values())
