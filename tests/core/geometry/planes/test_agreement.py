"""Agreement of slices against closed forms: shifted lines, renamed classes, classes that are nowhere."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from core.geometry.planes.agreement import Agreement, agreement
from core.geometry.planes.planes import Extent, Plane
from core.geometry.planes.slices import Slice, slice_plane
from core.images.load import load_images
from core.models.load import load_classifier
from core.result import Result
from tests import truths

SHAPE = (1, 32, 32)
SQUARE: Extent = (-4.0, 6.0, -5.0, 5.0)
PLANE = Plane.through(*truths.images(3, SHAPE))


def line(shift: float, resolution: int = 101, turn: float = 0.0, extent: Extent = SQUARE) -> Slice:
    """Class 0 right of x = shift in the plane's coordinates, class 1 left of it; with a turn, a slanted line."""
    w = math.cos(turn) * PLANE.u + math.sin(turn) * PLANE.v
    bias = -float((w * PLANE.origin).sum()) - shift
    weight = torch.stack([w.flatten(), torch.zeros(w.numel())])
    module = truths.Affine(weight, torch.tensor([bias, 0.0], dtype=torch.float64))
    return slice_plane(truths.classifier(module, SHAPE, torch.float64), PLANE, extent, resolution, "full")


def diagram(classes: int, seed: int) -> Slice:
    points = np.random.default_rng(seed).uniform(-4, 5, (classes, 2))
    classifier = truths.classifier(truths.NearestCentre(PLANE.to_pixels(points)), SHAPE, torch.float64)
    return slice_plane(classifier, PLANE, SQUARE, 101, "full")


def test_a_slice_agrees_with_itself() -> None:
    cut = diagram(5, 1)
    same = agreement(cut, cut, true_class=0)
    assert (same.overall, same.in_box, same.in_band, same.macro_iou) == (1, 1, 1, 1)
    np.testing.assert_array_equal(same.iou, 1)
    for nothing in (same.gained, same.lost, same.boundary_mean, same.boundary_hausdorff):
        np.testing.assert_array_equal(nothing, 0)
    assert (same.overall_boundary_mean, same.overall_boundary_hausdorff) == (0, 0)
    np.testing.assert_array_equal(same.area_a, same.area_b)
    assert same.chance == pytest.approx(sum(share**2 for share in cut.shares().values()))


@pytest.mark.parametrize("shift", [0.33, 1.0, 2.07])
def test_a_shifted_line_gains_a_stripe(shift: float) -> None:
    a, b = line(0.05), line(0.05 + shift)  # the grid's columns are 0.1 apart
    columns = sum(0.05 < x < 0.05 + shift for x in a.x)
    found = agreement(a, b, true_class=1)
    assert found.overall == pytest.approx(1 - columns / 101)
    stripe = columns * 101 * 0.1**2
    assert found.classes.tolist() == [0, 1]
    np.testing.assert_allclose(found.gained, [0, stripe], atol=1e-12)
    np.testing.assert_allclose(found.lost, [stripe, 0], atol=1e-12)
    left = sum(x < 0.05 for x in a.x)
    np.testing.assert_allclose(found.iou, [(101 - left - columns) / (101 - left), left / (left + columns)])
    assert found.macro_iou == pytest.approx(found.iou.mean())
    for distance in (*found.boundary_mean, *found.boundary_hausdorff, found.overall_boundary_mean):
        assert distance == pytest.approx(shift, abs=1e-9)
    assert found.chance == pytest.approx(((101 - left) * (101 - left - columns) + left * (left + columns)) / 101**2)
    assert found.true_class == 1
    assert found.true_iou == pytest.approx(found.iou[1])
    assert found.true_lost == 0
    assert 0 < found.true_gained < stripe  # the square reaches beyond the pixel box
    back = agreement(b, a)
    np.testing.assert_array_equal(back.gained, found.lost)
    assert math.isnan(back.true_gained)


def test_the_distance_of_slanted_lines_is_exact_away_from_their_ends() -> None:
    near, far = line(0.0, turn=0.3), line(0.01, turn=0.3)
    found = agreement(near, far)
    assert found.overall_boundary_mean == pytest.approx(0.01, rel=0.02)  # a tenth of a grid step


