"""A recipe's curvatures are those of its image: chosen or picked, with others of the set, both ends before the rest."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from core.analyses.prepare.curvature import drawn
from core.analyses.prepare.plane import resolve_image
from core.geometry.curvature.at_image import CurvatureAtImage
from core.geometry.curvature.profile import curvature_profile
from core.images.image_set import ImageSet
from core.images.load import load_images
from core.models.load import load_classifier
from core.result import Result
from core.runtime.progress import Cancelled
from tests import curved, truths
from tests.asked import ask
from tests.truths import BatchSize

SMALL = (1, 6, 6)
PLANE: dict[str, Any] = {"plane": "directions", "u": "gradient", "v": "random:0"}


def balls(module: torch.nn.Module | None = None, count: int = 4) -> tuple[Any, ImageSet]:
    """A ball of radius 2 and images 1 from its surface."""
    surface = module or curved.Ball(curved.rows(36, SMALL), curved.centre(SMALL), 2.0)
    pixels = curved.centre(SMALL) + torch.stack([truths.unit(SMALL, seed) for seed in range(count)])
    labels = torch.zeros(count, dtype=torch.int64)
    return (
        truths.classifier(surface, SMALL, torch.float64),
        ImageSet(pixels.float().clamp(0, 1), labels, tuple(map(str, range(count))), ("in", "out"), "balls"),
    )


def test_both_ends_come_before_all_and_directions_stay() -> None:
    classifier, images = load_classifier("demo:digits/standard", "cpu"), load_images("demo:digits")
    told: list[tuple[float, CurvatureAtImage]] = []

    def tell(fraction: float, partial: Result | None = None) -> None:
        if isinstance(partial, CurvatureAtImage):
            told.append((fraction, partial))

    result = ask("curvature", classifier, images, rows=(5,), keep=8, on_progress=tell)
    every = curvature_profile(classifier, images.pixels[[5]], "all")
    np.testing.assert_allclose(result.curvatures, every.curvatures, atol=1e-4)
    assert result.complete
    assert result.whole
    assert result.direction_curvatures.shape == (1, 8)
    np.testing.assert_allclose(result.direction_curvatures[0, [0, -1]], every.curvatures[0, [0, -1]], rtol=1e-3)
    fractions = [fraction for fraction, _ in told]
    assert fractions == sorted(fractions)
    assert all(not partial.complete and np.isfinite(partial.curvatures[0]).all() for _, partial in told)
    first = told[0][1]
    assert first.curvatures.shape == (1, 8)
    assert first.directions.shape[1] == 0
    assert any(partial.directions.shape[1] == 8 and not partial.whole for _, partial in told)
    assert result.products > every.products
    np.testing.assert_array_equal(result.image[0], images.pixels[5])
    assert (result.words, result.row.tolist()) == (images.words[5], [5])
    again = Result.from_bytes(result.to_bytes())
    assert isinstance(again, CurvatureAtImage)
    one, other = (ask("curvature", classifier, images, rows=(5,), keep=8).to_bytes(timings=False) for _ in range(2))
    assert one == other


def test_others_of_the_set_are_measured_too_the_same_for_every_model() -> None:
    classifier, images = balls()
    result = ask("curvature", classifier, images, rows=(2,), count=2, keep=4)
    assert result.row[0] == 2
    assert len(result.row) == len(set(result.row.tolist())) == 3
    np.testing.assert_allclose(result.curvatures, -0.5, atol=1e-5)
    assert result.row.tolist()[1:] == drawn((2,), 4, 2, 0)
    assert len(drawn((2,), 4, 9, 0)) == 3
    assert ask("curvature", classifier, images, rows=(2,), count=2, keep=4, spectrum="ends").curvatures.shape == (3, 4)


def test_a_picked_point_is_asked_about_and_may_leave_the_box() -> None:
    classifier, images = load_classifier("demo:digits/standard", "cpu"), load_images("demo:digits")
    start = resolve_image(classifier, images, (17,), **PLANE, at=(0.4, 3.0))
    assert float(start.image.min()) < 0
    result = ask("curvature", classifier, images, rows=(17,), **PLANE, at=(0.4, 3.0), keep=4, spectrum="ends")
    np.testing.assert_array_equal(result.image[0], start.image)
    assert (result.words, result.row.tolist()) == ("point 0.40, 3.00", [-1])
    own = curvature_profile(classifier, start.image[None], 4, side="both ends")
    np.testing.assert_allclose(result.curvatures, own.curvatures, atol=1e-6)


@pytest.mark.parametrize("method", ["differences", "softplus"])
def test_networks_of_kinks_are_measured_at_the_scale_that_is_said(method: Any) -> None:
    shape = (1, 8, 8)
    classifier = truths.classifier(curved.Kinked(shape), shape, torch.float64)
    pixels = truths.images(2, shape).float()
    images = ImageSet(pixels, torch.zeros(2, dtype=torch.int64), ("a", "b"), ("0", "1", "2"), "two")
    settings = {"rows": (0,), "method": "auto" if method == "differences" else method}
    result = ask("curvature", classifier, images, **settings, grey_levels=3.0, sharpness=20.0, keep=4)
    assert result.method == method
    if method == "differences":
        assert result.scale == pytest.approx(3 * 8 / 255)
        assert result.asymmetry_ratio[0] > 0
        assert result.kinks
    else:
        assert result.sharpness == 20
        assert np.abs(result.curvatures).max() > 0
    cut = ask("curvature_section", classifier, images, **settings, grey_levels=3.0, number=1, resolution=16)
    assert cut.route == method
    assert np.isfinite(cut.scale) == (method == "differences")
    walk = ask("curvature_walk", classifier, images, **settings, number=1, steps=5)
    assert walk.route == method


def test_sections_walks_and_scales_start_at_the_same_point() -> None:
    classifier, images = balls()
    at = {"rows": (1,), "reference": classifier}
    result = ask("curvature", classifier, images, **at, keep=4)
    cut = ask("curvature_section", classifier, images, **at, number=-1, tilt=45.0, resolution=16)
    walk = ask("curvature_walk", classifier, images, **at, number=-1, steps=5)
    scale = ask("curvature_scale", classifier, images, **at, count=1)
    assert cut.distance == walk.distance == pytest.approx(result.distance[0])
    np.testing.assert_allclose(cut.origin, result.points[0], atol=1e-6)
    assert scale.largest.shape == (2, 6)
    assert scale.distance[0, 0] == pytest.approx(result.distance[0])


def test_a_search_is_cancelled_while_the_matrix_is_measured(batch_size: BatchSize) -> None:
    batch_size(64)  # columns of 255 at a time
    shape = (1, 16, 16)
    classifier = truths.classifier(curved.Ball(None, curved.centre(shape), 2.0), shape, torch.float64)
    pixels = (curved.centre(shape) + truths.unit(shape, 1))[None].float()
    images = ImageSet(pixels, torch.zeros(1, dtype=torch.int64), ("a",), ("in", "out"), "one")
    seen: list[float] = []

    def cancel(fraction: float, partial: Result | None = None) -> None:
        seen.append(fraction)
        if fraction > 0.4:
            raise Cancelled

    with pytest.raises(Cancelled):
        ask("curvature", classifier, images, rows=(0,), on_progress=cancel)
    assert 0.4 < seen[-1] < 1
