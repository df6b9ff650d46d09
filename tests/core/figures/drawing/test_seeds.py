"""Seeds as one line: the mean and the band are those of the values, whatever the axes are, and nothing else changes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from core.figures.drawing.chart import Axis, BandLayer, Chart, FieldLayer, LegendEntry, LinesLayer, Panel, PointsLayer
from core.figures.drawing.seeds import seeds_in_one_line
from core.figures.drawing.symlog import Symlog
from core.sources.models import Source

NAMES = ("net", "net-1", "other")
INKS = ("#111111", "#222222", "#333333")
X = np.array([1.0, 10.0, 100.0])
VALUES = np.array([[1.0, 4.0, 2.0], [3.0, 6.0, 8.0], [9.0, 9.0, 9.0]])


def path(x: Any, y: Any) -> np.ndarray:
    return np.stack([np.asarray(x, float), np.asarray(y, float)], 1)


def coloured(shown: np.ndarray = VALUES, x: Axis | None = None, y: Axis | None = None) -> Chart:
    """Three models in one panel, each with a line, a band of its own and a mark."""
    layers: list[Any] = [LinesLayer(paths=(path([1, 100], [0, 0]),), role="reference")]
    for values, ink in zip(shown, INKS, strict=True):
        layers.append(BandLayer(x=X, low=values - 0.1, high=values + 0.1, colour=ink))
        layers.append(LinesLayer(paths=(path(X, values),), colour=ink))
        layers.append(PointsLayer(positions=path(X, values), colours=(ink,)))
    panel = Panel(layers=tuple(layers), x=x or Axis(), y=y or Axis())
    legend = tuple(LegendEntry(colour=ink, label=name) for name, ink in zip(NAMES, INKS, strict=True))
    return Chart(panels=(panel,), name="lines", caption="What is shown.", legend=legend)


def drawn(chart: Chart, ink: str, place: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Where the line of a colour goes, its values and both ends of its band."""
    layers = chart.panels[place].layers
    (line,) = [one for one in layers if isinstance(one, LinesLayer) and one.colour == ink]
    (band,) = [one for one in layers if isinstance(one, BandLayer) and one.colour == ink]
    assert np.array_equal(band.x, line.joined[:, 0])
    return *line.joined.T, band.low, band.high


def test_the_line_is_the_mean_and_the_band_ends_at_the_least_and_the_greatest() -> None:
    chart = seeds_in_one_line(coloured(), NAMES, [[0, 1], [2]])
    x, mean, low, high = drawn(chart, INKS[0])
    assert x.tolist() == X.tolist()
    assert (mean.tolist(), low.tolist(), high.tolist()) == ([2, 5, 5], [1, 4, 2], [3, 6, 8])
    assert drawn(chart, INKS[2])[1].tolist() == [9, 9, 9]  # of another training: as it was
    assert [one.label for one in chart.legend] == ["net, 2 seeds", "other"]
    marks = [one for one in chart.panels[0].layers if isinstance(one, PointsLayer)]
    assert [one.colours for one in marks] == [(INKS[2],)]
    assert "2 seeds (net, net-1): their mean" in chart.caption
    assert chart.caption.endswith("What is shown.")


def test_the_mean_is_that_of_the_values_on_a_stretched_axis() -> None:
    axis = Symlog(0.1)
    chart = seeds_in_one_line(coloured(axis.at(VALUES), y=Axis(symlog=0.1)), NAMES, [[0, 1], [2]])
    _, mean, low, high = drawn(chart, INKS[0])
    assert np.allclose([axis.values(each) for each in (mean, low, high)], [[2, 5, 5], [1, 4, 2], [3, 6, 8]])
    chart = seeds_in_one_line(coloured(y=Axis(scale="log")), NAMES, [[0, 1], [2]])
    assert np.allclose(drawn(chart, INKS[0])[1], [2, 5, 5])


