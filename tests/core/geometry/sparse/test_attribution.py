"""What each pixel does, on planes and gates where it is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from core.geometry.sparse.attribution import pictures
from core.geometry.sparse.counted_margin import CountedMargin, SparseProblem
from core.geometry.sparse.sparsefool import FirstPlane, first_planes
from tests import truths

SHAPE = (3, 4, 4)


def planes(size: int) -> tuple[SparseProblem, FirstPlane, Tensor, Tensor]:
    """A plane, images before it, and its weights: F = 1 - <w, x - image 0> at any x."""
    images = 0.25 + truths.images(1, SHAPE) / 2 + truths.images(5, SHAPE, seed=1) / 20
    weight = 4 * truths.unit(SHAPE, 1)
    offset = 1 + (weight * images[0]).sum()
    module = truths.Affine(torch.stack([0 * weight.flatten(), weight.flatten()]), torch.stack([offset, 0 * offset]))
    counted = CountedMargin(truths.classifier(module, SHAPE, torch.float64), size)
    logits = counted.open(images)
    problem = SparseProblem(counted, images, 0 * images, 0 * images + 1, 1e-4, "pixel")
    first = first_planes(problem, logits, images, rule="l2", order="pixel")
    return problem, first, weight, logits[:, 0] - logits[:, 1]


@pytest.mark.parametrize("size", [1, 5])
def test_on_a_plane_curve_reliance_and_capacity_are_sums_of_gains(size: int) -> None:
    problem, first, weight, margin = planes(size)
    images, rows = problem.images, torch.tensor([0, 2])
    gain = (weight.abs() * torch.where(weight > 0, 1 - images, images)).sum(1)
    place = (-gain).flatten(1).argsort(dim=1).argsort(dim=1).view(5, 4, 4)
    kept = place < torch.tensor([6, 0, 9, 0, 0])[:, None, None]
    changed = torch.where(kept[:, None], torch.where(weight > 0, 1.0, 0.0).double(), images)
    found = pictures(problem, changed, rows, place, first)
    np.testing.assert_allclose(found["capacity_at_boundary"], gain, rtol=1e-6)
    np.testing.assert_allclose(found["capacity"][rows], gain[rows], rtol=1e-9)
    np.testing.assert_allclose(found["reliance"][rows].nan_to_num(0), (gain * kept)[rows], rtol=1e-9)
    np.testing.assert_array_equal(found["reliance"][rows].isnan(), ~kept[rows])
    np.testing.assert_array_equal(found["rank"][rows], place.where(kept, -1)[rows])
    assert found["curve"].shape == (5, 10)
    for row, count in ((0, 6), (2, 9)):
        falls = torch.cat([torch.zeros(1), gain[row].flatten().sort(descending=True).values[:count].cumsum(0)])
        np.testing.assert_allclose(found["curve"][row, : count + 1], margin[row] - falls, rtol=1e-9)
        assert found["curve"][row, count + 1 :].isnan().all()
        share = margin[row] / (gain[row] * kept[row]).sum()
        np.testing.assert_allclose(found["amplitude"][row], share, rtol=1e-3)
    others = [1, 3, 4]
    for name in ("curve", "reliance", "capacity", "amplitude"):
        assert found[name][others].isnan().all()
    assert (found["rank"][others] == -1).all()
    assert found["target_class"].tolist() == [1, -1, 1, -1, -1]
    unit = weight / weight.norm()
    np.testing.assert_allclose(found["dense"], unit.expand_as(images), atol=1e-9)
    np.testing.assert_allclose(found["boundary"], images + (margin / weight.norm()).view(-1, 1, 1, 1) * unit, atol=1e-6)


def test_without_an_order_the_pixels_that_carry_most_come_first() -> None:
    problem, first, weight, _ = planes(5)
    changed = problem.images[:1].clone()
    for pixel in range(8):
        changed[0, :, pixel // 4, pixel % 4] = torch.where(weight[:, pixel // 4, pixel % 4] > 0, 1.0, 0.0)
    found = pictures(problem, torch.cat([changed, problem.images[1:]]), torch.tensor([0]), None, first)
    support, reliance = found["rank"][0] >= 0, found["reliance"][0]
    assert int(support.sum()) == 8
    ordered = reliance[support][found["rank"][0][support].argsort()]
    assert (ordered.diff() < 0).all()
    slopes = found["curve"][0].diff()[:8]
    np.testing.assert_allclose(-slopes, ordered, rtol=1e-9)


@pytest.mark.parametrize(("level", "survives"), [(0.5005, True), (0.499, False)])
def test_a_change_that_rounding_takes_back_is_marked(level: float, survives: bool) -> None:
    """Class 1 where pixel 0 passes .4985; 128 / 255 = .50196 does, 127 / 255 = .49804 does not."""
    weight = torch.tensor([[0.0, 0, 0, 0], [1.0, 0, 0, 0]], dtype=torch.float64)
    module = truths.Affine(weight, torch.tensor([0.4985, 0.0], dtype=torch.float64))
    images = torch.zeros(1, 1, 2, 2, dtype=torch.float64)
    counted = CountedMargin(truths.classifier(module, (1, 2, 2), torch.float64), 5)
    logits = counted.open(images)
    problem = SparseProblem(counted, images, images, images + 1, 1e-9, "pixel")
    changed = images.clone()
    changed[0, 0, 0, 0] = level
    first = first_planes(problem, logits, images, rule="l2", order="pixel")
    found = pictures(problem, changed, torch.tensor([0]), None, first)
    assert found["survives_rounding"].tolist() == [survives]


def test_tied_channels_share_one_direction_of_length_1() -> None:
    weight = truths.unit(SHAPE, 1)
    module = truths.Affine(torch.stack([0 * weight.flatten(), weight.flatten()]), torch.tensor([9.0, 0.0]).double())
    grey = torch.full((2, 1, 4, 4), 0.5, dtype=torch.float64)
    counted = CountedMargin(truths.classifier(module, SHAPE, torch.float64), 5, tied=True)
    logits = counted.open(grey)
    problem = SparseProblem(counted, grey, 0 * grey, 0 * grey + 1, 1e-4, "pixel")
    first = first_planes(problem, logits, grey, rule="l2", order="pixel")
    found = pictures(problem, grey, torch.zeros(0, dtype=torch.int64), None, first)
    assert found["dense"].shape == (2, *SHAPE)
    np.testing.assert_allclose(found["dense"].flatten(1).norm(dim=1), 1, rtol=1e-9)
    np.testing.assert_allclose(found["dense"][:, 0], found["dense"][:, 2])
    np.testing.assert_allclose(found["capacity_at_boundary"], weight.sum(0).abs().expand(2, -1, -1) / 2, rtol=1e-6)
