"""Paths inside regions of the plane whose connectedness is known, laid into images; and on a demo model."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from core.geometry.regions.connect import STATUSES, RegionPaths, connect
from core.images.load import load_images
from core.models.classifier import Classifier
from core.models.load import load_classifier
from core.result import Result
from tests import corridors, curved, truths

SHAPE = (3, 32, 32)


def on_circle(degrees: float, radius: float = 1.5) -> tuple[float, float]:
    return radius * math.cos(math.radians(degrees)), radius * math.sin(math.radians(degrees))


def ends(surface: curved.Surface, *places: tuple[float, float]) -> list[Tensor]:
    return [curved.at(surface, torch.tensor([place], dtype=torch.float64)) for place in places]


def inside_all_along(classifier: Classifier, found: RegionPaths, row: int) -> None:
    """Every corner, and 400 points of every segment, have the class of the start."""
    path = torch.from_numpy(found.path(row)).double()
    share = torch.linspace(0, 1, 400, dtype=torch.float64).view(-1, 1, 1, 1)
    for first, second in itertools.pairwise(path):
        points = first + share * (second - first)
        assert (classifier.predict(points).label == found.source_class[row]).all()


ANNULUS, MOONS, U = "annulus", "moons", "u"


def surface(name: str) -> curved.Surface:
    rows, centre = curved.rows(2, SHAPE), curved.centre(SHAPE)
    match name:
        case "annulus":
            return corridors.Annulus(rows, centre)
        case "moons":
            return corridors.TwoMoons(rows, centre)
        case "u":
            return corridors.Corridor(rows, centre, torch.tensor(corridors.U, dtype=torch.float64), 0.2)
        case _:
            return corridors.TwoDiscs(rows, centre)


CASES = {  # surface, ends, the shortest way there is, how much longer a path may be
    "120 degrees": (ANNULUS, on_circle(0), on_circle(120), 2.64825, 1.05),
    "antipodal": (ANNULUS, on_circle(0), on_circle(180), 3.69567, 1.1),
    "tips of a moon": (MOONS, (-1.0, 0.0), (1.0, 0.0), 2.3, 1.4),
    "tips of a U": (U, (-1.0, 0.0), (1.0, 0.0), 5.1, 2.0),
}


@pytest.mark.parametrize("dtype", truths.DTYPES)
@pytest.mark.parametrize("case", CASES)
def test_a_path_is_found_where_there_is_one(case: str, dtype: torch.dtype) -> None:
    name, start, end, shortest, longer = CASES[case]
    plane = surface(name)
    classifier = curved.classifier(plane, SHAPE, dtype)
    found = connect(classifier, *ends(plane, start, end))
    assert found.verdict.tolist() == ["path found"]
    assert found.status[0] == ("searched" if name == U else "bent")
    straight = math.dist(start, end)
    np.testing.assert_allclose(found.distance, straight, rtol=1e-5)
    np.testing.assert_allclose(found.length, found.length_ratio * straight, rtol=1e-5)
    assert shortest <= found.length[0] <= longer * shortest
    inside_all_along(classifier, found, 0)
    path = found.path(0)
    assert len(path) == found.segments[0] + 1
    np.testing.assert_allclose(path[0], ends(plane, start)[0][0], atol=1e-6)
    np.testing.assert_allclose(path[-1], ends(plane, end)[0][0], atol=1e-6)
    assert 0 < found.min_margin[0] <= found.anchor_margin.min()
    assert 0 < found.resolution[0] <= straight / 64 * 1.0001
    if dtype == torch.float64:  # the margin in the plane is the margin of the image
        offset = (torch.from_numpy(path) - plane.centre).flatten(1)
        height = plane.double().height(offset @ plane.rows.T).detach()
        np.testing.assert_allclose(found.anchor_margin, height, rtol=1e-9)


@pytest.mark.parametrize("dtype", truths.DTYPES)
def test_between_two_discs_there_is_none_and_that_is_all_that_is_said(dtype: torch.dtype) -> None:
    plane = surface("discs")
    classifier = curved.classifier(plane, SHAPE, dtype)
    found = connect(classifier, *ends(plane, (-2.0, 0.0), (2.0, 0.0)), search=24)
    assert found.verdict.tolist() == ["not found"]
    assert found.status[0] == "stalled"
    assert not found.found[0]
    for name in ("length", "length_ratio", "min_margin", "resolution", "headroom"):
        assert np.isnan(getattr(found, name)[0])
    assert found.segments[0] == 0
    assert len(found.path(0)) == 2
    assert "disconnected" not in " ".join(STATUSES.values())
    assert found.forwards < 12_000  # it ends


def test_two_points_of_a_disc_are_joined_by_the_straight_segment() -> None:
    plane = surface("discs")
    classifier = curved.classifier(plane, SHAPE, torch.float64)
    found = connect(classifier, *ends(plane, (-2.9, 0.0), (-1.3, 0.3)))
    assert found.status[0] == "straight"
    assert found.length_ratio[0] == pytest.approx(1, abs=1e-12)
    assert found.min_margin[0] == pytest.approx(1 - 0.9**2, abs=1e-9)  # at the start
    assert found.gradients == 0
    assert found.headroom[0] > 1


def test_the_disc_is_never_left_from_between_the_discs() -> None:
    """Outside of both discs the other class has one region with two holes: a path leads around one."""
    plane = surface("discs")
    classifier = curved.classifier(plane, SHAPE, torch.float64)
    found = connect(classifier, *ends(plane, (-3.5, 0.2), (3.5, 0.2)))
    assert found.verdict[0] == "path found"
    assert found.source_class[0] == 1
    inside_all_along(classifier, found, 0)


class Slit(curved.Surface):
    """A thin slit of another class between two half spaces, open at the far end: |y_0| > width or y_1 > 3."""

    def height(self, y: Tensor) -> Tensor:
        return torch.maximum(y[:, 0].abs() - 0.002, y[:, 1] - 3)


def test_a_slit_a_thousandth_of_the_way_wide_is_seen() -> None:
    """Of width 0.004 on a segment of length 4: samples 4 / 64 apart miss it, slopes on both sides give it away."""
    plane = Slit(curved.rows(2, SHAPE), curved.centre(SHAPE))
    classifier = curved.classifier(plane, SHAPE, torch.float64)
    found = connect(classifier, *ends(plane, (-2.03, 0.0), (1.97, 0.0)))
    assert found.status[0] != "straight"
    if found.found[0]:
        inside_all_along(classifier, found, 0)
        corners = (torch.from_numpy(found.path(0)) - plane.centre).flatten(1) @ plane.rows.T
        assert corners[:, 1].max() > 3  # around its end


@pytest.mark.parametrize("dtype", truths.DTYPES)
def test_a_batch_is_its_pairs_one_by_one(dtype: torch.dtype) -> None:
    plane = surface(ANNULUS)
    classifier = curved.classifier(plane, SHAPE, dtype)
    places = [(0, 120), (20, 25), (200, 45), (0, 90)]
    if dtype == torch.float64:  # through the centre, where rounding chooses the side
        places.append((10, 190))
    starts = torch.cat(ends(plane, *(on_circle(first) for first, _ in places)))
    others = torch.cat(ends(plane, *(on_circle(second, 1.4) for _, second in places)))
    together = connect(classifier, starts, others)
    assert together.found.all()
    for row in range(len(places)):
        alone = connect(classifier, starts[[row]], others[[row]])
        assert alone.status[0] == together.status[row]
        assert alone.segments[0] == together.segments[row]
        np.testing.assert_allclose(alone.length_ratio, together.length_ratio[row], rtol=1e-5)
        np.testing.assert_allclose(alone.path(0), together.path(row), atol=2e-4)


def test_a_pair_that_needs_a_search_does_not_hold_up_another() -> None:
    plane = surface(U)
    classifier = curved.classifier(plane, SHAPE, torch.float64)
    starts = torch.cat(ends(plane, (-1.0, -1.0), (-1.0, -0.2)))
    others = torch.cat(ends(plane, (-1.0, -1.8), (1.0, -0.1)))
    together = connect(classifier, starts, others)
    assert together.status.tolist() == ["straight", "searched"]
    for row in range(2):
        inside_all_along(classifier, together, row)


def test_without_a_search_the_u_is_not_found() -> None:
    plane = surface(U)
    classifier = curved.classifier(plane, SHAPE, torch.float64)
    found = connect(classifier, *ends(plane, (-1.0, 0.0), (1.0, 0.0)), search=0)
    assert found.status[0] == "stalled"


def test_a_budget_that_is_spent_is_said() -> None:
    plane = surface(MOONS)
    classifier = curved.classifier(plane, SHAPE, torch.float64)
    tips = ends(plane, (-1.0, 0.0), (1.0, 0.0))
    assert connect(classifier, *tips, max_levels=1).status[0] == "budget"
    assert connect(classifier, *tips, max_anchors=1).status[0] == "budget"


class Undefined(nn.Module):
    """Not a number where the mean of an image is above 0.9; class 0 elsewhere, 1 below 0.2."""

    def forward(self, images: Tensor) -> Tensor:
        mean = images.flatten(1).mean(1)
        height = (mean - 0.2).where(mean <= 0.9, torch.nan)
        return torch.stack([height, torch.zeros_like(height)], 1)


def test_ends_without_a_common_class_have_a_status_each() -> None:
    classifier = truths.classifier(Undefined(), (1, 8, 8))
    values = torch.tensor([[0.5, 0.1], [0.5, 0.95], [0.95, 0.5], [0.3, 0.8], [0.2, 0.5]])
    starts, others = (column.view(-1, 1, 1, 1).expand(-1, 1, 8, 8).clone() for column in values.unbind(1))
    found = connect(classifier, starts, others)
    assert found.status.tolist() == ["other class", "undefined", "undefined", "straight", "on the boundary"]
    assert found.source_class.tolist() == [0, 0, -1, 0, 0]
    assert found.end_class.tolist() == [1, -1, 0, 0, 0]
    assert found.verdict.tolist() == ["not found"] * 3 + ["path found", "not found"]


def test_an_image_is_joined_to_itself() -> None:
    classifier, images = load_classifier("demo:digits/standard", "cpu"), load_images("demo:digits")
    found = connect(classifier, images.pixels[:2], images.pixels[:2])
    assert found.status.tolist() == ["straight"] * 2
    assert found.length_ratio.tolist() == [1, 1]


def test_what_a_result_is_survives_the_disk() -> None:
    plane = surface(ANNULUS)
    classifier = curved.classifier(plane, SHAPE, torch.float32)
    found = connect(classifier, *ends(plane, on_circle(0), on_circle(120)))
    again = Result.from_bytes(found.to_bytes())
    assert isinstance(again, RegionPaths)
    np.testing.assert_array_equal(again.path(0), found.path(0))
    assert found.unit("min_margin") == "logit"


def test_images_of_a_class_are_joined_on_a_demo_model() -> None:
    classifier, images = load_classifier("demo:photos/standard", "cpu"), load_images("demo:photos")
    said = classifier.predict(images.pixels).label
    pairs = [np.flatnonzero(said == k)[[0, -1]] for k in range(6)]
    starts, others = (images.pixels[[pair[side] for pair in pairs]] for side in (0, 1))
    told: list[float] = []
    found = connect(classifier, starts, others, on_progress=lambda fraction, partial=None: told.append(fraction))
    assert found.found.all()
    assert told == sorted(told)
    assert 0 <= told[0] <= told[-1] <= 1
    assert (found.length_ratio >= 1 - 1e-6).all()
    for row in range(len(pairs)):
        inside_all_along(classifier, found, row)
