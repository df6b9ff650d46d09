"""Regions of drawn label grids, of closed forms, and of many planes."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from core.errors import ImageError
from core.geometry.planes import fragmentation as regions
from core.geometry.planes.fragmentation import Fragmentation, RegionStatistics, fragmentation, region_statistics
from core.geometry.planes.planes import Plane
from core.geometry.planes.slices import Slice, slice_plane
from core.images.image_set import ImageSet
from core.images.load import load_images
from core.models.load import load_classifier
from core.result import Result
from core.runtime.progress import Cancelled
from tests import truths
from tests.truths import BatchSize

STEP = 0.5


def drawn(label: np.ndarray) -> Slice:
    """A slice with these labels; nothing else of it is meant to be read."""
    side = len(label)
    nothing, axis = np.zeros((side, side)), np.arange(side) * STEP
    image = np.zeros((1, 1, 2))
    classes = np.unique(label[label >= 0]).astype(np.int64)
    return Slice(
        x=axis,
        y=axis,
        label=label.astype(np.int32),
        confidence=nothing,
        entropy=nothing,
        margin=nothing,
        classes=classes,
        logits=np.zeros((side, side, len(classes))),
        evaluated=nothing == 0,
        outline=np.empty((0, 2)),
        origin=image,
        u=image,
        v=image,
        x_label="",
        y_label="",
        num_classes=int(label.max()) + 1,
        method="full",
        forwards=0,
        gradients=0,
        seconds=0.0,
    )


def of(rows: str) -> RegionStatistics:
    """The regions of a picture drawn in characters: digits are classes, a dot is undefined."""
    table = [[-1 if mark == "." else int(mark) for mark in row] for row in rows.split()]
    return region_statistics(drawn(np.array(table)))


def test_a_checkerboard_has_as_many_regions_as_squares() -> None:
    found = region_statistics(drawn(np.indices((8, 8)).sum(0) % 2))
    assert found.class_regions.tolist() == [32, 32]
    assert (found.cells == 1).all()
    assert found.unresolved.all()
    assert found.touches_frame.sum() == 28
    assert (found.resolution, found.step) == (8, STEP)


def test_touching_at_a_corner_does_not_join() -> None:
    found = of("1100 1100 0011 0011")
    assert found.class_regions.tolist() == [2, 2]
    assert found.cells.tolist() == [4, 4, 4, 4]
    assert not found.unresolved.any()


def test_a_ring_is_one_region_and_parts_what_it_holds() -> None:
    found = of("00000 01110 01010 01110 00000")
    assert found.region_class.tolist() == [0, 1, 0]
    assert found.cells.tolist() == [16, 8, 1]
    assert found.touches_frame.tolist() == [True, False, False]
    np.testing.assert_allclose(found.area, np.array([16, 8, 1]) * STEP**2)
    np.testing.assert_allclose(found.share, np.array([16, 8, 1]) / 25)
    assert found.classes.tolist() == [0, 1]
    np.testing.assert_allclose(found.class_area, np.array([17, 8]) * STEP**2)
    np.testing.assert_allclose(found.class_share, np.array([17, 8]) / 25)
    assert found.region[2, 2] == 2


def test_undefined_points_belong_to_no_region() -> None:
    found = of("00. .00 0.0")
    assert (found.region == -1).sum() == 3
    assert found.class_regions.tolist() == [2]
    assert found.share.sum() == pytest.approx(6 / 9)
    nothing = of(".. ..")
    assert len(nothing.cells) == len(nothing.classes) == 0


def test_class_ids_beyond_a_byte_stay_themselves() -> None:
    found = region_statistics(drawn(np.array([[999, 999], [3, 259]])))
    assert found.region_class.tolist() == [999, 3, 259]
    assert found.classes.tolist() == [3, 259, 999]


def test_two_discs_have_their_areas_and_the_shape_of_discs() -> None:
    x, y = np.meshgrid(np.arange(200), np.arange(200))
    label = ((x - 60) ** 2 + (y - 60) ** 2 < 40**2) * 1 + ((x - 150) ** 2 + (y - 140) ** 2 < 30**2) * 1
    found = region_statistics(drawn(label))
    assert found.class_regions.tolist() == [1, 2]
    discs = found.region_class == 1
    np.testing.assert_allclose(found.area[discs], np.pi * np.array([40, 30]) ** 2 * STEP**2, rtol=0.01)
    np.testing.assert_allclose(found.perimeter[discs], 2 * np.pi * np.array([40, 30]) * STEP, rtol=0.02)
    np.testing.assert_allclose(found.perimeter_squared_per_area[discs], 4 * math.pi, rtol=0.03)
    assert found.perimeter_squared_per_area[0] > 20  # what is left around them


def test_a_power_diagram_has_one_region_per_class() -> None:
    shape = (1, 32, 32)
    plane = Plane.through(*truths.images(3, shape))
    points = np.random.default_rng(1).uniform(-4, 4, (6, 2))
    classifier = truths.classifier(truths.NearestCentre(plane.to_pixels(points)), shape, torch.float64)
    found = region_statistics(slice_plane(classifier, plane, (-5.0, 5.0, -5.0, 5.0), 97, "full"))
    assert found.class_regions.tolist() == [1] * 6
    assert found.share.sum() == pytest.approx(1)


GRIDS = st.integers(1, 9).flatmap(
    lambda side: st.lists(st.integers(-1, 3), min_size=side * side, max_size=side * side).map(
        lambda values: np.array(values).reshape(int(len(values) ** 0.5), -1)
    )
)


@given(GRIDS.filter(lambda label: len(label) > 1))
def test_areas_add_up_to_the_grid(label: np.ndarray) -> None:
    found = region_statistics(drawn(label))
    undefined = (label < 0).sum()
    assert found.cells.sum() + undefined == label.size
    assert found.area.sum() == pytest.approx((label.size - undefined) * STEP**2)
    assert found.class_area.sum() == pytest.approx(found.area.sum())
    assert (np.diff(found.cells) <= 0).all()
    assert found.class_regions.sum() == len(found.cells)
    for number, k in enumerate(found.region_class):
        assert (label[found.region == number] == k).all()


@given(GRIDS.filter(lambda label: len(label) > 1), st.permutations([0, 1, 2, 300]))
def test_renaming_the_classes_renames_the_regions(label: np.ndarray, names: list[int]) -> None:
    renamed = np.array([*names, -1])[label]
    found, again = region_statistics(drawn(label)), region_statistics(drawn(renamed))
    np.testing.assert_array_equal(found.region, again.region)
    np.testing.assert_array_equal(np.array(names)[found.region_class], again.region_class)
    np.testing.assert_array_equal(found.perimeter, again.perimeter)


# -- over many planes -------------------------------------------------------------------------------------------------


def a_set(count: int = 12, shape: tuple[int, ...] = (1, 8, 8)) -> ImageSet:
    pixels = truths.images(count, shape, dtype=torch.float32)
    return ImageSet(pixels, torch.full((count,), -1), tuple(map(str, range(count))), (), "test")


def test_one_flat_boundary_gives_one_or_two_regions() -> None:
    weight = torch.stack([truths.unit((1, 8, 8)).flatten(), torch.zeros(64)])
    images = a_set()
    bias = -float((images.pixels.double().flatten(1) @ weight[0]).max()) - 0.1  # all images lie on one side
    classifier = truths.classifier(truths.Affine(weight, torch.tensor([bias, 0.0])), (1, 8, 8))
    found = fragmentation(classifier, images, 30, 16)
    assert set(found.regions) == {1, 2}
    assert found.low <= found.mean <= found.high
    assert found.mean == pytest.approx(found.regions.mean())
    assert (found.resolution, len(found.rows)) == (16, 30)
    assert math.isnan(found.finer_ratio)


def test_persistence_counts_the_regions_of_at_least_a_share() -> None:
    """Two classes at every pixel's sign: a plane cut by one line has two regions, whose shares are known."""
    weight = torch.zeros(2, 64, dtype=torch.float64)
    weight[0] = truths.unit((1, 8, 8)).flatten()
    images = a_set()
    bias = -float((images.pixels.double().flatten(1) @ weight[0]).median())
    classifier = truths.classifier(truths.Affine(weight, torch.tensor([bias, 0.0])), (1, 8, 8))
    found = fragmentation(classifier, images, 6, 32)
    np.testing.assert_allclose([found.share[0], found.share[-1]], [1 / 1024, 1])
    np.testing.assert_array_equal(found.lasting[:, 0], found.regions)
    for rows, lasting in zip(found.rows, found.lasting, strict=True):
        anchors = images[rows].pixels
        plane = Plane.through(*anchors)
        extent = plane.square(plane.to_plane(anchors).numpy())
        shares = region_statistics(slice_plane(classifier, plane, extent, 32, "full")).share
        np.testing.assert_array_equal(lasting, [(shares >= least - 1e-12).sum() for least in found.share])
    mean, low, high = found.persistence()
    np.testing.assert_allclose(mean, found.lasting.mean(0))
    assert (mean[0], low[0], high[0]) == (found.mean, found.low, found.high)
    assert ((low <= mean) & (mean <= high)).all()
    assert (np.diff(mean) <= 0).all()
    alike = fragmentation(classifier, images, 1, 32)
    for part in alike.persistence():  # one plane drawn again is the same plane
        np.testing.assert_array_equal(part, alike.lasting[0])


