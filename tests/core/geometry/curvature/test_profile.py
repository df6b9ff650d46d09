"""Principal curvatures against closed forms laid into image space, and what holds for every classifier."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from core.geometry.boundary.deepfool import boundary_points
from core.geometry.curvature.profile import STATUSES, CurvatureProfile, curvature_profile
from core.images.load import load_images
from core.models.load import load_classifier
from core.result import Result
from core.runtime import batches
from core.runtime.progress import Cancelled
from tests import curved, truths
from tests.truths import BatchSize

SHAPE = (3, 32, 32)
SMALL = (1, 6, 6)
CLOSE = {torch.float32: 2e-5, torch.float64: 1e-8}  # of 1 / length, for points known to that


@pytest.fixture(params=[1, 5])
def batch(request: pytest.FixtureRequest, batch_size: BatchSize) -> int:
    """A fixed batch size instead of the measured one."""
    size: int = request.param
    batch_size(size)
    return size


def ends(surface: curved.Surface, coordinates: Tensor, dtype: torch.dtype, count: int = 4) -> CurvatureProfile:
    """The curvatures of largest magnitude at surface points given by coordinates, seen from 0.1 inside."""
    images = curved.at(surface, curved.inward(surface, coordinates, 0.1)).to(dtype)
    return curvature_profile(curved.classifier(surface, SHAPE, dtype), images, count)


def check(found: CurvatureProfile, expected: Tensor, dtype: torch.dtype) -> None:
    """The non-zero curvatures expected, filled up by zeros; and that what is said of the directions is true."""
    values = np.zeros(found.curvatures.shape)
    values[:, : expected.shape[1]] = expected
    np.testing.assert_allclose(found.curvatures, np.sort(values, 1)[:, ::-1], atol=CLOSE[dtype] * 10, rtol=1e-4)
    assert set(found.status) == {"nearest"}
    assert found.converged.all()
    flat = found.directions.reshape(*found.directions.shape[:2], -1)
    np.testing.assert_allclose(
        flat @ flat.swapaxes(1, 2), np.broadcast_to(np.eye(flat.shape[1]), (len(flat), *[flat.shape[1]] * 2)), atol=1e-5
    )
    np.testing.assert_allclose((flat * found.normals.reshape(len(flat), 1, -1)).sum(2), 0, atol=1e-5)
    assert (found.residual <= 2e-3 * np.abs(found.curvatures).max(1, keepdims=True) + 1e-6).all()


@pytest.mark.parametrize("dtype", truths.DTYPES)
def test_a_plane_is_flat_and_that_is_no_failure(dtype: torch.dtype, batch: int) -> None:
    weight = torch.stack([truths.unit(SHAPE, 1).flatten(), truths.unit(SHAPE, 2).flatten()])
    affine = truths.Affine(weight, torch.zeros(2, dtype=torch.float64))
    found = curvature_profile(truths.classifier(affine, SHAPE, dtype), truths.images(3, SHAPE).to(dtype), 5)
    assert (found.curvatures == 0).all()
    assert found.method == "exact"
    assert set(found.status) == {"nearest"}
    assert found.kinks == ()


@pytest.mark.parametrize("squash", [False, True])
@pytest.mark.parametrize("outside", [False, True])
@pytest.mark.parametrize("dtype", truths.DTYPES)
def test_a_ball_bends_by_one_over_its_radius(dtype: torch.dtype, outside: bool, squash: bool, batch: int) -> None:
    radius = 1.5
    away = torch.stack([truths.unit(SHAPE, seed) for seed in range(3)])
    surface = curved.Ball(None, curved.centre(SHAPE), radius, squash, outside)
    images = (curved.centre(SHAPE) + (1.2 if outside else 0.8) * radius * away).to(dtype)
    found = curvature_profile(curved.classifier(surface, SHAPE, dtype), images, 6)
    np.testing.assert_allclose(found.curvatures, (1 if outside else -1) / radius, rtol=50 * CLOSE[dtype])
    np.testing.assert_allclose(found.normals, (1 if outside else -1) * away, atol=1e-4)
    np.testing.assert_allclose(found.focal, 1 + 0.2 * (1 if outside else -1), rtol=1e-3)
    np.testing.assert_array_equal(found.convex_towards_current, -found.curvatures)


@pytest.mark.parametrize("dtype", truths.DTYPES)
def test_a_cylinder_bends_in_one_direction(dtype: torch.dtype, batch: int) -> None:
    surface = curved.Ball(curved.rows(2, SHAPE), curved.centre(SHAPE), 2.0)
    turn = torch.tensor([0.0, 1.0, 4.0], dtype=torch.float64)
    found = ends(surface, 2 * torch.stack([turn.cos(), turn.sin()], 1), dtype)
    check(found, torch.full((3, 1), -0.5), dtype)
    along = found.directions[:, -1].reshape(3, -1) @ surface.rows.detach().double().numpy().T
    expected = np.stack([-turn.sin(), turn.cos()], 1)
    np.testing.assert_allclose(np.abs((along * expected).sum(1)), 1, atol=1e-4)


@pytest.mark.parametrize("dtype", truths.DTYPES)
def test_an_ellipsoid_has_the_curvatures_of_the_books(dtype: torch.dtype) -> None:
    axes = torch.tensor([2.0, 1.5, 1.0], dtype=torch.float64)
    surface = curved.Ellipsoid(curved.rows(3, SHAPE), curved.centre(SHAPE), axes.tolist())
    y = torch.randn((3, 3), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    y = y / (y / axes).norm(dim=1, keepdim=True)
    support = (y.square() / axes**4).sum(1) ** -0.5
    gauss = support**4 / axes.prod() ** 2
    mean = support**3 * (y.square().sum(1) - axes.square().sum()) / (2 * axes.prod() ** 2)
    spread = (mean**2 - gauss).sqrt()
    check(ends(surface, y, dtype), torch.stack([mean - spread, mean + spread], 1), dtype)


@pytest.mark.parametrize("dtype", truths.DTYPES)
def test_the_graph_of_a_quadric_at_and_off_its_apex(dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(3)
    matrix = torch.randn((4, 4), generator=generator, dtype=torch.float64)
    matrix = (matrix + matrix.T) / 4
    surface = curved.Graph(curved.rows(5, SHAPE), curved.centre(SHAPE), matrix)
    u = torch.stack([torch.zeros(4), torch.tensor([0.3, -0.2, 0.1, 0.4])]).double()
    y = torch.cat([((u @ matrix) * u).sum(1, keepdim=True) / 2, u], 1)
    w = u @ matrix
    size = 1 + w.square().sum(1)
    first = torch.eye(4) + w[:, :, None] * w[:, None]
    expected = torch.linalg.eigvals(torch.linalg.solve(first, (-matrix).expand(2, 4, 4))).real / size[:, None].sqrt()
    check(ends(surface, y, dtype), expected, dtype)


@pytest.mark.parametrize("dtype", truths.DTYPES)
def test_a_torus_bends_both_ways_on_its_inner_side(dtype: torch.dtype) -> None:
    surface = curved.Torus(curved.rows(3, SHAPE), curved.centre(SHAPE), 3.0, 1.0)
    y = torch.tensor([[4.0, 0, 0], [0, 2.0, 0]], dtype=torch.float64)
    check(ends(surface, y, dtype), torch.tensor([[-1.0, -1 / 4], [-1.0, 1 / 2]]), dtype)


def test_the_full_spectrum_counts_every_tangent_direction_and_not_the_normal() -> None:
    shape = (3, 16, 16)
    surface = curved.Torus(curved.rows(3, shape), curved.centre(shape), 3.0, 1.0)
    images = curved.at(surface, torch.tensor([[2.11, 0, 0]])).float()
    found = curvature_profile(curved.classifier(surface, shape, torch.float32), images)
    expected = np.zeros(767)
    expected[[0, -1]] = 1 / 2, -1
    np.testing.assert_allclose(found.curvatures[0], expected, atol=2e-5)
    np.testing.assert_allclose(found.direction_curvatures[0, [0, -1]], [1 / 2, -1], rtol=1e-4)
    assert found.direction_curvatures.shape == (1, 20)
    assert found.flat_fraction[0] == pytest.approx(766 / 767)  # |k| D = 0.05 and 0.11
    np.testing.assert_allclose(found.asymmetry, -2, rtol=1e-3)
    np.testing.assert_allclose(found.participation, 1.5**2 / 1.25, rtol=1e-3)
    np.testing.assert_allclose(found.mean, -0.5 / 767, rtol=1e-3)
    assert found.whole
    assert found.asymmetry_ratio[0] < 1e-5


@pytest.mark.parametrize("directions", ["all", 35])
def test_all_curvatures_and_as_many_by_products_agree(directions: int | str) -> None:
    """On a smooth network of random weights; the ends by block steps and by the whole matrix."""
    module = nn.Sequential(nn.Flatten(), nn.Linear(36, 20), nn.Tanh(), nn.Linear(20, 20), nn.SiLU(), nn.Linear(20, 3))
    with torch.no_grad():
        for place, parameter in enumerate(module.parameters()):
            parameter.copy_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(place)) * 0.4)
    classifier, images = truths.classifier(module, SMALL, torch.float64), truths.images(4, SMALL)
    found = curvature_profile(classifier, images, directions)
    exact = exact_spectrum(classifier.module, found)
    np.testing.assert_allclose(found.curvatures[found.converged], exact[found.converged], atol=1e-7)
    few = curvature_profile(classifier, images, 5, backend="forward over reverse")
    largest = np.take_along_axis(exact, np.argsort(-np.abs(exact), 1)[:, :5], 1)
    np.testing.assert_allclose(few.curvatures, np.sort(largest, 1)[:, ::-1], rtol=1e-4, atol=1e-7)


def exact_spectrum(module: nn.Module, found: CurvatureProfile) -> np.ndarray:
    """All eigenvalues of P H P / |g| on the tangent space, formed whole, one point after another."""
    rows = []
    for row in range(len(found.points)):
        z, s, t = torch.from_numpy(found.points[row]), int(found.source_class[row]), int(found.target_class[row])

        def margin(flat: Tensor, s: int = s, t: int = t, shape: torch.Size = z.shape) -> Tensor:
            logits: Tensor = module(flat.view(1, *shape))[0]
            return logits[s] - logits[t]

        gradient, hessian = torch.func.grad(margin)(z.flatten()), torch.func.hessian(margin)(z.flatten())
        basis = torch.linalg.svd(gradient[None])[2][1:]  # what is orthogonal to the gradient
        rows.append(torch.linalg.eigvalsh(basis @ hessian @ basis.T).flip(0) / gradient.norm())
    return torch.stack(rows).numpy()


def test_more_than_3072_values_give_a_density_and_both_ends() -> None:
    shape = (3, 36, 36)
    surface = curved.Ball(curved.rows(40, shape), curved.centre(shape), 2.0)
    y = torch.zeros(1, 40, dtype=torch.float64)
    y[0, 0] = 1.8
    found = curvature_profile(curved.classifier(surface, shape, torch.float32), curved.at(surface, y).float(), keep=6)
    np.testing.assert_allclose(found.curvatures[0], [0, 0, 0, -0.5, -0.5, -0.5], atol=1e-4)
    assert found.dimension == 3887
    assert not found.whole
    np.testing.assert_allclose(found.weights.sum(1), 1, rtol=1e-9)
    np.testing.assert_allclose(found.mean, -0.5 * 39 / 3887, rtol=0.4)  # 8 probes
    np.testing.assert_allclose(found.flat_fraction, 1, atol=0.02)
    area = found.density(np.linspace(-1, 1, 2001), 0.02).sum() * 1e-3
    assert area == pytest.approx(1, abs=1e-3)


@settings(max_examples=4)
@given(seed=st.integers(0, 10_000), scale=st.floats(0.1, 50))
def test_curvature_belongs_to_the_boundary_alone(seed: int, scale: float) -> None:
    """Rotated inputs: the same curvatures; logits times a factor: the same; longer images: curvatures shorter."""
    generator = torch.Generator().manual_seed(seed)
    matrix = torch.randn((6, 6), generator=generator, dtype=torch.float64)
    matrix = (matrix + matrix.T) / 8
    y = torch.tensor([[0.2, *[0.0] * 6]], dtype=torch.float64)
    spectra = []
    for number in (seed, seed + 1):
        surface = curved.Graph(curved.rows(7, SMALL, number), curved.centre(SMALL), matrix)
        spectra.append(
            curvature_profile(curved.classifier(surface, SMALL, torch.float64), curved.at(surface, y), "all")
        )
    steep = nn.Sequential(surface, Times(scale))
    spectra.append(curvature_profile(truths.classifier(steep, SMALL, torch.float64), curved.at(surface, y), "all"))
    for other in spectra[1:]:
        np.testing.assert_allclose(other.curvatures, spectra[0].curvatures, atol=1e-7)
        np.testing.assert_allclose(other.distance, spectra[0].distance, rtol=1e-7)


class Times(nn.Module):
    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, logits: Tensor) -> Tensor:
        return self.factor * logits


def test_a_saddle_is_found_out_and_left_for_a_nearer_point() -> None:
    """On the long axis of an ellipsoid the nearest point is beside, where the normal cannot lead."""
    surface = curved.Ellipsoid(curved.rows(3, SMALL), curved.centre(SMALL), [3.0, 1.0, 1.4])
    images = curved.at(surface, torch.tensor([[0.4, 0.0, 0.0], [-0.7, 0.0, 0.0]]))
    classifier = curved.classifier(surface, SMALL, torch.float64)
    there = boundary_points(classifier, images)
    assert (there.distance > 2).all()
    found = curvature_profile(classifier, images, 6, points=there)
    assert (found.moved >= 1).all()
    assert (found.focal > -1e-3).all()
    for row, offset in enumerate((0.4, 0.7)):
        # y = (3² c / (3² - 1), +-b, 0) of the circle x²/9 + y² = 1 is nearest to (c, 0)
        x = 9 * offset / 8
        assert found.distance[row] == pytest.approx(math.hypot(x - offset, math.sqrt(1 - x**2 / 9)), rel=1e-4)
    assert set(found.status) == {"nearest"}
    np.testing.assert_allclose(1 + found.curvatures.min(1) * found.distance, found.focal, rtol=1e-9)


def test_networks_of_kinks_are_measured_at_a_stated_scale_never_as_zero() -> None:
    module = curved.Kinked((1, 8, 8), pool=True)
    classifier, images = truths.classifier(module, (1, 8, 8)), truths.images(4, (1, 8, 8)).float()
    found = curvature_profile(classifier, images, 4)
    assert found.method == "differences"
    assert found.kinks == ("leaky_relu", "max_pool2d_with_indices", "relu")
    assert found.scale == pytest.approx(8 / 255)
    assert np.isfinite(found.curvatures[found.distance > 0]).all()
    wide = curvature_profile(classifier, images, "all", scale=0.3)
    assert wide.scale == 0.3
    assert (np.abs(wide.curvatures).max(1) > 1e-3).all()
    assert (wide.asymmetry_ratio > 0).all()
    with pytest.raises(ValueError, match="expected a smooth network, got kinks"):
        curvature_profile(classifier, images, method="exact")
    soft = curvature_profile(classifier, images, "all", method="softplus", sharpness=20.0)
    assert (soft.method, soft.sharpness, soft.kinks) == ("softplus", 20.0, ())
    assert 0.5 < soft.agreement <= 1
    assert (np.abs(soft.curvatures).max(1) > 1e-3).all()
    assert soft.asymmetry_ratio.max() < 1e-4


def test_kinks_that_torch_does_not_name_are_found_by_their_vanishing_curvature() -> None:
    class Where(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            flat = images.flatten(1)
            kinked = torch.where(flat > 0.5, 3 * flat - 1, flat)
            return torch.stack([kinked.sum(1), flat.flip(1).cumsum(1)[:, 7] * 4 + 9], 1)

    found = curvature_profile(truths.classifier(Where(), (1, 4, 4), torch.float64), truths.images(3, (1, 4, 4)), 3)
    assert found.method == "differences"
    assert found.kinks == ("a piecewise linear operation",)


def test_differences_of_a_smooth_boundary_tend_to_its_curvature() -> None:
    surface = curved.Torus(curved.rows(3, SMALL), curved.centre(SMALL), 3.0, 1.0)
    images = curved.at(surface, torch.tensor([[3.7, 0, 0]]))
    classifier = curved.classifier(surface, SMALL, torch.float64)
    errors = []
    for scale in (0.1, 0.05):
        found = curvature_profile(classifier, images, 3, method="differences", scale=scale)
        errors.append(np.abs(found.curvatures[0] - [0, -0.25, -1]).max())
    assert errors[0] < 0.01
    assert errors[1] == pytest.approx(errors[0] / 4, rel=0.1)  # the error is of the second order


def test_singular_points_say_so() -> None:
    class Cubic(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            height = images.flatten(1).mean(1) - 0.2
            height = height * (height**2 + 1e-7)
            return torch.stack([height, torch.zeros_like(height)], 1)

    found = curvature_profile(truths.classifier(Cubic(), (1, 4, 4), torch.float64), truths.images(2, (1, 4, 4)), 3)
    assert set(found.status) == {"singular"}
    assert np.isnan(found.curvatures).all()
    assert set(found.status) <= set(STATUSES)


def test_images_without_a_boundary_are_rows_of_nan() -> None:
    weight = torch.zeros((2, 16), dtype=torch.float64)
    classifier = truths.classifier(truths.Affine(weight, torch.tensor([1.0, 0.0]).double()), (1, 4, 4), torch.float64)
    found = curvature_profile(classifier, truths.images(2, (1, 4, 4)))
    assert np.isnan(found.curvatures).all()
    assert (found.target_class == -1).all()
    assert np.isnan(found.flat_fraction).all()


def test_rows_do_not_see_each_other_and_runs_repeat() -> None:
    surface = curved.Ellipsoid(curved.rows(3, SHAPE), curved.centre(SHAPE), [2.0, 1.5, 1.0])
    y = torch.randn((3, 3), generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    images = curved.at(surface, 0.5 * y / (y / torch.tensor([2, 1.5, 1])).norm(dim=1, keepdim=True))
    classifier = curved.classifier(surface, SHAPE, torch.float64)
    together, again = (curvature_profile(classifier, images, 3, backend="double backward") for _ in range(2))
    alone = curvature_profile(classifier, images[1:2], 3, backend="double backward")
    np.testing.assert_array_equal(together.curvatures, again.curvatures)
    np.testing.assert_allclose(alone.curvatures[0], together.curvatures[1], atol=1e-6)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_derivatives_are_taken_where_the_caller_takes_none(mode: type[torch.no_grad]) -> None:
    surface = curved.Ball(curved.rows(36, SMALL), curved.centre(SMALL), 2.0)
    classifier = curved.classifier(surface, SMALL, torch.float64)
    with mode():
        images = curved.centre(SMALL) + torch.stack([truths.unit(SMALL, 1)])
        found = curvature_profile(classifier, images, 3)
    np.testing.assert_allclose(found.curvatures, -0.5, rtol=1e-6)
    assert all(parameter.grad is None for parameter in surface.parameters())


class Cramped(curved.Ball):
    """Has memory for four images."""

    def forward(self, images: Tensor) -> Tensor:
        if len(images) > 4:
            raise torch.OutOfMemoryError("out of memory")
        return super().forward(images)


def test_chunks_are_halved_when_memory_runs_out(monkeypatch: pytest.MonkeyPatch, batch_size: BatchSize) -> None:
    batch_size(8)
    surface = Cramped(curved.rows(36, SMALL), curved.centre(SMALL), 2.0)
    images = curved.centre(SMALL) + torch.stack([truths.unit(SMALL, seed) for seed in range(7)])
    classifier = curved.classifier(surface, SMALL, torch.float64)
    found = curvature_profile(
        classifier, images, 2, points=boundary_points(classifier, images), backend="double backward"
    )
    np.testing.assert_allclose(found.curvatures, -0.5, rtol=1e-6)
    monkeypatch.setattr(batches, "out_of_memory", lambda error: False)
    with pytest.raises(torch.OutOfMemoryError):
        curvature_profile(classifier, images, 2, points=boundary_points(classifier, images), backend="double backward")


def test_progress_grows_and_can_cancel() -> None:
    surface = curved.Ball(curved.rows(36, SMALL), curved.centre(SMALL), 2.0)
    images = curved.centre(SMALL) + torch.stack([truths.unit(SMALL, seed) for seed in range(3)])
    classifier = curved.classifier(surface, SMALL, torch.float64)
    fractions: list[float] = []

    def listen(fraction: float, partial: Result | None = None) -> None:
        fractions.append(fraction)

    curvature_profile(classifier, images, on_progress=listen)
    assert fractions == sorted(fractions)
    assert 0.5 < fractions[-1] <= 1

    def cancel(fraction: float, partial: Result | None = None) -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        curvature_profile(classifier, images, on_progress=cancel)


def test_profiles_are_read_back() -> None:
    surface = curved.Ball(curved.rows(36, SMALL), curved.centre(SMALL), 2.0)
    images = curved.centre(SMALL) + torch.stack([truths.unit(SMALL, seed) for seed in range(2)])
    found = curvature_profile(curved.classifier(surface, SMALL, torch.float64), images)
    again = Result.from_bytes(found.to_bytes())
    assert isinstance(again, CurvatureProfile)
    np.testing.assert_array_equal(again.curvatures, found.curvatures)
    assert again.to_bytes() == found.to_bytes()
    assert CurvatureProfile.unit("curvatures") == "1/ℓ2 pixel"
    assert found.products > 0
    assert found.forwards > 0
    assert found.gradients > 0


def test_boundary_points_of_other_images_are_refused() -> None:
    surface = curved.Ball(curved.rows(36, SMALL), curved.centre(SMALL), 2.0)
    classifier, images = curved.classifier(surface, SMALL, torch.float64), truths.images(2, SMALL)
    with pytest.raises(ValueError, match="boundary points of these images"):
        curvature_profile(classifier, images, points=boundary_points(classifier, images[:1]))


def test_demo_photos() -> None:
    """Eight images: the same by every exact way; flat in most directions, unbalanced in sign."""
    classifier, images = load_classifier("demo:photos/standard", "cpu"), load_images("demo:photos").pixels[0:512:64]
    points = boundary_points(classifier, images)
    found = curvature_profile(classifier, images, 10, points=points, backend="double backward")
    assert found.converged.all()
    assert set(found.status) == {"nearest"}
    assert (found.focal > 0).all()
    other = curvature_profile(classifier, images[:2], 10, backend="forward over reverse")
    np.testing.assert_allclose(other.curvatures, found.curvatures[:2], rtol=1e-3)
    assert (found.offset < 1e-4 * found.distance).all()
    assert (np.diff(found.curvatures, axis=1) <= 0).all()
