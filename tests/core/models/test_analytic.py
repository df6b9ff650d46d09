"""Models known on paper: what they say is exact agrees with closed forms, with searches, and with pictures."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from torch import Tensor

from core.errors import CheckpointError
from core.geometry.boundary.deepfool import boundary_points
from core.geometry.curvature.profile import curvature_profile
from core.geometry.planes.exact import exact_block_distance, exact_boundary, exact_curvature, exact_distance
from core.geometry.planes.planes import Plane
from core.geometry.planes.slices import slice_plane
from core.geometry.subspaces.subspace_distances import subspace_distances
from core.geometry.subspaces.subspaces import frequency_blocks, patches
from core.images.image_set import ImageSet
from core.images.load import load_images
from core.models.analytic import Affine, Ball, Known, analytic_classifier, known
from core.models.classifier import Classifier
from core.models.load import load_classifier
from core.sources.models import ANALYTIC_KINDS
from tests import truths

SHAPE = (1, 4, 4)


def answers(classifier: Classifier) -> Known:
    found = known(classifier)
    assert found is not None
    return found


@pytest.mark.parametrize("dtype", truths.DTYPES)
@pytest.mark.parametrize("count", [1, 5])
def test_distances_to_flat_boundaries(dtype: torch.dtype, count: int) -> None:
    weight = torch.zeros(3, 16, dtype=dtype)
    weight[0, 0], weight[1, 0], weight[2, 5] = 2.0, -2.0, 3.0
    model = Affine(weight, torch.tensor([0.0, 0.0, -90.0], dtype=dtype), torch.full(SHAPE, 0.5, dtype=dtype))
    images = truths.images(count, SHAPE, dtype=torch.float64)
    expected = (images[:, 0, 0, 0] - 0.5).abs()  # halfway between the first two; the third is far
    torch.testing.assert_close(model.distance(images), expected)
    torch.testing.assert_close(model.distance(images, lambda each: each / 1), expected)
    assert model.curvature(images).tolist() == [0.0] * count

    def without_first(each: Tensor) -> Tensor:
        kept = each.clone()
        kept[:, 0, 0, 0] = 0
        return kept

    slope = 3.0  # what is left: towards the third class along pixel 5
    logits = model.double()(images)
    torch.testing.assert_close(model.distance(images, without_first), (logits.amax(1) - logits[:, 2]) / slope)


@pytest.mark.parametrize("dtype", truths.DTYPES)
def test_distances_to_a_ball(dtype: torch.dtype) -> None:
    centre = torch.full(SHAPE, 0.5, dtype=dtype)
    model = Ball(centre, 2.0, 1, 0, 4)
    images = centre.double() + torch.tensor([0.5, 3.0, 1.5]).double()[:, None, None, None] * truths.unit(SHAPE)
    torch.testing.assert_close(model.distance(images), torch.tensor([1.5, 1.0, 0.5]).double())
    assert model.curvature(images).tolist() == [-0.5, 0.5, -0.5]
    assert model(images.to(dtype)).argmax(1).tolist() == [1, 0, 1]
    first = torch.zeros(SHAPE, dtype=torch.float64)
    first[0, 0, 0] = 1

    def along_first(each: Tensor) -> Tensor:
        return (each * first).flatten(1).sum(1)[:, None, None, None] * first

    offsets = torch.tensor([[0.5, 1.0], [0.0, 3.0]]).double() @ torch.eye(16, dtype=torch.float64)[:2]
    found = model.distance(centre.double() + offsets.view(-1, *SHAPE), along_first)
    assert found.tolist() == pytest.approx([math.sqrt(3) - 0.5, math.inf])


@pytest.mark.parametrize("kind", ANALYTIC_KINDS)
def test_searches_find_the_exact_distance(kind: str) -> None:
    images = load_images("demo:digits")
    model = analytic_classifier(load_classifier("demo:digits/standard", "cpu"), kind, images, 3).to(dtype=torch.float64)
    some = images.pixels[[3, 17, 42, 60]].double()
    found = boundary_points(model, some)
    exact = answers(model).distance(some).numpy()
    np.testing.assert_allclose(found.distance, exact, rtol=1e-5)
    profile = curvature_profile(model, some[:1], directions=2)
    assert exact_curvature(model, some[0]) == pytest.approx(float(profile.curvatures[0, 0]), abs=1e-6)
    assert exact_distance(model, some[0]) == pytest.approx(float(exact[0]))


def test_distances_inside_blocks_are_those_of_the_search() -> None:
    images = load_images("demo:digits")
    model = analytic_classifier(load_classifier("demo:digits/standard", "cpu"), "hyperplane", images, 3).to(
        dtype=torch.float64
    )
    some = images.pixels[[3]].double()
    for subspaces in (frequency_blocks((1, 32, 32), 16), patches((1, 32, 32), 16)):
        found = subspace_distances(model, some, subspaces=subspaces)
        exact = [exact_block_distance(model, some[0], found, block) for block in range(len(found.labels))]
        near = found.found[0]  # a block that hardly matters is not reached within the search's steps
        assert near.sum() >= 3
        np.testing.assert_allclose(found.distance[0, near], np.array(exact)[near], rtol=1e-5)


@pytest.mark.parametrize("kind", ANALYTIC_KINDS)
def test_the_exact_boundary_is_where_a_slice_finds_it(kind: str) -> None:
    images = load_images("demo:photos")
    model = analytic_classifier(load_classifier("demo:photos/standard", "cpu"), kind, images, 3)
    plane = Plane.through(*images.pixels[[3, 17, 42]])
    cut = slice_plane(model, plane, (-3.0, 15.0, -6.0, 12.0), 97, "full")
    lines = exact_boundary(model, plane, cut.extent)
    assert lines
    exact = np.concatenate([_dense(line) for line in lines])
    computed = np.concatenate([line for lines in cut.boundary_lines().values() for line in lines])
    assert max(_gap(exact, computed), _gap(computed, exact)) < cut.step
    corners = np.concatenate(lines)
    assert float(answers(model).distance(plane.to_pixels(corners)).max()) < 1e-6
    inside = (exact >= [cut.x[0] - 1e-9, cut.y[0] - 1e-9]) & (exact <= [cut.x[-1] + 1e-9, cut.y[-1] + 1e-9])
    assert inside.all()
    assert exact_boundary(load_classifier("demo:photos/standard", "cpu"), plane, cut.extent) is None


def _dense(line: np.ndarray) -> np.ndarray:
    parts = np.linspace(0, 1, max(2, 400 // len(line)))[:, None]
    return np.concatenate([start + parts * (end - start) for start, end in itertools.pairwise(line)])


def _gap(points: np.ndarray, others: np.ndarray) -> float:
    """How far the farthest of some points is from the nearest other one."""
    return float(np.linalg.norm(points[:, None] - others, axis=2).min(1).max())


def test_impossible_analytic_models_are_refused() -> None:
    model, images = load_classifier("demo:digits/standard", "cpu"), load_images("demo:digits")
    with pytest.raises(
        CheckpointError, match="expected an analytic model out of hyperplane, ball, voronoi, got 'cube'"
    ):
        analytic_classifier(model, "cube", images, 3)
    with pytest.raises(CheckpointError, match="expected a row below"):
        analytic_classifier(model, "ball", images, 10**6)
    alike = ImageSet(images.pixels[[3, 3]], images.labels[[3, 3]], ("a", "b"), images.class_names, "two")
    with pytest.raises(CheckpointError, match="expected images of two classes or more, got 1 in two"):
        analytic_classifier(model, "ball", alike, 0)


def test_without_labels_the_predicted_classes_are_used() -> None:
    model, images = load_classifier("demo:digits/standard", "cpu"), load_images("demo:digits")[range(60)]
    unlabelled = ImageSet(images.pixels, torch.full((60,), -1), images.names, (), "none")
    said = torch.from_numpy(model.predict(images.pixels).label.astype(np.int64))
    labelled = ImageSet(images.pixels, said, images.names, images.class_names, "said")
    prints = {analytic_classifier(model, "voronoi", each, 3).fingerprint for each in (unlabelled, labelled)}
    assert len(prints) == 1
