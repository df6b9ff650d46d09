"""Local properties against closed forms: rotations, scaled axes, even, one-sided, curved and constant maps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch

from core.geometry.local import local
from core.geometry.local.local import LocalGeometry, local_geometry, precise
from core.images.load import load_images
from core.models.classifier import Classifier
from core.models.load import load_classifier
from core.result import Result
from core.runtime.progress import Cancelled
from tests import local_maps, truths

QUICK: dict[str, Any] = {"count": 12, "rays": 4, "permutations": 9, "samples": 2, "ascents": 1}
SMALL = (1, 5, 5)


def around(classifier: Classifier, number: int = 1, radius: float = 0.5, **options: Any) -> LocalGeometry:
    images = truths.images(number, classifier.input_shape)
    return local_geometry(classifier, images, radius, **{**QUICK, **options})


@pytest.mark.parametrize("scale", [1.0, 3.0])
@pytest.mark.parametrize("dtype", truths.DTYPES)
@pytest.mark.parametrize("count", [1, 5])
def test_an_orthogonal_map_is_isotropic_symmetric_and_keeps_distances(
    scale: float, dtype: torch.dtype, count: int
) -> None:
    found = around(local_maps.rotation(SMALL, scale, dtype), count, keep=count)
    near = {"atol": 2e-5 if dtype == torch.float32 else 1e-10, "rtol": 0}
    for name in ("gain", "gain_behind", "gain_linear"):
        np.testing.assert_allclose(getattr(found, name), scale, rtol=1e-5)
    np.testing.assert_allclose(found.variation[:, :2], 0, **near)
    np.testing.assert_allclose(found.ratio[:, :2], 1, **near)
    np.testing.assert_allclose(found.spectral[:, 1], 1, atol=1e-6)
    np.testing.assert_allclose(found.effective[:, 1], 1, atol=1e-6)
    np.testing.assert_allclose(found.asymmetry, 0, **near)
    np.testing.assert_allclose(found.opposition, 1, **near)
    np.testing.assert_allclose(found.residual, 0, **near)
    for name in ("mantel_raw", "mantel_linear", "mantel_jacobian", "mantel_expected"):
        np.testing.assert_allclose(getattr(found, name), 1, **near)
    for name in ("pairs", "point", "ball"):
        np.testing.assert_allclose(getattr(found, f"lipschitz_{name}"), scale, rtol=1e-5)
    np.testing.assert_allclose(found.lipschitz_margin, math.sqrt(2) * scale, rtol=1e-5)
    assert found.product == pytest.approx(math.nan, nan_ok=True)  # `Affine` is no known layer
    assert found.status.tolist() == ["measured"] * count
    assert found.pair_distance.shape == (count, 66)
    np.testing.assert_allclose(found.answered, scale * found.pair_distance, rtol=1e-4)


@pytest.mark.parametrize("shape", truths.SHAPES)
def test_scaled_axes_of_image_size(shape: Sequence[int]) -> None:
    values = (3.0, 2.0, 1.0, 0.5)
    found = around(local_maps.scaled_axes(values, shape, torch.float64), 2, count=200)
    squares = np.array(values) ** 2
    many = squares.sum() ** 2 / (squares**2).sum()
    size = math.prod(shape)
    np.testing.assert_allclose(found.lipschitz_point, 3.0, rtol=1e-9)
    np.testing.assert_allclose(found.lipschitz_ball, 3.0, rtol=1e-9)
    np.testing.assert_allclose(found.lipschitz_residual, 0)
    np.testing.assert_allclose(found.mantel_jacobian, 1, atol=1e-9)
    np.testing.assert_allclose(found.mantel_raw, found.mantel_linear, atol=1e-9)
    np.testing.assert_allclose(found.effective[:, 1], many / size, rtol=1e-9)
    np.testing.assert_allclose(found.mantel_expected, math.sqrt(many / (2 * size - many)), rtol=1e-9)
    np.testing.assert_array_equal(found.spectral[:, 1], 0)  # more directions than outputs
    assert (found.lipschitz_pairs < 3.0).all()
    np.testing.assert_allclose(found.asymmetry, 0, atol=1e-9)
    np.testing.assert_allclose(found.variation[:, 0], found.variation[:, 1], atol=1e-9)
    assert found.dimension == size


def test_a_subspace_has_a_spectrum_of_its_own() -> None:
    classifier = local_maps.rotation(SMALL, 2.0, torch.float64)
    found = around(classifier, 2, sampler="subspace", dimension=3)
    assert found.dimension == 3
    np.testing.assert_allclose(found.spectral[:, 1], 1, atol=1e-9)
    np.testing.assert_allclose(found.effective[:, 1], 1, atol=1e-9)
    assert np.isnan(found.mantel_expected).all()  # it is about the whole sphere


def test_a_length_changes_evenly_at_its_centre() -> None:
    centre = torch.full(SMALL, 0.5, dtype=torch.float64)
    classifier = truths.classifier(local_maps.Length(centre), SMALL, torch.float64)
    found = local_geometry(classifier, centre[None], 2.0, **{**QUICK, "ascents": 0})
    np.testing.assert_allclose(found.asymmetry, 1)
    np.testing.assert_allclose(found.opposition, -1)
    np.testing.assert_allclose(found.gain, 1)
    np.testing.assert_array_equal(found.flips, 3)  # class 0 on both sides
    np.testing.assert_allclose(found.boundary, 1.0, rtol=1e-3)  # |x - c| = 1
    np.testing.assert_allclose(found.label_ratio, 1, rtol=1e-9)
    np.testing.assert_allclose(found.flip_shares, [[0, 0, 0, 1]])


def test_a_hinge_at_its_kink_moves_on_one_side_only() -> None:
    classifier = truths.classifier(local_maps.Hinge(0.5), SMALL, torch.float64)
    images = torch.full((1, *SMALL), 0.5, dtype=torch.float64)
    found = local_geometry(classifier, images, 0.3, **{**QUICK, "sampler": "pixels", "count": 25})
    moved = found.gain[0] > 0
    assert moved.sum() == 1  # the pixel that it looks at
    np.testing.assert_allclose(found.asymmetry[0, moved], 1)
    assert np.isnan(found.opposition).all()  # 0 / 0
    assert np.isnan(found.asymmetry[0, ~moved]).all()
    assert np.isnan(found.mantel_raw).all()  # all points are equally far from each other


@pytest.mark.parametrize("radius", [0.05, 0.2, 3.0])
def test_a_paraboloid_is_as_asymmetric_as_its_curvature(radius: float) -> None:
    centre, slope, curvature = torch.full(SMALL, 0.5, dtype=torch.float64), 2.0 * truths.unit(SMALL), 1.5
    classifier = truths.classifier(local_maps.Curved(slope, curvature, centre), SMALL, torch.float64)
    found = local_geometry(classifier, centre[None], radius, **{**QUICK, "count": 60})
    along = found.gain_linear[0]
    with np.errstate(divide="ignore"):
        np.testing.assert_allclose(found.asymmetry[0], np.minimum(1, curvature * radius / along), rtol=1e-6)
    np.testing.assert_allclose(found.lipschitz_point, 2.0)
    assert 2.0 < found.lipschitz_ball[0] <= 2.0 + 2 * curvature * radius + 1e-9  # |w + 2 c (x - x0)|
    np.testing.assert_allclose(found.margin, 0, atol=1e-9)


def test_a_constant_map_changes_nothing() -> None:
    found = around(truths.classifier(local_maps.Constant(), SMALL), 2)
    assert found.status.tolist() == ["no change"] * 2
    np.testing.assert_array_equal(found.gain, 0)
    for name in ("variation", "ratio"):
        assert np.isnan(getattr(found, name)[:, :2]).all()
    assert np.isfinite(found.variation[:, 2]).all()  # of the random map
    for name in ("asymmetry", "opposition", "residual", "mantel_raw", "mantel_jacobian", "mantel_linear"):
        assert np.isnan(getattr(found, name)).all()
    np.testing.assert_array_equal(found.lipschitz_pairs, 0)
    np.testing.assert_array_equal(found.censored, 1)
    assert np.isnan(found.label_ratio).all()


def test_an_image_without_finite_logits_is_undefined_and_harms_no_other() -> None:
    classifier = truths.classifier(local_maps.Logarithm(), SMALL, torch.float64)
    images = truths.images(2, SMALL)
    images[0, 0, 0, 0], images[1, 0, 0, 0] = -1.0, 5.0
    found = local_geometry(classifier, images, 0.5, **QUICK)
    assert found.status.tolist() == ["undefined", "measured"]
    assert found.source_class[0] == -1
    assert np.isnan(found.gain[0]).all()
    assert (found.flips[0] == -1).all()
    assert np.isfinite(found.gain[1]).all()


def test_a_random_linear_map_of_the_same_size_stands_beside() -> None:
    found = around(local_maps.scaled_axes((1.0,) * 10, (3, 32, 32), torch.float32), 1, count=400)
    assert found.variation[0, 2] == pytest.approx(0.22, abs=0.03)
    assert found.ratio[0, 2] == pytest.approx(0.47, abs=0.06)
    assert abs(found.mantel_random[0]) < 0.1
    assert found.spectral[0, 2] == 0


def test_probabilities_are_at_most_half_as_steep() -> None:
    classifier = local_maps.scaled_axes((3.0, 2.0, 1.0), SMALL, torch.float64)
    logits, soft = around(classifier), around(classifier, representation="probabilities")
    assert soft.lipschitz_ball[0] <= logits.lipschitz_ball[0] / 2
    assert math.isnan(soft.product)
    np.testing.assert_allclose(soft.margin, logits.margin, rtol=1e-6)  # of log p, the same difference


def test_small_radii_run_in_float64() -> None:
    classifier = local_maps.scaled_axes((3.0, 2.0, 1.0), (3, 32, 32), torch.float32)
    assert precise(classifier, 0.01) is classifier
    assert precise(classifier, 1e-3).dtype == torch.float64
    found = around(classifier, 1, radius=1e-5)
    assert found.precision == "float64"
    assert found.residual.max() < 1e-6


def test_a_batch_is_its_rows_and_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    classifier, images = load_classifier("demo:digits/standard", "cpu"), load_images("demo:digits").pixels[:3]
    heard: list[float] = []
    whole = local_geometry(classifier, images, 0.5, **QUICK, on_progress=lambda part, partial=None: heard.append(part))
    assert heard == sorted(heard)
    monkeypatch.setattr(local, "_MOST_VALUES", 12 * 1024 * 2)
    parts = local_geometry(classifier, images, 0.5, **QUICK)
    alone = local_geometry(classifier, images[2:], 0.5, **QUICK)
    for name in ("gain", "mantel_jacobian", "lipschitz_ball", "lipschitz_pairs", "asymmetry", "variation"):
        np.testing.assert_allclose(getattr(parts, name), getattr(whole, name), rtol=2e-3, atol=1e-4)
        np.testing.assert_allclose(getattr(alone, name)[0], getattr(whole, name)[2], rtol=2e-3, atol=1e-4)
    assert whole.lipschitz_ball[0] >= whole.lipschitz_point[0] * (1 - 1e-6)
    assert (whole.lipschitz_ball < whole.product).all()
    assert 0 < whole.mantel_jacobian.min() <= 1
    assert whole.forwards > 3 * 2 * 12
    assert whole.gradients >= 3 * 10 * 4


def test_results_are_kept_whole() -> None:
    found = around(local_maps.rotation(SMALL, 1.0, torch.float32))
    again = Result.from_bytes(found.to_bytes())
    assert isinstance(again, LocalGeometry)
    np.testing.assert_array_equal(again.gain, found.gain)
    assert LocalGeometry.unit("gain") == "output / ℓ2 pixel"


def test_work_can_be_cancelled() -> None:
    def stop(fraction: float, partial: Result | None = None) -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        around(local_maps.rotation(SMALL, 1.0, torch.float32), on_progress=stop)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"radius": 0.0}, "radius of positive length"),
        ({"count": 3}, "4 or more directions"),
        ({"samples": 13}, "4 or more directions"),
        ({"images": torch.empty(0, 1, 5, 5)}, "at least one image"),
    ],
)
def test_questions_without_an_answer_are_refused(options: dict[str, Any], words: str) -> None:
    settings = {"radius": 0.5, "images": truths.images(1, SMALL), **QUICK, **options}
    with pytest.raises(ValueError, match=words):
        local_geometry(local_maps.rotation(SMALL, 1.0, torch.float32), **settings)
