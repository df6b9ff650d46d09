"""How figures look: ink and paper, class colours, scales, strokes, fonts, journal widths.

A class has the same colour in every view, export and model, because the colour follows from its id alone. Paleness
means low confidence. A boundary is a dark line with a light halo, so that hue alone never carries it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import numpy as np

Dash = Literal["solid", "dashed", "dotted"]


@dataclass(frozen=True, kw_only=True)
class Theme:
    """The four colours that everything but data is drawn in."""

    ink: str
    paper: str
    quiet: str
    line: str


LIGHT = Theme(ink="#23262d", paper="#fbfaf7", quiet="#6d6a61", line="#e7e3d9")
DARK = Theme(ink="#ece9e1", paper="#1b1d22", quiet="#a6a297", line="#373a42")
PRINT = Theme(ink=LIGHT.ink, paper="#ffffff", quiet=LIGHT.quiet, line=LIGHT.line)  # a page is white


@dataclass(frozen=True, kw_only=True)
class Palette:
    """Colours by class id, or the stops of a scale, evenly spaced and linear in between."""

    kind: Literal["classes", "sequential", "diverging"]
    colours: tuple[str, ...]  # "#rrggbb"


def _stops(words: str) -> tuple[str, ...]:
    return tuple(f"#{word}" for word in words.split())


# In the order of the demo photos' ids. The hues are moved apart until the nearest two are as far from each other (CIE
# Lab, 16.6) as the nearest two of Okabe and Ito's (16.1), for full, red-, green- and blue-blind vision.
_MUTED = _stops("3b678e cc8352 dcb55a 645562 b27895 b84f4b 82bcca 759c77 9689c2 95601e")
# Okabe and Ito, Color Universal Design, 2008
_OKABE_ITO = _stops("0072b2 e69f00 009e73 cc79a7 56b4e9 d55e00 f0e442 000000")
# Nunez, Anderton, Renslow, PLoS ONE 13(7), 2018; within 3/255 of the 256 published colours
_CIVIDIS = _stops(
    "00224e 002554 00285b 002b62 002e6a 003070 043371 113570 1a386f 213b6e 273e6e 2d416d 32436d 36466c 3b496c "
    "3f4c6c 434e6c 47516c 4b546c 4f576c 52596d 565c6d 5a5f6e 5d626e 61656f 646770 686a71 6b6d72 6f7073 727374 "
    "757676 797877 7c7b78 807e78 848179 878478 8b8778 8f8a78 938d78 979077 9b9376 9f9676 a39a75 a79d74 aba072 "
    "afa371 b3a670 b7aa6e bbad6c bfb06b c3b469 c8b766 ccba64 d0be61 d4c15f d9c55c ddc958 e1cc55 e6d051 ead44c "
    "efd748 f4db42 f8df3c fde334 fee838"
)
# Crameri, Scientific colour maps 8 (MIT), doi 10.5281/zenodo.1243862; within 3/255 of the 256 published colours
_VIK = _stops(
    "001261 021f69 022b71 023779 034481 045089 0c5e92 1b6d9b 2f7ca6 478db1 609dbc 79adc7 92bdd2 acccdc c5dbe5 "
    "dce5e9 ece5e1 eedacf e9cbb9 e2bba4 dcab8f d59c7b cf8e68 c97f55 c37243 bc6331 b3531f a5400e 932e06 832106 "
    "741506 660a07 590008"
)

# as tables, because importing the packages with the originals takes half a second
PALETTES: Mapping[str, Palette] = {
    "muted": Palette(kind="classes", colours=_MUTED),
    "okabe-ito": Palette(kind="classes", colours=_OKABE_ITO),
    "cividis": Palette(kind="sequential", colours=_CIVIDIS),
    "paleness": Palette(kind="sequential", colours=("#eeedeb", LIGHT.quiet)),  # the ramp of confidence without a hue
    "vik": Palette(kind="diverging", colours=_VIK),
}

UNDEFINED = ("#d2d0cb", "#b3b0a8")  # greys of the hatching for undefined labels; the first for undefined values
_PALEST = 0.15  # share of a class's colour left at chance level, so that a region keeps its hue
# rounds through the palette: blended towards black (< 0) or white (> 0), then from the start again
_LIGHTNESS_SHIFTS = (0.0, -0.3, 0.35, -0.55)


def class_colour(k: int, palette: str = "muted") -> str:
    """The colour of class `k`, "#rrggbb": the same for the same id, always.

    Args:
        k: class id; -1 is the undefined class.
        palette: a class palette of `PALETTES`.

    Returns:
        The palette's colour; past its end the colours repeat with their lightness shifted.

    Raises:
        ValueError: if the palette is not one of class colours.
    """
    colours = _palette(palette, "classes").colours
    if k < 0:
        return UNDEFINED[0]
    colour = rgb(colours[k % len(colours)])
    shift = _LIGHTNESS_SHIFTS[k // len(colours) % len(_LIGHTNESS_SHIFTS)]
    return hex_colour(colour + abs(shift) * ((255.0 if shift > 0 else 0.0) - colour))


def class_colours(
    labels: np.ndarray, confidence: np.ndarray | None = None, *, chance: float = 0.0, palette: str = "muted"
) -> np.ndarray:
    """The picture of a field of labels; paleness means low confidence.

    Args:
        labels: class ids, any shape; -1 is undefined and hatched.
        confidence: probability of the label, of the same shape, or None for full colours.
        chance: the confidence that is drawn palest, 1/k for k classes, so that pictures compare across views.
        palette: a class palette of `PALETTES`.

    Returns:
        uint8 RGB, the shape of `labels` and 3.

    Raises:
        ValueError: if the palette is not one of class colours.
    """
    seen, position = np.unique(labels, return_inverse=True)
    colours = np.array([rgb(class_colour(int(k), palette)) for k in seen]).reshape(-1, 3)[position]
    colours = colours.reshape(*labels.shape, 3)
    if confidence is not None:
        certain = np.nan_to_num((np.asarray(confidence, np.float64) - chance) / (1 - chance)).clip(0, 1)
        weight = _PALEST + (1 - _PALEST) * certain
        colours = 255 + weight[..., None] * (colours - 255)
    stripes = _stripes(labels.shape)[..., None]
    greys = np.where(stripes, rgb(UNDEFINED[1]), rgb(UNDEFINED[0]))
    return np.rint(np.where((labels < 0)[..., None], greys, colours)).astype(np.uint8)


def scale_colours(values: np.ndarray, palette: str, limits: tuple[float, float]) -> np.ndarray:
    """The picture of a scalar field.

    Args:
        values: any shape; NaN is grey, values beyond the limits take the colour of the limit.
        palette: a sequential or diverging palette of `PALETTES`.
        limits: the values of the first and the last colour.

    Returns:
        uint8 RGB, the shape of `values` and 3.

    Raises:
        ValueError: if the palette is one of class colours.
    """
    stops = np.stack([rgb(colour) for colour in _palette(palette, "sequential", "diverging").colours])
    low, high = limits
    values = np.asarray(values, np.float64)
    place = np.nan_to_num((values - low) / ((high - low) or 1.0), posinf=1.0, neginf=0.0).clip(0, 1) * (len(stops) - 1)
    below = np.minimum(place.astype(int), len(stops) - 2)
    part = (place - below)[..., None]
    colours: np.ndarray = (1 - part) * stops[below] + part * stops[below + 1]
    return np.rint(np.where(np.isnan(values)[..., None], rgb(UNDEFINED[0]), colours)).astype(np.uint8)


def _palette(name: str, *kinds: str) -> Palette:
    fitting = [known for known, palette in PALETTES.items() if palette.kind in kinds]
    if name not in fitting:
        raise ValueError(f"expected one of the {' or '.join(kinds)} palettes {', '.join(fitting)}, got {name!r}")
    return PALETTES[name]


@cache
def rgb(colour: str) -> np.ndarray:
    """Red, green and blue of a colour "#rrggbb", 0 to 255, float64; shared, so not to be changed."""
    return np.array([int(colour[place : place + 2], 16) for place in (1, 3, 5)], np.float64)


def hex_colour(colour: np.ndarray) -> str:
    """Red, green and blue, 0 to 255, as "#rrggbb"."""
    return "#{:02x}{:02x}{:02x}".format(*np.rint(colour).astype(int).tolist())


def _stripes(shape: tuple[int, ...]) -> np.ndarray:
    """Diagonal stripes over a picture, about forty at any resolution; none over values of another shape."""
    if len(shape) != 2:
        return np.zeros(shape, bool)
    hatched: np.ndarray = np.indices(shape).sum(0) // max(1, round(max(shape) / 80)) % 2 == 1
    return hatched


@dataclass(frozen=True, kw_only=True)
class Stroke:
    """How lines of one role are drawn; widths in points on paper."""

    colour: Literal["ink", "quiet", "line"]
    width: float
    halo: float = 0.0  # whole width of the white line below, 0 for none
    dash: Dash = "solid"


# a line with a halo lies on a picture, whose colours stay in a dark theme; one without lies on bare paper
STROKES: Mapping[str, Stroke] = {
    "boundary": Stroke(colour="ink", width=0.7, halo=1.9),
    "contour": Stroke(colour="ink", width=0.4, halo=0.9),
    "outline": Stroke(colour="quiet", width=0.8, halo=1.5, dash="dashed"),
    "curve": Stroke(colour="ink", width=1.1),
    "reference": Stroke(colour="quiet", width=0.7, dash="dashed"),
    "guide": Stroke(colour="line", width=0.6),
    "exact": Stroke(colour="ink", width=1.3, dash="dashed"),
}
EXACT = "#e0115f"  # lines known in closed form, over computed ones
HALO = "#ffffff"
_CONTRAST = 3.4  # of a line with the paper below it
MARKS = 0.9  # points: outlines of marks
BAND = 0.22  # opacity of bands


def stroke_colour(role: str, theme: Theme) -> str:
    """The colour of a role's lines in a theme; on a picture they stay dark, because the picture stays light."""
    stroke = STROKES[role]
    return str(getattr(LIGHT if stroke.halo else theme, stroke.colour))