def test_places_and_gaps_of_seeds_may_differ() -> None:
    """Between its points a line counts as it is drawn; where one seed has no value there is no line."""
    one = LinesLayer(paths=(path([1, 100], [1, 3]), path([200, 300, 300, 400], [5, 5, 7, 7])), colour=INKS[0])
    other = LinesLayer(paths=(path([1, 10, 50], [5, 5, 5]), path([200, 400], [1, 1])), colour=INKS[1])
    legend = tuple(LegendEntry(colour=ink, label=name) for name, ink in zip(NAMES[:2], INKS[:2], strict=True))
    chart = Chart(panels=(Panel(layers=(one, other), x=Axis(scale="log")),), name="gaps", legend=legend)
    (line,) = [
        each for each in seeds_in_one_line(chart, NAMES[:2], [[0, 1]]).panels[0].layers if isinstance(each, LinesLayer)
    ]
    first, second = line.paths
    assert first[:2].tolist() == [[1, 3], [10, 3.5]]  # half way from 1 to 100 on a logarithmic axis
    assert first[-1, 0] == 50
    assert second.tolist() == [[200, 3], [300, 3], [300, 4], [400, 4]]  # a step stays one
    assert len(line.hover) == len(first) + len(second)


def test_panels_with_names_become_one_panel() -> None:
    panels = [
        Panel(
            layers=(
                LinesLayer(paths=(path(X, values),), name="image"),
                LinesLayer(paths=(path(X, values.mean() * np.ones(3)),), role="reference", dash="dashed"),
                PointsLayer(positions=path(X, values), colours=("#abcdef",)),
            ),
            title=name,
            y=Axis(limits=(0.0, float(values.max()))),
        )
        for name, values in zip(NAMES, VALUES, strict=True)
    ]
    legend = (LegendEntry(colour="#abcdef", label="cat"),)
    chart = Chart(panels=tuple(panels), columns=3, name="panels", legend=legend)
    both = seeds_in_one_line(chart, NAMES, [[0, 1], [2]])
    assert [panel.title for panel in both.panels] == ["net, 2 seeds", "other"]
    assert both.columns == 2
    band, line, dashed = both.panels[0].layers
    assert isinstance(band, BandLayer)
    assert isinstance(line, LinesLayer)
    assert line.joined[:, 1].tolist() == [2, 5, 5]
    assert isinstance(dashed, LinesLayer)
    assert np.allclose(dashed.joined[:, 1], VALUES[:2].mean())
    assert both.panels[0].y.limits == (0, 8)
    assert both.legend == legend  # the other model still has marks of this class
    every = seeds_in_one_line(chart, NAMES, [[0, 1, 2]], "models")
    assert every.legend == ()
    assert every.panels[0].title == "net and 2 more"
    assert every.caption.startswith("One line for 3 models (net, net-1, other)")


def test_what_is_not_made_of_lines_stays_apart_and_says_so() -> None:
    field = FieldLayer(x=np.arange(2.0), y=np.arange(2.0), colours=np.zeros((2, 2, 3), np.uint8))
    panels = tuple(Panel(layers=(field,), title=name) for name in NAMES)
    chart = Chart(panels=panels, columns=3, name="maps", caption="Maps.")
    same = seeds_in_one_line(chart, NAMES, [[0, 1, 2]])
    assert same.panels == panels
    assert same.caption.startswith("Maps. Models stay apart")
    turning = LinesLayer(paths=(path([1, 3, 2], [0, 1, 2]),))
    curled = replace(chart, panels=tuple(Panel(layers=(turning,), title=name) for name in NAMES), caption="")
    assert seeds_in_one_line(curled, NAMES, [[0], [1], [2]]) is curled
    with pytest.raises(ValueError, match="expected groups that hold each of 3 models once"):
        seeds_in_one_line(chart, NAMES, [[0, 1]])


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        ("demo:photos/standard", "demo:photos/standard-2", True),
        ("demo:photos/standard", "demo:photos/prime-2", False),
        ("untrained:demo:photos/standard", "untrained:3:demo:photos/standard-1", True),
        ("demo:photos/standard", "untrained:demo:photos/standard", False),
        ("torchvision:resnet18", "torchvision:resnet-50", False),
        ("net-1.pt?arch=timm:resnet18", "net-2.pt?arch=timm:resnet18", False),
    ],
)
def test_which_models_are_seeds_of_one_training(one: str, other: str, alike: bool) -> None:
    assert (Source.parse(one).seedless == Source.parse(other).seedless) is alike
