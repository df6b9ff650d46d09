"""Cards and triangles of walks against walks taken alone, planes that are exact, and the classifier itself."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest
import torch

from core.analyses.prepare.level_sets import confidence_on, perceptual_distances
from core.errors import ImageError
from core.geometry.level_sets.at_image import LevelSetAtImage, LevelTriangle
from core.geometry.level_sets.traverse import traverse
from core.geometry.planes.planes import Plane
from core.geometry.planes.slices import slice_plane
from core.images.image_set import ImageSet
from core.images.load import load_images
from core.models.classifier import Classifier
from core.models.load import load_classifier
from core.result import Result
from tests import truths
from tests.asked import ask
from tests.truths import BatchSize

SHAPE = (3, 12, 12)


def half_space(dtype: torch.dtype = torch.float32, steepness: float = 2.0) -> tuple[Classifier, torch.Tensor]:
    """Two classes apart by a plane through the middle of the box, and the unit normal of the first one's side."""
    normal = truths.unit(SHAPE, 7)
    weight = torch.stack([steepness * normal.flatten(), torch.zeros(432, dtype=torch.float64)])
    bias = torch.stack([-weight[0].sum() / 2, torch.tensor(0.0, dtype=torch.float64)])
    return truths.classifier(truths.Affine(weight, bias), SHAPE, dtype), normal


def image_set(normal: torch.Tensor) -> ImageSet:
    """The first three on the side of the first class, 0.5 from the plane; the others 0.5 behind it."""
    pixels = 0.4 + 0.2 * truths.images(6, SHAPE)
    off = (pixels - 0.5).flatten(1) @ normal.flatten()
    level = torch.tensor([0.5, 0.5, 0.5, -0.5, -0.5, -0.5]).double()
    pixels = pixels + (level - off).view(-1, 1, 1, 1) * normal
    labels = torch.tensor([0, 0, 0, 1, 1, 1])
    names = tuple(f"image {row}" for row in range(6))
    return ImageSet(pixels.float().clamp(0, 1), labels, names, ("above", "below"), "made")


@pytest.mark.parametrize("batch", [1, 5])
@pytest.mark.parametrize("dtype", truths.DTYPES)
def test_the_result_holds_walks_and_what_lies_between(batch: int, dtype: torch.dtype, batch_size: BatchSize) -> None:
    batch_size(batch)
    classifier, normal = half_space(dtype)
    images = image_set(normal)
    partial: list[Result] = []

    def tell(fraction: float, found: Result | None = None) -> None:
        partial.extend([found] if found is not None else [])

    result = ask(
        "level_set", classifier, images, rows=[0, 3, 4], mode="equality", delta=0.1, steps=40, on_progress=tell
    )
    assert all(isinstance(found, LevelSetAtImage) for found in partial)
    alone = traverse(classifier, images.pixels[[0, 0]], images.pixels[[3, 4]], "equality", 0.1, 40)
    tolerance = {torch.float32: 1e-5, torch.float64: 1e-10}[dtype]
    np.testing.assert_allclose(result.endpoints, alone.endpoints, atol=tolerance)
    assert result.source_row.tolist() == [0, 0]
    assert result.target_row.tolist() == [3, 4]
    # along a plane: what is left is the part across it, 1 long, and the floor of the rest
    way = (images.pixels[[3, 4]] - images.pixels[0]).double()
    across = (way.flatten(1) @ normal.flatten()).abs().numpy()
    beside = np.sqrt(way.flatten(1).square().sum(1).numpy() - across**2)
    np.testing.assert_allclose(result.end_distance, np.hypot(across, 0.02 * beside), rtol=1e-4)
    np.testing.assert_allclose(result.straight, result.source_confidence, atol=1e-5)
    apart = np.abs(result.endpoints - images.pixels[[3, 4]].numpy()).reshape(2, -1)
    np.testing.assert_allclose(result.largest, apart.max(1), atol=1e-6)
    np.testing.assert_allclose(result.rmse, np.sqrt((apart**2).mean(1)), rtol=1e-5)
    np.testing.assert_allclose(result.start_rmse, np.sqrt((way.flatten(1).numpy() ** 2).mean(1)), rtol=1e-5)
    assert (result.ssim > result.start_ssim).all()
    assert Result.from_bytes(result.to_bytes()).to_bytes() == result.to_bytes()


