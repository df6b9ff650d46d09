"""Triangles against the areas that a plane cuts from them, and lattices point by point."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import ImageError
from core.geometry.level_sets.triangles import Triangle, triangle
from core.images.load import load_images
from core.models.load import load_classifier
from core.result import Result
from core.runtime.progress import Cancelled
from tests import truths
from tests.truths import BatchSize

CASES = [(shape, dtype) for shape in truths.SHAPES for dtype in truths.DTYPES]


def corners(values: list[list[float]], shape: tuple[int, ...]) -> tuple[truths.Affine, torch.Tensor]:
    """A model whose log-odds are given at three corners of n triangles (n, 3): they are one pixel, others vary."""
    images = truths.images(3 * len(values), shape).view(len(values), 3, *shape)
    images[..., 0, 0, 0] = torch.tensor(values, dtype=torch.float64)
    weight = torch.zeros(2, images[0, 0].numel(), dtype=torch.float64)
    weight[0, 0] = 1
    return truths.Affine(weight, torch.zeros(2, dtype=torch.float64)), images


@pytest.mark.parametrize("batch", [1, 5])
@pytest.mark.parametrize(("shape", "dtype"), CASES)
def test_log_odds_are_linear_where_the_model_is(
    shape: tuple[int, ...], dtype: torch.dtype, batch: int, batch_size: BatchSize
) -> None:
    batch_size(batch)
    values = [[3.0, 1.0, -2.0], [1.0, 1.5, 0.25]]
    module, images = corners(values, shape)
    found = triangle(truths.classifier(module, shape, dtype), *images.to(dtype).unbind(1), resolution=6)
    i, j = found.lattice.T / 6
    assert len(found.lattice) == 28
    assert found.lattice[0].tolist() == [0, 0]
    truth = np.array([(1 - i - j) * a + i * b + j * c for a, b, c in values])
    np.testing.assert_allclose(found.log_odds, truth, atol={torch.float32: 2e-6, torch.float64: 1e-12}[dtype])
    np.testing.assert_array_equal(found.label, np.where(found.log_odds >= 0, 0, 1))
    np.testing.assert_allclose(found.margin, np.abs(found.log_odds), atol=1e-6)
    np.testing.assert_allclose(found.edge("b"), 1 / (1 + np.exp(-np.linspace(*np.array(values).T[:2], 7).T)), atol=1e-6)
    np.testing.assert_allclose(found.edge("c")[:, -1], 1 / (1 + np.exp(-np.array(values)[:, 2])), atol=1e-6)
    lengths = (images[:, [1, 2, 2]] - images[:, [0, 0, 1]]).flatten(2).norm(dim=2)
    drawn = np.linalg.norm(found.corners[:, [1, 2, 2]] - found.corners[:, [0, 0, 1]], axis=2)
    np.testing.assert_allclose(drawn, lengths, rtol=1e-5)
    assert found.forwards >= 2 * 28


@given(st.floats(-3, 2.9), st.floats(-3, 2.9), st.floats(0.05, 0.9))
@settings(max_examples=10)
def test_shares_tend_to_the_area_that_a_plane_cuts_off(first: float, second: float, delta: float) -> None:
    module, images = corners([[3.0, first, second]], (1, 2, 2))
    found = triangle(truths.classifier(module, (1, 2, 2), torch.float64), *images.unbind(1), resolution=60)
    confidence = 1 / (1 + np.exp(-3.0)) - delta
    level = np.log(confidence / (1 - confidence))
    values = np.array([3.0, first, second])
    above = values >= level
    if above.all():
        truth = 1.0
    elif above.sum() == 1:
        truth = (3 - level) ** 2 / ((3 - first) * (3 - second))
    else:
        low = values[~above][0]
        truth = 1 - np.prod([(level - low) / (value - low) for value in values[above]])
    area, lattice = found.fraction(delta, "area")[0], found.fraction(delta)[0]
    assert area == pytest.approx(truth, abs=0.03)
    assert lattice == pytest.approx(truth, abs=0.08)


def test_weights_are_areas_and_lattice_shares_are_biased_towards_the_corner() -> None:
    module, images = corners([[3.0, -9.0, -9.0]], (1, 2, 2))
    found = triangle(truths.classifier(module, (1, 2, 2), torch.float64), *images.unbind(1), resolution=10)
    inside, edge, corner = (np.isclose(found.weights, value).sum() for value in (1, 1 / 2, 1 / 6))
    assert (inside, edge, corner) == (36, 27, 3)
    assert found.weights.sum() == pytest.approx(50)  # half of 10 x 10 cells
    assert found.fraction(0.0)[0] == 1 / 66
    assert found.fraction(0.0, "area")[0] == pytest.approx(1 / 300)
    assert found.mean("area")[0] < found.mean()[0]


def test_a_ball_is_convex_and_two_discs_are_not() -> None:
    shape, axes = (1, 8, 8), torch.zeros(2, 1, 8, 8, dtype=torch.float64)
    axes[0, 0, 0, 0] = axes[1, 0, 0, 1] = 1
    middle = torch.full(shape, 0.5, dtype=torch.float64)
    points = middle + torch.stack([-0.3 * axes[0], 0.3 * axes[0], 0.3 * axes[1]])
    ball = triangle(truths.classifier(truths.Ball(middle, 1.0), shape, torch.float64), *points[:, None], resolution=9)
    assert ball.fraction(1e-9).tolist() == [1.0]
    places = torch.tensor([[-0.3, 0.0], [0.3, 0.0], [0.0, 0.3]], dtype=torch.float64)
    apart = truths.Discs(middle, axes, places, 0.1)
    discs = triangle(truths.classifier(apart, shape, torch.float64), *points[:, None], resolution=30)
    assert (discs.label[0][[0, 30, -1]] == 1).all()
    assert discs.fraction(0.2)[0] < 0.3


def test_what_is_undefined_is_nan_and_one_batch_is_many() -> None:
    classifier, images = load_classifier("demo:photos/standard", "cpu"), load_images("demo:photos").pixels
    found = triangle(classifier, images[:3], images[100:103], images[200:203], resolution=8)
    assert found.log_odds.shape == (3, 45)
    for row in range(3):
        one = triangle(
            classifier, images[row : row + 1], images[100 + row : 101 + row], images[200 + row : 201 + row], 8
        )
        np.testing.assert_allclose(found.log_odds[row], one.log_odds[0], atol=2e-3)
    np.testing.assert_array_equal(found.label[:, 0], classifier.predict(images[:3]).label)
    assert (found.fraction(0.0) <= found.fraction(0.3)).all()

    class Dark(truths.Affine):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return super().forward(images).masked_fill(images[:, 0, 0, :1] < 0, torch.nan)

    module, pictures = corners([[3.0, 1.0, -2.0], [-1.0, 1.0, 1.0]], (1, 2, 2))
    odd = truths.classifier(Dark(module.weight.detach(), module.bias.detach()), (1, 2, 2), torch.float64)
    some = triangle(odd, *pictures.unbind(1), resolution=4)
    assert np.isnan(some.log_odds[0]).sum() == np.sum(some.label[0] == -1) > 0
    assert some.source_class.tolist() == [0, -1]
    assert np.isnan(some.log_odds[1]).all()
    assert some.fraction(0.9)[1] == 0


def test_triangles_are_read_back_called_off_and_refused() -> None:
    module, images = corners([[3.0, 1.0, -2.0]], (1, 2, 2))
    classifier = truths.classifier(module, (1, 2, 2), torch.float64)
    a, b, c = images.unbind(1)
    found = triangle(classifier, a, b, c, 3)
    again = Result.from_bytes(found.to_bytes())
    assert isinstance(again, Triangle)
    assert again.to_bytes() == found.to_bytes()
    for wrong in ((a[:0], b[:0], c[:0]), (a, b, c)):
        with pytest.raises(ValueError, match="expected triangles"):
            triangle(classifier, *wrong, resolution=0)
    with pytest.raises(ImageError, match="finite"):
        triangle(classifier, a, b * torch.nan, c)

    def cancel(fraction: float, partial: Result | None = None) -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        triangle(classifier, a, b, c, on_progress=cancel)