@pytest.mark.parametrize("batch", [5, 64])
def test_counts_are_those_of_the_slices(batch: int, batch_size: BatchSize) -> None:
    batch_size(batch)
    images = load_images("demo:photos")
    classifier = load_classifier("demo:photos/standard", "cpu")
    found = fragmentation(classifier, images, 3, 24, finer=True)
    for rows, count, finer in zip(found.rows, found.regions, found.finer, strict=True):
        anchors = images[rows].pixels
        plane = Plane.through(*anchors)
        extent = plane.square(plane.to_plane(anchors).numpy())
        for side, expected in ((24, count), (48, finer)):
            cut = slice_plane(classifier, plane, extent, side, "full")
            assert len(region_statistics(cut).cells) == expected
    assert found.finer_ratio == pytest.approx(found.finer.mean() / found.regions.mean())
    assert found.forwards >= 3 * 24**2 * 5


def test_more_planes_only_add_and_the_seed_decides() -> None:
    images = a_set()
    classifier = truths.classifier(truths.NearestCentre(truths.images(6, (1, 8, 8), seed=4)), (1, 8, 8))
    few, many, other = (
        fragmentation(classifier, images, planes, 8, seed) for planes, seed in ((4, 0), (20, 0), (20, 1))
    )
    np.testing.assert_array_equal(few.rows, many.rows[:4])
    np.testing.assert_array_equal(few.regions, many.regions[:4])
    assert (other.rows != many.rows).any()