def lifted(colour: str, theme: Theme) -> str:
    """A colour on bare paper of a theme: lightened on dark paper, where it would hardly stand out.

    Args:
        colour: "#rrggbb"; anything else stays as it is.
        theme: the theme whose paper is drawn on.

    Returns:
        The colour itself, or the first blend with white whose contrast with the paper is 3.4 to 1.
    """
    if theme is not DARK or len(colour) != 7:
        return colour
    ground, own = _luminance(rgb(theme.paper)) + 0.05, rgb(colour)
    blends = (own + part * (255 - own) for part in np.linspace(0, 1, 21))
    return hex_colour(next(blend for blend in blends if (_luminance(blend) + 0.05) / ground >= _CONTRAST))


def _luminance(colour: np.ndarray) -> float:
    """The relative luminance of sRGB, 0 to 1."""
    part = colour / 255
    linear = np.where(part <= 0.04045, part / 12.92, ((part + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def faded(picture: np.ndarray) -> np.ndarray:
    """A picture at half strength, for an image that lies off the plane it is drawn on.

    Args:
        picture: uint8, any shape.

    Returns:
        The picture, uint8, halfway to white.
    """
    return np.rint(127.5 + 0.5 * picture).astype(np.uint8)


def inwards(fraction: float) -> Literal["left", "center", "right"]:
    """The end at which to anchor a label at a fraction of a picture's width, so that it stays inside."""
    return "left" if fraction < 0.13 else "right" if fraction > 0.87 else "center"


def round_length(span: float) -> float:
    """The length of a scale bar: the largest 1, 2 or 5 times a power of ten within a quarter of `span`.

    >>> round_length(30.0)
    5.0
    """
    power = 10.0 ** math.floor(math.log10(span / 4))
    return float(max(step * power for step in (1, 2, 5) if step * power <= span / 4))


# the first installed family is used, the others supply single characters; the last ones come with matplotlib
FONTS: Mapping[str, tuple[str, ...]] = {
    "sans": ("Source Sans 3", "Helvetica", "Arial", "Liberation Sans", "DejaVu Sans", "STIXGeneral"),
    "serif": ("Times New Roman", "Times", "Liberation Serif", "STIXGeneral", "DejaVu Serif", "DejaVu Sans"),
}
SCREEN_FONT = '"Source Sans", "Source Sans 3", Inter, system-ui, sans-serif'
SCREEN_SERIF = "Georgia, serif"
SMALL = 0.875  # of the font size: ticks, legend, labels inside the picture

_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")

# mm, from the instructions to authors and the LaTeX classes
WIDTHS: Mapping[str, float] = {
    "Nature, single column": 89.0,
    "Nature, double column": 183.0,
    "Science, one column": 57.0,
    "Science, two columns": 121.0,
    "Science, three columns": 184.0,
    "PNAS, one column": 87.0,
    "PNAS, two columns": 178.0,
    "Elsevier, single column": 90.0,
    "Elsevier, one and a half columns": 140.0,
    "Elsevier, double column": 190.0,
    "IEEE, single column": 88.9,
    "IEEE, double column": 181.9,
    "CVPR and ICCV, single column": 83.3,  # (6.875 - 0.3125) / 2 inches
    "CVPR and ICCV, double column": 174.6,
    "ICML, single column": 82.6,
    "ICML, double column": 171.5,
    "NeurIPS and ICLR, text": 139.7,
}


def number_words(value: float) -> str:
    """A round number in few characters.

    >>> number_words(0.5), number_words(2e-05)
    ('0.5', '2 × 10⁻⁵')
    """
    digits, _, power = f"{value:g}".partition("e")
    return f"{digits} × 10{str(int(power)).translate(_RAISED)}" if power else digits


def log_ticks(low: float, high: float, *, most: int = 10) -> tuple[tuple[float, str], ...]:
    """Ticks of a logarithmic axis: 1, 2 and 5 times the powers of ten, or the powers alone.

    >>> log_ticks(0.3, 4.0)
    ((0.5, '0.5'), (1.0, '1'), (2.0, '2'))

    Args:
        low: lower end of the axis, positive.
        high: upper end of the axis.
        most: with more ticks than this, only the powers of ten are kept.

    Returns:
        Values within the ends, up to rounding, each with its label.
    """
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    inside: list[float] = []
    for steps in ((1, 2, 5), (1,)):
        values = [float(f"{step}e{power}") for power in powers for step in steps]
        inside = [value for value in values if low * (1 - 1e-6) <= value <= high * (1 + 1e-6)]
        if len(inside) <= most:
            break
    return tuple((value, number_words(value)) for value in inside)


def paper_settings(font_size: float, families: Sequence[str]) -> dict[str, Any]:
    """Settings of matplotlib for a figure on paper.

    Args:
        font_size: of axis titles, in points.
        families: names of installed font families, first choice first.

    Returns:
        rcParams that differ from matplotlib's own defaults.
    """
    small = SMALL * font_size
    return {
        "axes.formatter.limits": (-3, 5),  # deep zooms: short ticks, the common part once
        "axes.edgecolor": PRINT.quiet,
        "axes.labelcolor": PRINT.ink,
        "axes.labelpad": 2.0,
        "axes.labelsize": font_size,
        "axes.linewidth": 0.5,
        "axes.titlelocation": "left",
        "axes.titlepad": 4.0,
        "axes.titlesize": font_size,
        "figure.facecolor": PRINT.paper,
        "font.family": list(families),
        "font.size": font_size,
        "grid.color": PRINT.line,
        "grid.linewidth": 0.5,
        "image.composite_image": False,
        "lines.dash_capstyle": "butt",
        "lines.scale_dashes": True,
        "lines.solid_capstyle": "round",
        "lines.solid_joinstyle": "round",
        "pdf.fonttype": 42,  # TrueType: text stays text, and publishers refuse type 3
        "savefig.facecolor": PRINT.paper,
        "svg.fonttype": "none",
        "svg.hashsalt": "boundary-atlas",  # else ids differ between two files of the same figure
        "text.color": PRINT.ink,
        "text.parse_math": False,  # class names are drawn literally, dollar signs included
        "xtick.color": PRINT.quiet,
        "xtick.labelcolor": PRINT.ink,
        "xtick.labelsize": small,
        "xtick.major.pad": 2.0,
        "xtick.major.size": 2.0,
        "xtick.major.width": 0.5,
        "xtick.minor.size": 0.0,
        "ytick.color": PRINT.quiet,
        "ytick.labelcolor": PRINT.ink,
        "ytick.labelsize": small,
        "ytick.major.pad": 2.0,
        "ytick.major.size": 2.0,
        "ytick.major.width": 0.5,
        "ytick.minor.size": 0.0,
    }