def test_a_band_near_the_boundary_shows_more_disagreement() -> None:
    a, b = line(0.05), line(0.55)
    found = agreement(a, b, band=1.0)
    near = sum(abs(x - 0.05) < 1 or abs(x - 0.55) < 1 for x in a.x)
    assert found.band_share == pytest.approx(near / 101)
    assert found.in_band == pytest.approx(1 - 5 / near)
    assert math.isnan(agreement(a, b, band=0.0).in_band)


def test_the_box_is_that_of_the_pixels() -> None:
    a, b = line(0.05), line(1.05)
    points = np.stack(np.meshgrid(a.x, a.y), -1).reshape(-1, 2)
    pixels = PLANE.to_pixels(points).flatten(1)
    in_box = ((pixels.amin(1) >= 0) & (pixels.amax(1) <= 1)).numpy().reshape(101, 101)
    assert 0.01 < in_box.mean() < 0.99
    assert agreement(a, b).in_box == pytest.approx((a.label == b.label)[in_box].mean())


def test_renamed_classes_agree_by_chance() -> None:
    rng = np.random.default_rng(0)
    a = diagram(5, 1)
    b = replace(a, label=rng.permutation(a.label.ravel()).reshape(a.label.shape))
    found = agreement(a, b)
    assert found.overall == pytest.approx(found.chance, abs=0.02)
    assert found.chance == pytest.approx(sum(share**2 for share in a.shares().values()))


def test_a_class_that_only_one_says_has_no_overlap_and_no_distance() -> None:
    a, b = line(0.05), line(50.0)
    found = agreement(a, b, true_class=0)
    assert found.iou[0] == 0
    assert found.area_b[0] == 0
    assert np.isnan(found.boundary_mean).all()
    assert math.isnan(found.overall_boundary_hausdorff)
    nowhere = agreement(b, b, true_class=0)
    assert nowhere.classes.tolist() == [1]
    assert math.isnan(nowhere.true_iou)
    assert (nowhere.true_gained, nowhere.true_lost) == (0, 0)


def test_undefined_points_are_not_compared() -> None:
    a = line(0.05)
    half = replace(a, label=np.where(a.x < 0.05, -1, a.label), classes=np.array([0]), logits=a.logits[..., :1])
    found = agreement(a, half)
    assert found.overall == 1
    assert found.classes.tolist() == [0]
    empty = agreement(a, replace(a, label=np.full_like(a.label, -1), classes=np.array([], np.int64)))
    for value in (empty.overall, empty.in_box, empty.in_band, empty.chance, empty.macro_iou, empty.band_share):
        assert math.isnan(value)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (lambda a: line(0.05, resolution=51), "same resolution, got 101 and 51"),
        (lambda a: line(0.05, extent=(-4.0, 6.0, -4.0, 6.0)), "two slices of the same extent"),
        (lambda a: replace(a, u=a.v, v=a.u), "two slices of the same plane"),
        (lambda a: replace(a, origin=a.origin[:, :16]), "two slices of the same plane"),
        (lambda a: replace(a, num_classes=3), "two models with the same classes, got 2 and 3"),
    ],
)
def test_slices_that_cannot_be_compared_are_refused(other: object, message: str) -> None:
    a = line(0.05)
    with pytest.raises(ValueError, match=message):
        agreement(a, other(a))  # type: ignore[operator]


def test_two_demo_models_agree_in_part_and_the_result_is_read_back() -> None:
    anchors = load_images("demo:photos")[[3, 170, 420]].pixels
    plane = Plane.through(*anchors)
    extent = plane.square(plane.to_plane(anchors).numpy())
    cuts = [
        slice_plane(load_classifier(f"demo:photos/{name}", "cpu"), plane, extent, 64)
        for name in ("standard", "standard-1")
    ]
    found = agreement(*cuts, true_class=0)
    assert found.chance < found.overall < 1
    assert found.in_band < found.overall
    assert found.macro_iou < found.overall
    again = Result.from_bytes(found.to_bytes())
    assert isinstance(again, Agreement)
    assert again.to_bytes() == found.to_bytes()