def test_the_interval_holds_the_true_mean_about_as_often_as_it_says() -> None:
    held = 0
    for trial in range(200):
        counts = np.random.default_rng(trial).poisson(6.0, 60)
        low, high = regions._bootstrap(counts[:, None], trial)
        held += bool(low[0] <= 6.0 <= high[0])
    assert 180 <= held <= 199


def test_progress_shows_the_planes_so_far_and_can_cancel() -> None:
    images = a_set()
    classifier = truths.classifier(truths.NearestCentre(truths.images(6, (1, 8, 8), seed=4)), (1, 8, 8))
    fractions: list[float] = []
    partial_counts: list[int] = []

    def listen(fraction: float, partial: Result | None = None) -> None:
        fractions.append(fraction)
        if isinstance(partial, Fragmentation):
            partial_counts.append(len(partial.regions))

    fragmentation(classifier, images, 20, 8, finer=True, on_progress=listen)
    assert fractions == sorted(fractions)
    assert 0 <= fractions[0] < fractions[-1] < 1
    assert partial_counts == [8, 16]

    def cancel(fraction: float, partial: Result | None = None) -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        fragmentation(classifier, images, 20, 8, on_progress=cancel)


def test_results_are_read_back() -> None:
    classifier = truths.classifier(truths.NearestCentre(truths.images(6, (1, 8, 8), seed=4)), (1, 8, 8))
    for result in (fragmentation(classifier, a_set(), 3, 8), of("01 10")):
        assert Result.from_bytes(result.to_bytes()).to_bytes() == result.to_bytes()


def test_wrong_calls_are_told_in_one_sentence() -> None:
    classifier = truths.classifier(truths.NearestCentre(truths.images(6, (1, 8, 8), seed=4)), (1, 8, 8))
    with pytest.raises(ValueError, match="at least 1 plane and 2 points a side, got 0 and 8"):
        fragmentation(classifier, a_set(), 0, 8)
    with pytest.raises(ImageError, match="three images that span a plane, found none in 2"):
        fragmentation(classifier, a_set(2), 1, 8)
    with pytest.raises(ImageError, match="expected images of n x 1 x 8 x 8"):
        fragmentation(classifier, a_set(5, (1, 4, 4)), 1, 8)
