"""Segments in and out of regions with known margins: what is found, how finely it looked, and how sure that is."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from core.geometry.boundary.relabel import RegionMargin
from core.geometry.regions.segments import FINEST, Checked, check_segments
from core.runtime.cost import counting
from tests import truths

SHAPE = (1, 8, 8)
STEP = 1 / 16


class Along(nn.Module):
    """Logits (F(t), 0) of the coordinate t along one direction."""

    def __init__(self, direction: Tensor, kind: str) -> None:
        super().__init__()
        self.direction, self.kind = nn.Parameter(direction), kind

    def forward(self, images: Tensor) -> Tensor:
        t = images.flatten(1) @ self.direction.flatten()
        match self.kind:
            case "slope":
                inside = 1 - t
            case "dip":  # to -0.05 within 0.01 of 0.53, with slope 100 around it
                inside = ((t - 0.53).abs() * 100 - 0.05).clamp(max=1.0)
            case "valley":  # down to 0.005 at 0.53, and up again
                inside = (t - 0.53).abs() + 0.005
            case _:
                inside = torch.ones_like(t)
        return torch.stack([inside, torch.zeros_like(inside)], 1)


def checked(kind: str, ends: list[tuple[float, float]], dtype: torch.dtype = torch.float64) -> tuple[Checked, int]:
    direction = truths.unit(SHAPE)
    classifier = truths.classifier(Along(direction, kind), SHAPE, dtype)
    margin = RegionMargin(classifier)
    at = torch.tensor(ends, dtype=torch.float64).flatten()
    images = (at.view(-1, 1, 1, 1) * direction).to(margin.dtype)
    numbers = torch.arange(len(images))
    classes = torch.zeros_like(numbers)
    values = margin(images, classes).view(-1, 2)
    step = torch.full((len(ends),), STEP, dtype=margin.dtype)
    with counting() as cost:
        found = check_segments(margin, images, numbers[::2], numbers[1::2], values, classes[::2], step)
    return found, cost.forwards


@pytest.mark.parametrize("dtype", truths.DTYPES)
def test_a_constant_margin_takes_the_widest_gaps_allowed(dtype: torch.dtype) -> None:
    found, forwards = checked("flat", [(0.0, 1.0), (0.0, 2.0)], dtype)
    assert found.holds.tolist() == [True, True]
    np.testing.assert_allclose(found.gap, STEP, rtol=1e-6)
    assert found.samples.tolist() == [15, 31]
    assert forwards == 46
    np.testing.assert_allclose(found.least, 1)


def test_a_segment_that_leaves_is_found_out_at_once() -> None:
    found, forwards = checked("slope", [(0.0, 2.0), (0.0, 0.5), (0.0, 1.5)])
    assert found.holds.tolist() == [False, True, False]
    assert found.samples[1] > 3 >= found.samples[0]
    assert float(found.least[1]) == pytest.approx(0.5)
    assert forwards == int(found.samples.sum())


def test_gaps_close_in_on_where_the_margin_is_small() -> None:
    found, _ = checked("valley", [(0.0, 1.0)])
    assert found.holds.tolist() == [True]
    assert 0.005 <= float(found.least[0]) < 0.01
    assert found.samples[0] > 15  # finer than the step alone asks for
    assert float(found.headroom[0]) > 1
    np.testing.assert_allclose(found.gap, STEP)


def test_a_steep_dip_much_thinner_than_a_step_is_found() -> None:
    """0.001 wide at 0, on a slope 0.02 wide: sixteenths see nothing at all but for one that meets the slope."""
    found, _ = checked("dip", [(0.0, 1.06)])  # its middle lies on the slope
    assert found.holds.tolist() == [False]


def test_no_gap_is_finer_than_said() -> None:
    direction = truths.unit(SHAPE)
    classifier = truths.classifier(Along(direction, "slope"), SHAPE, torch.float64)
    margin = RegionMargin(classifier)
    images = torch.tensor([0.0, 1 - 1e-9], dtype=torch.float64).view(-1, 1, 1, 1) * direction
    margin.zero = 0.0
    numbers = torch.arange(2)
    values = margin(images, 0 * numbers)[None]
    found = check_segments(
        margin, images, numbers[:1], numbers[1:], values, 0 * numbers[:1], torch.tensor([STEP], dtype=torch.float64)
    )
    assert found.holds.tolist() == [True]
    assert float(found.headroom[0]) == pytest.approx(1, abs=0.01)  # the cones just touch on a straight slope
    assert found.samples[0] <= 1 / STEP + 2 * np.log2(1 / FINEST)


def test_nothing_is_looked_at_where_an_end_is_outside() -> None:
    found, forwards = checked("slope", [(0.5, 1.5)])
    assert found.holds.tolist() == [False]
    assert forwards == 0
