"""Charts of local properties: what they show, beside what, in which units and words."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.figures.charts.local.adversarial_comparison import kinds_chart
from core.figures.charts.local.by_layer import layers_chart, sweep_chart
from core.figures.charts.local.local import LocalShow, local_chart
from core.figures.drawing import style
from core.figures.drawing.chart import LinesLayer, PointsLayer
from core.figures.drawing.paper import write_figure
from core.figures.drawing.screen import draw
from core.geometry.local.adversarial_comparison import AdversarialComparison
from core.geometry.local.at_image import LocalAtImage
from core.geometry.local.by_layer import LayerGeometry
from core.geometry.local.by_radius import RadiusSweep

NAMES = ("cat", "dog", "owl")
COST: dict[str, Any] = {"forwards": 1, "gradients": 1, "seconds": 0.0}
ANGLES = 8


def a_result(**changed: Any) -> LocalAtImage:
    """One image with 4 directions, whose gain grows with the angle of the plane; two rays meet dog and owl."""
    turn = np.arange(ANGLES) * 2 * np.pi / ANGLES
    one, four = np.ones(1), np.array([[1.0, 2.0, 3.0, 4.0]])
    far = np.full(ANGLES, np.nan)
    far[0], far[3] = 2.0, 3.0
    reached = np.full(ANGLES, -1)
    reached[0], reached[3] = 1, 2
    known: dict[str, Any] = {
        "gain": four,
        "gain_behind": four + 1,
        "gain_linear": four,
        "gain_random": four[:, ::-1],
        "asymmetry": four / 10,
        "opposition": four / 10,
        "residual": four / 10,
        "flips": np.zeros((1, 4), np.int8),
        "boundary": np.full((2, 1, 2), np.nan),
        "variation": np.array([[0.5, 0.4, 0.2]]),
        "ratio": np.array([[0.3, 0.4, 0.5]]),
        "spectral": np.array([[np.nan, 0.0, 0.0]]),
        "effective": np.array([[np.nan, 0.1, 0.1]]),
        "mantel_raw": 0.04 * one,
        "mantel_linear": 0.05 * one,
        "mantel_jacobian": 0.9 * one,
        "mantel_random": 0.03 * one,
        "mantel_expected": 0.06 * one,
        "mantel_p": np.array([[0.1, 0.1, 0.1]]),
        "lipschitz_pairs": one,
        "lipschitz_point": 2 * one,
        "lipschitz_ball": 3 * one,
        "lipschitz_margin": 3 * one,
        "lipschitz_residual": 0 * one,
        "margin": one,
        "outside": 0 * one,
        "source_class": np.zeros(1, np.int32),
        "outcome": np.zeros(1, np.int8),
        "pair_distance": np.array([[1.0, 1.1, 1.2]]),
        "answered": np.array([[0.5, np.nan, 0.7]]),
        "answered_linear": np.array([[0.5, 0.6, 0.8]]),
        "product": 100.0,
        "product_words": "Linear",
        "radius": 0.5,
        "reach": 10.0,
        "sampler": "sphere",
        "dimension": 16,
        "representation": "logits",
        "precision": "float32",
        "num_classes": 3,
        "angle": turn,
        "rings": np.array([0.25, 0.5, 1.0]),
        "plane_gain": np.stack([1 + turn, 2 + turn, 3 + turn]),
        "plane_linear": np.ones(ANGLES),
        "plane_boundary": far,
        "plane_class": reached,
        "x_label": "gradient",
        "y_label": "random 0",
        "words": "cat",
        **COST,
    }
    return LocalAtImage(**(known | changed))


def lines(panel: Any, dash: str) -> list[LinesLayer]:
    return [layer for layer in panel.layers if isinstance(layer, LinesLayer) and layer.dash == dash]


def test_rings_stand_beside_their_opposite_and_the_linearisation() -> None:
    chart = local_chart([a_result()], names=["net"], class_names=NAMES)
    gains, boundary = chart.panels
    assert (gains.kind, boundary.kind) == ("polar", "polar")
    assert gains.y.title == "gain (logit / ℓ2)"
    assert len(lines(gains, "solid")) == 3
    (opposite,), (linear,) = lines(gains, "dashed"), lines(gains, "dotted")
    ring = lines(gains, "solid")[1].paths[0]
    np.testing.assert_allclose(opposite.paths[0][0, 1], ring[ANGLES // 2, 1])
    np.testing.assert_allclose(linear.paths[0][:, 1], 1)
    assert len(ring) == ANGLES + 1  # closed
    marks = [layer for layer in boundary.layers if isinstance(layer, PointsLayer)]
    censored = next(layer for layer in marks if layer.marker == "ring")
    assert len(censored.positions) == 6
    np.testing.assert_allclose(censored.positions[:, 1], 10)  # at the reach, open
    assert {layer.colours for layer in marks} >= {(style.class_colour(1),), (style.class_colour(2),)}
    assert [entry.label for entry in chart.legend] == [
        *("r = 0.25", "r = 0.5", "r = 1"),
        *("first other class:", "dog", "owl"),
    ]
    assert "75 % of rays meet no other class" in chart.alt
    two = local_chart([a_result(), a_result(plane_gain=9 * np.ones((3, ANGLES)))], names=["a", "b"], class_names=NAMES)
    assert two.columns == 2
    assert two.panels[0].y.limits == two.panels[1].y.limits
    assert two.panels[1].title == "b: change of the outputs"


def test_scores_are_never_shown_without_those_of_linear_maps() -> None:
    chart = local_chart([a_result()], names=["net"], class_names=NAMES, show="distances")
    raw, linear, jacobian = chart.panels
    assert [panel.title for panel in chart.panels] == [
        "as it is: r 0.04",
        "linearised: r 0.05",
        "against it: r 0.90",
    ]
    marks = raw.layers[0]
    assert isinstance(marks, PointsLayer)
    np.testing.assert_allclose(marks.positions, [[1.0, 0.5], [1.2, 0.7]])  # what is not known is left out
    assert jacobian.x.title == "|J (z - w)| (logit)"
    assert "random linear map 0.03" in chart.caption
    assert "band" not in chart.caption
    hidden = local_chart(
        [a_result(mantel_expected=np.full(1, np.nan))], names=["n"], class_names=NAMES, show="distances"
    )
    assert "expected" not in hidden.caption
    assert "as it is 0.04 (p 0.1), linearised 0.05 (p 0.1) (0.06 expected), random linear map 0.03" in chart.caption
    assert "against the linearised 0.90 (p 0.1)" in chart.caption
    assert linear.y.title == "|J (z - w)| (logit)"


def test_gains_stand_beside_two_linear_maps() -> None:
    chart = local_chart([a_result()], names=["net"], class_names=NAMES, show="directions")
    gain, symmetry = chart.panels
    assert [len(lines(gain, dash)) for dash in ("solid", "dashed", "dotted")] == [2, 1, 1]  # and the line at 1
    curve = lines(gain, "dashed")[0].paths[0]
    np.testing.assert_allclose(curve, [[0.4, 0.125], [0.8, 0.375], [1.2, 0.625], [1.6, 0.875]])
    np.testing.assert_allclose(lines(symmetry, "dashed")[0].paths[0][:, 0], 0)
    assert "random linear map 0.50" in chart.caption
    nothing = np.zeros((1, 4))
    flat = a_result(gain=nothing, gain_behind=nothing, gain_linear=nothing, asymmetry=nothing * np.nan)
    drawn = local_chart([flat], names=["net"], class_names=NAMES, show="directions")
    assert not lines(drawn.panels[0], "dashed")
    with pytest.raises(ValueError, match="a name for each of 1 models"):
        local_chart([flat], names=[], class_names=NAMES)


def some_layers(images: int = 3) -> LayerGeometry:
    grid = np.arange(images * 2, dtype=float).reshape(images, 2) / 10 + 0.1
    names = (
        *("mantel_raw", "mantel_linear", "mantel_jacobian", "variation", "variation_linear", "effective"),
        *("asymmetry", "residual", "prefix", "block", "suffix", "alignment"),
    )
    return LayerGeometry(
        **dict.fromkeys(names, grid),
        changed=np.full((images, 2), np.nan),
        residual_of_norms=np.array([0.01, 0.02]),
        width=np.array([10, 5]),
        layers=("features.with.long.path", "head"),
        radius=0.5,
        sampler="sphere",
        directions=8,
        precision="float32",
        num_classes=3,
        **COST,
    )


def test_layers_are_drawn_as_medians_with_quartiles() -> None:
    chart = layers_chart([some_layers()], names=["net"])
    assert chart.columns == 2
    assert [panel.title for panel in chart.panels] == [
        "Mantel score",
        "norms of Jacobians",
        "isotropy and alignment",
        "distance from linear",
    ]
    first = chart.panels[0]
    np.testing.assert_allclose(lines(first, "solid")[0].paths[0], [[0, 0.3], [1, 0.4]])
    assert first.x.ticks == ((0.0, "…h.long.path"), (1.0, "head"))
    assert not lines(chart.panels[3], "dotted")  # no kinks, no curve
    assert chart.panels[1].y.scale == "log"
    assert layers_chart([some_layers(), some_layers(1)], names=["a", "b"]).columns == 2
    with pytest.raises(ValueError, match="a name for each"):
        layers_chart([], names=[])


def a_sweep(**changed: Any) -> RadiusSweep:
    rising = np.array([[0.01, 0.1, 1.0]] * 3)
    known: dict[str, Any] = {
        "radius": np.array([0.1, 1.0, 10.0]),
        "asymmetry": rising,
        "residual": rising / 2,
        "variation": rising,
        "flipped": np.zeros((3, 3)),
        "changed": np.full((3, 3), np.nan),
        "first_kink": np.full(3, np.nan),
        "row": np.arange(3, dtype=np.int32),
        "kinks": "no ReLU and no max-pooling in its modules",
        "sampler": "sphere",
        "directions": 8,
        "precision": "float32",
        "num_classes": 3,
        **COST,
    }
    return RadiusSweep(**(known | changed))


def test_the_guide_has_slope_1() -> None:
    chart = sweep_chart([a_sweep()], names=["net"])
    (panel,) = chart.panels
    guide = panel.layers[0]
    assert isinstance(guide, LinesLayer)
    assert guide.role == "reference"
    np.testing.assert_allclose(guide.paths[0], [[0.1, 0.01], [10.0, 1.0]])
    assert panel.x.scale == panel.y.scale == "log"
    assert panel.y.limits == (0.0025, 1.5)
    assert "no ReLU" in chart.caption
    kinked = sweep_chart([a_sweep(first_kink=np.array([0.1, 0.2, 0.3]))], names=["net"])
    assert "nearest kink on any ray is 0.2" in kinked.caption
    dull = sweep_chart([a_sweep(asymmetry=np.zeros((3, 3)), residual=np.zeros((3, 3)))], names=["net"])
    assert not dull.panels[0].layers


def some_kinds(**changed: Any) -> AdversarialComparison:
    values = np.array([[0.5, 2.0, 0.6], [0.8, 1.2, 0.8], [2.0, np.nan, 2.5]])
    names = ("lipschitz_point", "lipschitz_pairs", "lipschitz_ball", "lipschitz_margin", "margin", "variation")
    names += ("mantel_raw", "mantel_linear", "mantel_jacobian", "asymmetry")
    return AdversarialComparison(
        **dict.fromkeys(names, values),
        found=np.array([True, True, False]),
        row=np.arange(3, dtype=np.int32),
        strength=1.0,
        radius=0.5,
        product=100.0,
        representation="logits",
        sampler="sphere",
        num_classes=3,
        **COST,
        **changed,
    )


def test_the_line_at_1_has_its_unit_and_pairs_are_paired() -> None:
    chart = kinds_chart([some_kinds()], names=["net"])
    histogram, pairs = chart.panels
    assert histogram.x.title == "Lipschitz number (logits per ℓ2)"
    line = histogram.layers[-1]
    assert isinstance(line, LinesLayer)
    np.testing.assert_allclose(line.paths[0][:, 0], 1)
    assert "class changed for 2 of 3 images" in chart.caption
    assert "1 in this unit is 1/255 for pixels in [0, 255]" in chart.caption
    apart = next(layer for layer in pairs.layers if isinstance(layer, PointsLayer))
    np.testing.assert_allclose(apart.positions[:, 1], [0.4, 1.5])
    assert "adversarial above clean in 100% of pairs" in chart.caption
    both = kinds_chart([some_kinds(), some_kinds()], names=["a", "b"], number="ball")
    assert both.columns == 2
    assert len(both.panels) == 4
    with pytest.raises(ValueError, match="a name for each"):
        kinds_chart([some_kinds()], names=[])


@pytest.mark.parametrize("show", ["plane", "distances", "directions"])
def test_both_renderers_draw_local_properties(show: LocalShow, tmp_path: Path) -> None:
    chart = local_chart([a_result(), replace(a_result(), words="dog")], names=["a", "b"], class_names=NAMES, show=show)
    assert draw(chart).data
    assert draw(chart, dark=True).data
    write_figure(chart, tmp_path / "local.svg")
    assert (tmp_path / "local.svg").stat().st_size > 1000


def test_both_renderers_draw_the_others(tmp_path: Path) -> None:
    for chart in (
        layers_chart([some_layers()], names=["net"]),
        sweep_chart([a_sweep()], names=["net"]),
        kinds_chart([some_kinds()], names=["net"]),
    ):
        assert chart.alt
        assert draw(chart).data
        write_figure(chart, tmp_path / f"{chart.name}.svg")
