"""Distances inside subspaces against closed forms: planes, spheres, one discriminative direction, low-passed models."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from core.geometry.boundary.deepfool import boundary_points
from core.geometry.subspaces.subspace_distances import STATUSES, SubspaceDistances, subspace_distances
from core.geometry.subspaces.subspaces import (
    Components,
    Cosines,
    Subspaces,
    colour_axes,
    frequency_blocks,
    frequency_windows,
    patches,
)
from core.images.load import load_images
from core.models.classifier import Classifier
from core.models.load import load_classifier
from core.result import Result
from core.runtime.progress import Cancelled
from tests import truths
from tests.truths import BatchSize

CASES = [(shape, dtype) for shape in truths.SHAPES for dtype in truths.DTYPES]
CLOSE = {torch.float32: 2e-5, torch.float64: 1e-9}


@pytest.fixture(params=[1, 5])
def batch(request: pytest.FixtureRequest, batch_size: BatchSize) -> int:
    """A fixed batch size instead of the measured one."""
    size: int = request.param
    batch_size(size)
    return size


def affine(shape: tuple[int, ...], classes: int) -> truths.Affine:
    weight = torch.stack([truths.unit(shape, seed).flatten() for seed in range(classes)])
    return truths.Affine(weight, torch.zeros(classes, dtype=torch.float64))


def check(found: SubspaceDistances, module: nn.Module | Classifier, images: Tensor, family: Subspaces) -> None:
    """What holds at every point found: two classes meet there, and the way to it stays in the subspace."""
    exact = module.to(dtype=torch.float64)
    number = torch.arange(len(family))
    for row, image in enumerate(images.double()):
        ways = torch.from_numpy(found.perturbation[row]).double()
        reached = found.found[row]
        np.testing.assert_array_equal(np.isfinite(found.distance[row]), reached)
        ways, which = ways[reached], number[reached]
        size = ways.flatten(1).norm(dim=1)
        np.testing.assert_allclose(family.project(ways, which), ways, atol=1e-5 * float(size.max()))
        np.testing.assert_allclose(size, found.distance[row][reached], rtol=1e-6)
        with torch.no_grad():
            top = exact(image + ways).topk(2, 1).indices.sort(1).values
            before, behind = exact(image + 0.999 * ways).argmax(1), exact(image + 1.001 * ways).argmax(1)
        meeting = torch.from_numpy(found.target_class[row][reached]).long()
        source = torch.full_like(meeting, int(found.source_class[row]))
        assert top.equal(torch.stack([source, meeting], 1).sort(1).values)
        assert before.equal(source)
        assert behind.equal(meeting)


@pytest.mark.parametrize(("shape", "dtype"), CASES)
def test_planes_are_met_where_the_projected_weights_say(shape: tuple[int, ...], dtype: torch.dtype, batch: int) -> None:
    module, images = affine(shape, 10), truths.images(3, shape).to(dtype)
    family = frequency_windows(shape, 8, 4)
    found = subspace_distances(truths.classifier(module, shape, dtype), images)
    assert found.distance.shape == (3, 7)
    weight, logits = module.weight.detach().double(), images.double().flatten(1) @ module.weight.detach().double().T
    source = logits.argmax(1)
    for number in range(7):
        inside = family.project(weight.view(-1, *shape), torch.full((10,), number)).flatten(1)
        steepness = (inside[source][:, None] - inside).norm(dim=2)
        truth, target = ((logits.gather(1, source[:, None]) - logits) / steepness).nan_to_num(math.inf).min(1)
        # float32: margins of such logits are known to 5e-7
        slack = {torch.float32: 5e-7 / float(steepness.gather(1, target[:, None]).min()), torch.float64: 1e-12}[dtype]
        np.testing.assert_allclose(found.distance[:, number], truth, rtol=CLOSE[dtype], atol=slack)
        np.testing.assert_array_equal(found.target_class[:, number], target)
    full = boundary_points(truths.classifier(module, shape, torch.float64), images.double()).distance
    slack = {torch.float32: 5e-7, torch.float64: 1e-12}[dtype]
    np.testing.assert_allclose(found.full_distance, full, rtol=CLOSE[dtype], atol=slack)
    factor = math.sqrt(math.prod(shape) / (shape[0] * 64))
    np.testing.assert_allclose(found.isotropic, np.repeat(factor * full[:, None], 7, 1), rtol=1e-4, atol=4 * slack)
    assert set(found.status.ravel()) == {"nearest"}
    check(found, module, images, family)


@pytest.mark.parametrize("make", [frequency_blocks, patches, colour_axes])
def test_sensitivities_of_a_flat_boundary_add_up_to_that_of_all_space(make: Callable[..., Subspaces]) -> None:
    shape = (3, 16, 16)
    family = make(shape)
    classifier = truths.classifier(affine(shape, 2), shape, torch.float64)
    found = subspace_distances(classifier, truths.images(3, shape), subspaces=family)
    np.testing.assert_allclose((found.distance**-2.0).sum(1), found.full_distance**-2.0, rtol=1e-9)
    shares = found.shares()
    np.testing.assert_allclose(shares.sum(1), 1)
    normal = (affine(shape, 2).weight[0] - affine(shape, 2).weight[1]).detach().view(1, *shape).double()
    number = torch.arange(len(family))
    parts = family.project(normal.expand(len(family), -1, -1, -1), number).flatten(1).square().sum(1)
    np.testing.assert_allclose(shares, (parts / parts.sum()).expand(3, -1), rtol=1e-6)
    windows = subspace_distances(classifier, truths.images(1, shape))
    with pytest.raises(ValueError, match="make up image space"):
        windows.shares()


@pytest.mark.parametrize(("shape", "dtype"), CASES)
def test_a_sphere_is_left_inside_each_subspace_by_the_shortest_way(
    shape: tuple[int, ...], dtype: torch.dtype, batch: int
) -> None:
    centre = truths.images(1, shape)[0]
    offsets = torch.stack([truths.unit(shape, seed) for seed in range(3)])
    module, images = truths.Ball(centre, 2.0), (centre + offsets).to(dtype)
    family = frequency_windows(shape, 8, 6)
    found = subspace_distances(truths.classifier(module, shape, dtype), images, block=8, stride=6)
    number = torch.arange(len(family))
    for row in range(3):
        inside = family.project(offsets[row].expand(len(family), -1, -1, -1), number).flatten(1).norm(dim=1)
        truth = -inside + torch.sqrt(inside.square() + 4 - 1)
        np.testing.assert_allclose(found.distance[row], truth, rtol=10 * CLOSE[dtype])
    np.testing.assert_allclose(found.full_distance, 1, rtol=10 * CLOSE[dtype])
    assert set(found.status.ravel()) == {"nearest"}
    check(found, module, images, family)


class Ridge(nn.Module):
    """Class 1 where one direction exceeds a threshold that the square of another raises: a parabola."""

    def __init__(self, steep: Tensor, other: Tensor) -> None:
        super().__init__()
        self.axes = nn.Parameter(torch.stack([steep.flatten(), other.flatten()]))

    def forward(self, images: Tensor) -> Tensor:
        steep, other = ((images.flatten(1) - 0.5) @ self.axes.T).unbind(1)
        over = steep - 1 + (other - 1).square()
        return torch.stack([-over, over], 1)


def test_slides_find_nearer_points_than_deepfool_and_the_angle_says_so() -> None:
    shape = (1, 16, 16)
    family = frequency_windows(shape, 16, 1)
    module = Ridge(truths.unit(shape, 1), truths.unit(shape, 2))
    classifier = truths.classifier(module, shape, torch.float64)
    image = torch.full((1, *shape), 0.5, dtype=torch.float64) + 0.9 * truths.unit(shape, 2)
    rough, found = (subspace_distances(classifier, image, subspaces=family, slides=slides) for slides in (0, 50))
    assert found.distance[0, 0] < rough.distance[0, 0] * (1 - 1e-4)
    assert rough.angle[0, 0] > 1 > found.angle[0, 0]
    assert (rough.status[0, 0], found.status[0, 0]) == ("not nearest", "nearest")
    near = boundary_points(classifier, image)
    assert found.distance[0, 0] == pytest.approx(near.distance[0], rel=1e-4)
    check(found, module, image, family)


def test_one_discriminative_direction_is_near_and_everything_else_far() -> None:
    shape, gap = (1, 10, 10), 5.0
    generator = torch.Generator().manual_seed(0)
    along = truths.unit(shape, 3).flatten()
    # points at distance 5 from the boundary on either side, spread by 1 in all other directions
    noise = torch.randn((3000, 100), generator=generator, dtype=torch.float64)
    noise -= (noise @ along)[:, None] * along
    side = torch.tensor([1.0, -1.0]).repeat(1500).double()
    points = (noise + gap * side[:, None] * along).float()
    net = nn.Sequential(nn.Flatten(), nn.Linear(100, 64), nn.SiLU(), nn.Linear(64, 2))
    for parameter in net.parameters():
        values = torch.randn(parameter.shape, generator=generator) * 0.2 * parameter.shape[-1] ** -0.5
        parameter.data = values if parameter.ndim == 2 else torch.zeros_like(parameter)
    optimiser = torch.optim.AdamW(net.parameters(), 1e-2, weight_decay=3)
    for _ in range(150):
        loss = nn.functional.cross_entropy(net(points), (side < 0).long())
        for parameter, gradient in zip(net.parameters(), torch.autograd.grad(loss, [*net.parameters()]), strict=True):
            parameter.grad = gradient
        optimiser.step()
    basis = torch.linalg.qr(torch.cat([along[:, None], torch.eye(100, dtype=torch.float64)], 1))[0][:, :100].T
    masks = torch.zeros((3, 200), dtype=torch.bool)
    masks[0, 0] = masks[1, 1:100] = masks[2, 1:11] = True
    family = Subspaces(
        kind="principal",
        basis=Components(basis.contiguous(), shape),
        masks=masks,
        labels=("discriminative", "all others", "ten others"),
        dimension=(1, 99, 10),
        bounds=(),
        shape=shape,
    )
    found = subspace_distances(truths.classifier(net, shape), points[:40].view(-1, *shape), subspaces=family)
    along_it, others, ten = np.nanmedian(found.distance, 0)
    assert along_it == pytest.approx(gap, rel=0.15)
    assert others > 2 * along_it
    assert not ten < others
    assert (found.full_distance <= found.distance[:, 0] * (1 + 1e-5)).all()


class LowPassed(nn.Module):
    """A model that sees only the frequencies below 16 in both directions."""

    def __init__(self, module: nn.Module, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.module = module
        basis = frequency_blocks(shape, 16).basis
        assert isinstance(basis, Cosines)
        self.rows = nn.Parameter(basis.rows[:16])

    def forward(self, images: Tensor) -> Tensor:
        kept = self.rows.T @ (self.rows @ images @ self.rows.T) @ self.rows
        logits: Tensor = self.module(kept)
        return logits


@pytest.mark.parametrize("dtype", truths.DTYPES)
def test_a_low_passed_model_has_no_boundary_in_high_frequencies(dtype: torch.dtype) -> None:
    shape = (1, 32, 32)
    module = LowPassed(load_classifier("demo:digits/standard", "cpu").module, shape)
    classifier = truths.classifier(module, shape, dtype)
    found = subspace_distances(classifier, load_images("demo:digits").pixels[:5], subspaces=frequency_blocks(shape, 8))
    low = (found.bounds[:, 1] <= 16) & (found.bounds[:, 3] <= 16)
    assert found.found[:, low].all()
    assert not found.found[:, ~low].any()
    assert set(found.status[:, ~low].ravel()) == {"no direction"}
    assert np.isnan(found.distance[:, ~low]).all()
    assert (found.target_class[:, ~low] == -1).all()
    shares = found.shares()
    np.testing.assert_allclose(shares[:, low].sum(1), 1)
    assert not shares[:, ~low].any()


class Decoy(nn.Module):
    """Class 1 where pixel 0 exceeds 1; class 2 seems to begin at pixel 1 = 0.9 and never does."""

    def forward(self, images: Tensor) -> Tensor:
        first, second = images.flatten(1)[:, 0], images.flatten(1)[:, 1]
        return torch.stack([0 * first, first - 1, -0.5 - 0.4 * torch.exp(-2.5 * second)], 1)


def test_a_subspace_is_as_near_as_those_inside_it() -> None:
    shape, family = (1, 1, 2), patches((1, 1, 2), 1).with_whole()
    classifier = truths.classifier(Decoy(), shape, torch.float64)
    image = torch.zeros(1, *shape, dtype=torch.float64)
    found = subspace_distances(classifier, image, subspaces=family, slides=0)
    assert found.status.tolist() == [["nearest", "no direction", "contained"]]
    np.testing.assert_allclose(found.distance, [[1, np.nan, 1]], rtol=1e-6)
    np.testing.assert_allclose(found.full_distance, 1, rtol=1e-6)
    np.testing.assert_allclose(found.perturbation[0, 2], found.perturbation[0, 0])
    assert np.isnan(found.angle[0, 2])
    check(found, Decoy(), image, family)
    classifier, images = load_classifier("demo:photos/standard", "cpu"), load_images("demo:photos").pixels[:30:10]
    windows = frequency_windows((3, 32, 32), 16, 8)
    real = subspace_distances(classifier, images, subspaces=windows)
    assert (real.full_distance[:, None] <= real.distance * (1 + 1e-4)).all()
    check(real, classifier, images, windows)


def test_a_batch_is_its_images_one_by_one() -> None:
    classifier = load_classifier("demo:digits/standard", "cpu").to(dtype=torch.float64)
    images = load_images("demo:digits").pixels[:4]
    together = subspace_distances(classifier, images)
    for row in range(4):
        alone = subspace_distances(classifier, images[row : row + 1])
        for name in ("distance", "isotropic", "angle", "full_distance", "perturbation", "outside"):
            np.testing.assert_allclose(getattr(together, name)[row], getattr(alone, name)[0], rtol=1e-6, atol=1e-6)
        for name in ("target_class", "outcome", "steps", "source_class"):
            np.testing.assert_array_equal(getattr(together, name)[row], getattr(alone, name)[0])


@given(st.floats(-3, 3), st.floats(-5, 5))
@settings(max_examples=8)
def test_logits_times_a_factor_plus_a_constant_have_the_same_boundary(exponent: float, constant: float) -> None:
    shape = (1, 8, 8)
    centres, images = truths.images(4, shape, seed=3), truths.images(2, shape, seed=4)

    class Scaled(truths.NearestCentre):
        def forward(self, images: Tensor) -> Tensor:
            return 10**exponent * super().forward(images) + constant

    plain, scaled = truths.NearestCentre(centres), Scaled(centres)
    first = subspace_distances(truths.classifier(plain, shape, torch.float64), images, block=4)
    again = subspace_distances(truths.classifier(scaled, shape, torch.float64), images, block=4)
    np.testing.assert_allclose(again.distance, first.distance, rtol=1e-6)
    np.testing.assert_array_equal(again.target_class, first.target_class)


class Undefined(nn.Module):
    """Classes part at pixel 0 = 0.5; no logits where pixel 1 > 0.9; pixel 2 changes nothing."""

    def forward(self, images: Tensor) -> Tensor:
        first, second = images.flatten(1)[:, 0], images.flatten(1)[:, 1]
        return torch.stack([first - 0.5, 0 * first], 1).masked_fill((second > 0.9)[:, None], torch.nan)


class Fading(nn.Module):
    """Class 0 everywhere, by a margin exp(-pixel 0) that every step divides by e."""

    def forward(self, images: Tensor) -> Tensor:
        margin = images.flatten(1)[:, 0].neg().exp()
        return torch.stack([margin, torch.zeros_like(margin)], 1)


def test_rows_without_a_point_say_why_and_leave_the_others_alone() -> None:
    shape, family = (1, 1, 3), patches((1, 1, 3), 1)
    images = torch.tensor([[0.2, 0.5, 0.5], [0.2, 0.95, 0.5], [0.8, 0.5, 0.5]]).view(3, 1, 1, 3)
    found = subspace_distances(truths.classifier(Undefined(), shape), images, subspaces=family)
    assert found.status.tolist() == [
        ["nearest", "no direction", "no direction"],
        ["undefined"] * 3,
        ["nearest", "no direction", "no direction"],
    ]
    np.testing.assert_allclose(found.distance[:, 0], [0.3, np.nan, 0.3], rtol=1e-5)
    np.testing.assert_array_equal(found.source_class, [1, -1, 0])
    np.testing.assert_array_equal(found.right, [True, False, True])
    assert np.isnan(found.shares()[1]).all()
    faded = subspace_distances(truths.classifier(Fading(), shape), images[:1], subspaces=family, max_steps=5)
    assert faded.status[0, 0] == "not reached"
    assert faded.steps[0, 0] == 5
    assert np.isnan(faded.isotropic).all()
    assert set(STATUSES) >= set(faded.status.ravel()) | set(found.status.ravel())


def test_points_beyond_the_pixel_box_are_measured() -> None:
    weight = torch.tensor([[1.0, 0.0], [0.0, 0.0]], dtype=torch.float64)
    module = truths.Affine(weight, torch.tensor([-1.5, 0.0]).double())
    image = torch.full((1, 1, 1, 2), 0.25, dtype=torch.float64)
    family = patches((1, 1, 2), 1)
    found = subspace_distances(truths.classifier(module, (1, 1, 2), torch.float64), image, subspaces=family)
    assert found.distance[0, 0] == pytest.approx(1.25)
    assert found.outside[0, 0] == pytest.approx(0.5)


def test_chunks_do_not_show_and_partial_results_are_the_first_images(monkeypatch: pytest.MonkeyPatch) -> None:
    classifier = load_classifier("demo:digits/standard", "cpu").to(dtype=torch.float64)
    images = load_images("demo:digits").pixels[:3]
    whole = subspace_distances(classifier, images, keep=2)
    assert whole.perturbation.shape == (2, 7, 1, 32, 32)
    monkeypatch.setattr("core.geometry.subspaces.subspace_distances._MOST_VALUES", 11 * 1024)  # 11 of 24 rows
    seen: list[tuple[float, Result | None]] = []
    parts = subspace_distances(
        classifier, images, keep=2, on_progress=lambda *said: seen.append((said[0], *said[1:])[:2])
    )
    np.testing.assert_allclose(parts.distance, whole.distance, rtol=1e-6)
    np.testing.assert_allclose(parts.perturbation, whole.perturbation, atol=1e-6)
    fractions = [said[0] for said in seen]
    assert fractions == sorted(fractions)
    partial = [said[1] for said in seen if len(said) > 1]
    assert [len(each.distance) for each in partial if isinstance(each, SubspaceDistances)] == [1, 2]
    np.testing.assert_array_equal(partial[0].distance[0], parts.distance[0])


def test_it_can_be_cancelled_and_leaves_no_gradients() -> None:
    classifier = load_classifier("demo:digits/standard", "cpu")

    def stop(fraction: float, partial: Result | None = None) -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        subspace_distances(classifier, load_images("demo:digits").pixels[:2], on_progress=stop)
    subspace_distances(classifier, load_images("demo:digits").pixels[:1])
    assert all(parameter.grad is None for parameter in classifier.module.parameters())


def test_subspaces_of_other_images_are_refused() -> None:
    classifier, images = load_classifier("demo:digits/standard", "cpu"), load_images("demo:digits").pixels[:1]
    with pytest.raises(ValueError, match="expected subspaces of images"):
        subspace_distances(classifier, images, subspaces=colour_axes((3, 32, 32)))


def test_the_result_survives_the_disk() -> None:
    classifier = load_classifier("demo:digits/standard", "cpu")
    found = subspace_distances(classifier, load_images("demo:digits").pixels[:2])
    again = Result.from_bytes(found.to_bytes())
    assert isinstance(again, SubspaceDistances)
    np.testing.assert_array_equal(again.distance, found.distance)
    assert again.labels == found.labels
    np.testing.assert_array_equal(again.frequency, found.frequency)
    np.testing.assert_array_equal(found.frequency[0], [3.5, 3.5])
    assert np.isnan(
        subspace_distances(
            classifier, load_images("demo:digits").pixels[:1], subspaces=patches((1, 32, 32), 16)
        ).frequency
    ).all()
