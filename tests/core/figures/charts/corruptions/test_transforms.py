"""The chart of PRIME's draws: every drawn object is in it, in its place."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from core.figures.charts.corruptions.transforms import augmentation_chart
from core.figures.drawing import style
from core.figures.drawing.chart import Chart, FieldLayer, LinesLayer, PointsLayer
from core.figures.drawing.paper import figure_bytes
from core.figures.drawing.screen import draw
from core.geometry.corruptions.prime_draws import PrimeDraws, prime_draws
from tests import truths

NAMES = ("cat", "dog", "owl", "fox")


def made(shape: tuple[int, int, int] = (3, 16, 16), count: int = 2) -> tuple[PrimeDraws, Chart]:
    centres = truths.images(4, shape, seed=1, dtype=torch.float32)
    image = truths.images(1, shape, dtype=torch.float32)[0]
    found = prime_draws(truths.classifier(truths.NearestCentre(centres), shape), image, draws=count, cutoff=5)
    return found, augmentation_chart(found, image=image.numpy(), class_names=NAMES)


@pytest.mark.parametrize("shape", [(3, 16, 16), (1, 16, 16)])
def test_rows_of_primitives_and_columns_of_draws(shape: tuple[int, int, int]) -> None:
    found, chart = made(shape)
    (panel,) = chart.panels
    fields = [layer for layer in panel.layers if isinstance(layer, FieldLayer)]
    sides = [field.colours.shape[0] for field in fields]
    # the image in each row, the changed ones, the mixture's change; kernels and responses; grounds of arrows and curves
    assert (sides.count(16), sides.count(3), sides.count(33), sides.count(2)) == (4 + 8 + 2, 2, 2, 4)
    (words,) = (layer for layer in panel.layers if isinstance(layer, PointsLayer))
    assert len(words.labels) == 4 + 16
    assert {"spectral", "spatial", "colour", "mixture"} <= set(words.labels)
    assert f"{NAMES[found.predicted[0, 0]]}\n{found.confidence[0, 0]:.2f}" in words.labels
    lines = [layer for layer in panel.layers if isinstance(layer, LinesLayer)]
    assert len(lines) == 2 + 2 * (1 + shape[0])  # arrows; the diagonal and a curve per channel
    colours = [line.colour for line in lines if line.role == "guide"]
    assert (style.class_colour(5) in colours) == (shape[0] == 3)
    assert figure_bytes(chart, "svg").startswith(b"<?xml")
    assert draw(chart, dark=True).layout.meta["alt"] == chart.alt


def test_everything_lies_inside_the_panel_and_arrows_point_where_content_goes() -> None:
    found, chart = made()
    (panel,) = chart.panels
    assert panel.x.limits is not None
    assert panel.y.limits is not None
    for layer in panel.layers:
        if isinstance(layer, FieldLayer):
            left, right, bottom, top = layer.edges
            assert panel.x.limits[0] - 1e-9 <= left < right <= panel.x.limits[1] + 1e-9
            assert panel.y.limits[0] - 1e-9 <= bottom < top <= panel.y.limits[1] + 1e-9
    arrows = next(layer for layer in panel.layers if isinstance(layer, LinesLayer))
    moves = np.array([path[1] - path[0] for path in arrows.paths])
    middle = found.field[0][:, 1::2, 1::2].reshape(2, -1)
    strong = np.linalg.norm(middle, axis=0).argmax()
    expected = np.array([middle[1, strong], -middle[0, strong]])  # rows point down
    cosines = moves @ expected / (np.linalg.norm(moves, axis=1) * np.linalg.norm(expected))
    assert cosines.max() > 0.999


def test_names_of_classes_are_needed() -> None:
    found, _ = made()
    with pytest.raises(ValueError, match="expected one name for each of 4 classes"):
        augmentation_chart(found, image=np.zeros((3, 16, 16)), class_names=NAMES[:2])