def test_walks_start_at_the_point_of_a_plane_put_back_into_the_box(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same walks as from that image; LPIPS is not there, and the other distances are those of the result."""
    classifier, normal = half_space(torch.float64)
    images = image_set(normal)
    options: dict[str, Any] = {"mode": "equality", "delta": 0.1, "steps": 20}
    at = (-3.0, 1.0)
    spot = Plane.through(*images.pixels[[0, 3, 4]]).to_pixels(np.array([at]))
    source = spot.float().clamp(0, 1)
    assert float((spot - source).abs().max()) > 0.01
    result = ask("level_set", classifier, images, rows=[0, 3, 4], at=at, **options)
    alone = traverse(classifier, source.expand(2, -1, -1, -1), images.pixels[[3, 4]], **options)
    np.testing.assert_allclose(result.endpoints, alone.endpoints, atol=1e-10)
    np.testing.assert_array_equal(result.snapshots[:, 0], source.expand(2, -1, -1, -1).numpy())
    assert result.source_row.tolist() == [-1, -1]
    assert result.words == "point -3.00, 1.00"
    assert ask("level_set", classifier, images, rows=[0, 3, 4], **options).words == ""
    corners = ask("level_triangle", classifier, images, rows=[0, 3, 4], at=at, resolution=4, **options)
    np.testing.assert_allclose(corners.images, np.concatenate([source.numpy(), result.endpoints]), atol=1e-10)
    spots = ask("level_star", classifier, images, rows=[0, 3, 4], at=at, count=2, directions=4, **options)
    lengths = np.linalg.norm((result.endpoints - source.numpy()).reshape(2, -1), axis=1)
    np.testing.assert_allclose(spots.length, lengths, rtol=1e-6)

    monkeypatch.setitem(sys.modules, "lpips", None)
    apart = perceptual_distances(result, images)
    assert "the package lpips is not installed" in apart.missing
    assert np.isnan(apart.lpips).all()
    np.testing.assert_allclose(apart.ssim, result.ssim)
    np.testing.assert_allclose(apart.start_rmse, result.start_rmse, rtol=1e-6)


def test_a_walk_that_never_begins_is_said_and_has_no_distances() -> None:
    classifier, normal = half_space()
    images = image_set(normal)
    result = ask("level_set", classifier, images, rows=[0, 3, 4], mode="superlevel", delta=0.95)
    assert set(result.status) == {"no level"}
    assert np.isnan(result.straight).all()
    assert np.isnan(result.largest).all()
    with pytest.raises(ImageError, match="expected two walks for a triangle, got no level, no level"):
        ask("level_triangle", classifier, images, rows=[0, 3, 4], mode="superlevel", delta=0.95)
    with pytest.raises(ImageError, match="at least one target, got 1 image"):
        ask("level_set", classifier, images, rows=[0])
    with pytest.raises(ImageError, match="a source and two targets"):
        ask("level_triangle", classifier, images, rows=[0, 3])


def test_a_triangle_in_a_half_space_stays_and_is_as_its_corners_say() -> None:
    classifier, normal = half_space(torch.float64)
    images = image_set(normal)
    found = ask("level_triangle", classifier, images, rows=[0, 3, 4], mode="equality", steps=30, resolution=8)
    np.testing.assert_allclose(found.shares(np.array([0.001, 0.2])), 1.0)
    result = ask("level_set", classifier, images, rows=[0, 3, 4], mode="equality", steps=30)
    np.testing.assert_allclose(found.ratio, result.ratio)
    np.testing.assert_allclose(found.images[1:], result.endpoints)
    np.testing.assert_array_equal(found.images[0], images.pixels[0])
    lengths = np.linalg.norm((found.images[[1, 2, 2]] - found.images[[0, 0, 1]]).reshape(3, -1), axis=1)
    drawn = np.linalg.norm(found.corners[0, [1, 2, 2]] - found.corners[0, [0, 0, 1]], axis=1)
    np.testing.assert_allclose(drawn, lengths, rtol=1e-6)
    below = ask("level_triangle", classifier, images, rows=[0, 3, 4], mode="superlevel", delta=0.1, resolution=8)
    shares = below.shares(np.array([0.0, 0.05, 0.1, 0.3]))
    assert np.isnan(shares[:2]).all()
    np.testing.assert_allclose(shares[2:], 1.0)


def made_triangle(log_odds: Any, resolution: int) -> LevelTriangle:
    """A triangle with corners at 0, (4, 0) and (1, 3), and these log-odds at places i, j."""
    lattice = np.array([(i, j) for j in range(resolution + 1) for i in range(resolution + 1 - j)], np.int32)
    values = np.array([log_odds(i / resolution, j / resolution) for i, j in lattice])[None]
    return LevelTriangle(
        log_odds=values,
        label=np.zeros(values.shape, np.int32),
        margin=np.abs(values),
        lattice=lattice,
        corners=np.array([[[0.0, 0.0], [4.0, 0.0], [1.0, 3.0]]]),
        source_class=np.zeros(1, np.int32),
        resolution=resolution,
        num_classes=2,
        images=np.zeros((3, 1, 2, 2)),
        ratio=np.array([0.1, 0.2]),
        rmse=np.array([0.01, 0.02]),
        floor=np.array([0.02, 0.02]),
        delta=0.05,
        mode="equality",
        target_row=np.array([1, 2], np.int32),
        forwards=0,
        gradients=0,
        seconds=0.0,
    )


@pytest.mark.parametrize("resolution", [2, 5, 20])
def test_a_raster_is_linear_between_lattice_points(resolution: int) -> None:
    def confidence(i: float, j: float) -> float:
        return 0.9 - 0.5 * i - 0.3 * j

    found = made_triangle(lambda i, j: np.log(confidence(i, j) / (1 - confidence(i, j))), resolution)
    x, y, values = found.raster(60)
    j = y[:, None] / 3 + 0 * x
    i = (x - y[:, None] / 3) / 4
    inside = (i >= 0) & (j >= 0) & (i + j <= 1)
    assert inside.mean() > 0.3
    np.testing.assert_allclose(values[inside], confidence(i, j)[inside], atol=1e-9)
    assert np.isnan(values[(i < -0.6 / resolution) | (i + j > 1 + 0.6 / resolution)]).all()
    assert abs(x[1] - x[0] - (y[1] - y[0])) < 1e-12


def test_the_confidence_on_a_slice_is_the_classifiers() -> None:
    classifier, images = load_classifier("demo:photos/standard", "cpu"), load_images("demo:photos")
    plane = Plane.through(*images.pixels[[3, 17, 42]])
    cut = slice_plane(classifier, plane, (-2.0, 12.0, -2.0, 12.0), 16, "full")
    x, y = np.meshgrid(cut.x, cut.y)
    said = classifier.predict(plane.to_pixels(np.stack([x.ravel(), y.ravel()], 1)).float()).probabilities
    for k in cut.classes:
        np.testing.assert_allclose(confidence_on(cut, int(k)).ravel(), said[:, k], atol=1e-4)
    missing = next(k for k in range(9) if k not in cut.classes)
    assert np.isnan(confidence_on(cut, missing)).all()
