"""Sparse perturbations: counts against closed forms and every subset, invariances, statuses and the demo models."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from core.errors import ImageError
from core.geometry.sparse.box_solver import SPARSE_ORDERS
from core.geometry.sparse.sparse_perturbation import STATUSES, SparsePerturbation, sparse_perturbation
from core.images.load import load_images
from core.models.classifier import Classifier
from core.models.load import load_classifier
from core.result import Result
from core.runtime import batches
from core.runtime.progress import Cancelled
from tests import truths
from tests.truths import BatchSize

KAPPA = 1e-4
WAYS = (
    *({"method": "sparsefool", "order": order} for order in SPARSE_ORDERS),
    *({"method": "sigma_zero", "unit": unit} for unit in ("pixel", "entry")),
)


@pytest.fixture(params=[1, 5])
def batch(request: pytest.FixtureRequest, batch_size: BatchSize) -> int:
    """A fixed batch size instead of the measured one."""
    size: int = request.param
    batch_size(size)
    return size


def plane(shape: tuple[int, ...], images: Tensor, pixels: int) -> tuple[truths.Affine, Tensor, Tensor]:
    """A plane, the fewest pixels and the fewest entries of each image that cross it; so many pixels for the first."""
    weight = truths.unit(shape, 1)
    room = weight.abs() * torch.where(weight > 0, 1 - images, images)
    across = images.flatten(1) @ weight.flatten()
    gains = [each.sort(1, descending=True).values for each in (room.sum(1).flatten(1), room.flatten(1))]
    bias = across[0] + gains[0][0, :pixels].sum() - gains[0][0, pixels - 1] / 2
    module = truths.Affine(torch.stack([0 * weight.flatten(), weight.flatten()]), torch.stack([bias, 0 * bias]))
    least = [(each.cumsum(1) < (bias - across + KAPPA)[:, None]).sum(1) + 1 for each in gains]
    return module, least[0], least[1]


def check(found: SparsePerturbation, classifier: Classifier, images: Tensor) -> None:
    """What holds for every change that was found."""
    rows = np.flatnonzero(found.found)
    if not len(rows):
        return
    adversarial, clean = torch.from_numpy(found.adversarial[rows]), images[rows].to(classifier.dtype)
    exact = classifier.to(dtype=torch.float64)
    with torch.no_grad():
        before, after = exact(clean.double()), exact(adversarial.double())
    np.testing.assert_array_equal(after.argmax(1), found.target_class[rows])
    np.testing.assert_array_equal(before.argmax(1), found.source_class[rows])
    source = torch.from_numpy(found.source_class[rows]).long()[:, None]
    margin = after.gather(1, source)[:, 0] - after.scatter(1, source, -math.inf).amax(1)
    assert (margin < -KAPPA / 2).all()
    assert ((adversarial >= 0) & (adversarial <= 1)).all()
    change = adversarial - clean
    assert (change.abs() <= found.bound * (1 + 1e-6)).all()
    np.testing.assert_array_equal((change != 0).any(1).flatten(1).sum(1), found.pixels[rows])
    np.testing.assert_array_equal((change != 0).flatten(1).sum(1), found.entries[rows])
    np.testing.assert_allclose(change.flatten(1).norm(dim=1), found.l2[rows], rtol=1e-5)
    np.testing.assert_allclose(change.flatten(1).abs().sum(1), found.l1[rows], rtol=1e-5)
    np.testing.assert_allclose(change.flatten(1).abs().amax(1), found.linf[rows], rtol=1e-5)
    np.testing.assert_array_equal((change != 0).any(1), found.heatmap()[rows])
    for row in rows:
        count = int(found.pixels[row])
        assert sorted(found.rank[row][found.heatmap()[row]].tolist()) == list(range(count))
        assert np.isfinite(found.curve[row, : count + 1]).all()
        assert np.isnan(found.curve[row, count + 1 :]).all()
    np.testing.assert_array_equal(np.isnan(found.reliance[rows]), ~found.heatmap()[rows])
    scale = 1e-4 * (1 + np.abs(before.numpy()).max())
    clean_margin = before.gather(1, source)[:, 0] - before.scatter(1, source, -math.inf).amax(1)
    np.testing.assert_allclose(found.curve[rows, 0], clean_margin, atol=scale)
    last = found.pixels[rows].astype(int)
    np.testing.assert_allclose(found.curve[rows, last], margin, atol=scale)
    assert ((found.amplitude[rows] > 0) & (found.amplitude[rows] <= 1)).all()
    rounded = (adversarial.double() * 255).round() / 255
    with torch.no_grad():
        differs = exact(rounded).argmax(1) != source[:, 0]
    np.testing.assert_array_equal(found.survives_rounding[rows], differs)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("shape", "dtype"), [(shape, dtype) for shape in truths.SHAPES for dtype in truths.DTYPES])
def test_planes_are_crossed_with_the_fewest_items(
    shape: tuple[int, ...], dtype: torch.dtype, way: dict[str, str], batch: int
) -> None:
    images = 0.25 + truths.images(2, shape) / 2
    module, pixels, entries = plane(shape, images, 4)
    classifier = truths.classifier(module, shape, dtype)
    found = sparse_perturbation(classifier, images.to(dtype), **way)
    assert set(found.status) == {"found"}
    check(found, classifier, images.to(dtype))
    by_pixel = found.counted == "pixel"
    np.testing.assert_array_equal(*((found.pixels, pixels) if by_pixel else (found.entries, entries)))
    weight = truths.unit(shape, 1)
    np.testing.assert_allclose(found.dense, weight.expand_as(images), atol=1e-4)
    gain = (weight.abs() * torch.where(weight > 0, 1 - images, images)).sum(1)
    for field in (found.capacity, found.capacity_at_boundary):
        np.testing.assert_allclose(field, gain, atol=1e-5)
    margins = np.einsum("nchw,chw->n", found.boundary - images.numpy(), weight)
    with torch.no_grad():
        logits = module.double()(images)
    np.testing.assert_allclose(margins, logits[:, 0] - logits[:, 1], rtol=1e-3)
    assert (found.image_gradients > 0).all()
    assert found.gradients >= found.image_gradients.sum()
    assert found.forwards >= found.image_forwards.sum()


@pytest.mark.parametrize(("order", "entries", "l1"), [("l1", 3, 0.36625), ("l0", 1, 0.375), ("pixel", 1, 0.375)])
def test_the_worked_example_as_the_solver_leaves_it(order: str, entries: int, l1: float) -> None:
    x, w = (torch.tensor(each, dtype=torch.float64) for each in ((0.99, 0.95, 0.5), (1.0, 0.9, 0.8)))
    module = truths.Affine(torch.stack([0 * w, w]), torch.stack([w @ x + 0.3, 0 * w[0]]))
    classifier = truths.classifier(module, (1, 1, 3), torch.float64)
    images = x.view(1, 1, 1, 3)
    found = sparse_perturbation(classifier, images, order=order, lambdas=(1.0,), prune=False)
    assert (found.entries[0], found.loops[0], found.multiplier[0]) == (entries, 1, 1.0)
    np.testing.assert_allclose(found.l1, l1, rtol=0.021)
    small = sparse_perturbation(classifier, images, order=order, bound=0.1)
    assert (small.status[0], small.found[0]) == ("infeasible", False)  # .01 + .045 + .08 < .3
    enough = sparse_perturbation(classifier, images, order=order, bound=0.35)
    assert enough.status[0] == "found"
    assert enough.linf[0] <= 0.35


class Pixels(nn.Module):
    """Class 1 where the channel means of the chosen pixels pass a half: all of them, or one of them."""

    def __init__(self, chosen: tuple[int, ...], gate: str = "all", scale: float = 5.0) -> None:
        super().__init__()
        self.chosen, self.gate, self.scale = chosen, gate, scale

    def forward(self, images: Tensor) -> Tensor:
        values = images.mean(1).flatten(1)[:, list(self.chosen)] - 0.5
        value = self.scale * (values.amin(1) if self.gate == "all" else values.amax(1))
        return torch.stack([0 * value, value], 1)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("chosen", "gate", "pixels"), [((5,), "all", 1), ((5, 9), "all", 2), ((5, 9), "any", 1)])
def test_gates_take_the_pixels_they_look_at(
    chosen: tuple[int, ...], gate: str, pixels: int, way: dict[str, str], batch: int
) -> None:
    images = truths.images(3, (3, 4, 4)) / 3
    classifier = truths.classifier(Pixels(chosen, gate), (3, 4, 4), torch.float64)
    found = sparse_perturbation(classifier, images, **way)
    assert found.found.all()
    check(found, classifier, images)
    np.testing.assert_array_equal(found.pixels, pixels)
    support = found.heatmap().reshape(3, -1)
    assert not np.delete(support, chosen, axis=1).any()
    assert (found.history[:, -1] == pixels).all()


def network(seed: int, shape: tuple[int, int, int], classes: int = 3) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(nn.Flatten(), nn.Linear(math.prod(shape), 16), nn.ReLU(), nn.Linear(16, classes)).double()


class Convex(nn.Module):
    """Class 1 where a ReLU network with positive outer weights passes a level: convex, so largest at corners."""

    def __init__(self, seed: int, size: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.inner = nn.Parameter(torch.randn((size, 12), generator=generator, dtype=torch.float64))
        self.outer = nn.Parameter(torch.rand(12, generator=generator, dtype=torch.float64))
        self.level = 0.0

    def forward(self, images: Tensor) -> Tensor:
        value = (images.flatten(1) @ self.inner - 0.5 * self.inner.sum(0)).relu() @ self.outer - self.level
        return torch.stack([0 * value, value], 1)


@pytest.mark.parametrize("method", ["sparsefool", "sigma_zero"])
def test_no_count_is_below_the_least_of_all_and_most_are_equal(method: str) -> None:
    """Of 8 pixels, every support and every corner of the box on it, 3⁸ points per image: where convex, that is all."""
    shape = (1, 2, 4)
    corners = torch.tensor(list(itertools.product([-1.0, 0.0, 1.0], repeat=8)), dtype=torch.float64).view(-1, *shape)
    excess: list[float] = []
    for seed in range(6):
        module, images = Convex(seed, 8), 0.3 + 0.4 * truths.images(4, shape, seed)
        points = torch.where(corners < 0, images[:, None], corners)
        with torch.no_grad():
            start, values = module(images)[:, 1].max(), module(points.flatten(0, 1))[:, 1].view(4, -1)
            module.level = float(start + 0.5 * (values.amax() - start))
        classifier = truths.classifier(module, shape, torch.float64)
        found = sparse_perturbation(classifier, images, method=method)
        check(found, classifier, images)
        count = (points != images[:, None]).flatten(2).sum(2)
        for row in range(4):
            crosses = values[row] - module.level > KAPPA
            if crosses.any():
                least = int(count[row][crosses].min())
                excess.append(found.pixels[row] - least if found.found[row] else 9.0)
            else:
                assert not found.found[row]
    assert len(excess) >= 20
    assert min(excess) >= 0
    assert np.mean(np.array(excess) == 0) >= 2 / 3  # single items are exchanged: a minimum of several may hold a search


@pytest.mark.parametrize("way", WAYS)
def test_no_single_item_can_be_given_back(way: dict[str, str]) -> None:
    shape, images = (3, 4, 4), truths.images(4, (3, 4, 4))
    classifier = truths.classifier(network(1, shape), shape, torch.float64)
    found = sparse_perturbation(classifier, images, **way)
    assert found.found.sum() >= 2
    for row in np.flatnonzero(found.found):
        adversarial = torch.from_numpy(found.adversarial[row])
        changed = adversarial != images[row]
        places = changed.any(0).nonzero() if found.counted == "pixel" else changed.nonzero()
        for place in places.tolist():
            index = (slice(None), *place) if found.counted == "pixel" else tuple(place)
            restored = adversarial.clone()
            restored[index] = images[row][index]
            with torch.no_grad():
                logits = classifier(restored[None])[0]
            margin = logits[found.source_class[row]] - max(np.delete(logits.numpy(), found.source_class[row]))
            assert margin >= -KAPPA * 1.001
            if found.counted == "pixel":
                rise = margin - found.curve[row, int(found.pixels[row])]
                np.testing.assert_allclose(found.reliance[row][tuple(place)], rise, rtol=1e-6)


@settings(max_examples=5)
@given(seed=st.integers(0, 10**6), way=st.sampled_from(WAYS))
def test_what_moves_with_the_images_and_what_does_not_change(seed: int, way: dict[str, str]) -> None:
    shape = (3, 3, 4)
    images = 0.2 + 0.6 * truths.images(3, shape, seed)
    module = network(seed % 7, shape)
    classifier = truths.classifier(module, shape, torch.float64)
    found = sparse_perturbation(classifier, images, **way)
    for row in range(3):  # alone, as in a batch
        alone = sparse_perturbation(classifier, images[row : row + 1], **way)
        np.testing.assert_array_equal(alone.pixels, found.pixels[row : row + 1])
        np.testing.assert_allclose(alone.adversarial, found.adversarial[row : row + 1], atol=1e-5)
    turned = sparse_perturbation(classifier, images[[2, 0, 1]], **way)
    np.testing.assert_allclose(turned.adversarial, found.adversarial[[2, 0, 1]], atol=1e-5)
    mean, std = [0.3, 0.5, 0.1], [0.5, 2.0, 0.7]  # a module that takes normalised pixels

    class Undo(nn.Module):
        def forward(self, pixels: Tensor) -> Tensor:
            return pixels * torch.tensor(std).double().view(-1, 1, 1) + torch.tensor(mean).double().view(-1, 1, 1)

    wrapped = Classifier(nn.Sequential(Undo(), module), shape, mean=mean, std=std, device="cpu")
    again = sparse_perturbation(wrapped, images, **way)
    np.testing.assert_array_equal(again.pixels, found.pixels)
    np.testing.assert_allclose(again.adversarial, found.adversarial, atol=1e-5)

    class Swap(nn.Module):
        def forward(self, pixels: Tensor) -> Tensor:
            return pixels[:, [2, 0, 1]]

    swapped = truths.classifier(nn.Sequential(Swap(), module), shape, torch.float64)
    back = sparse_perturbation(swapped, images[:, [1, 2, 0]], **way)
    np.testing.assert_array_equal(back.pixels, found.pixels)
    np.testing.assert_allclose(back.adversarial[:, [2, 0, 1]], found.adversarial, atol=1e-5)


def test_tied_channels_stay_equal() -> None:
    shape = (3, 5, 5)
    grey = truths.images(3, (1, 5, 5)).expand(-1, 3, -1, -1)
    classifier = truths.classifier(network(1, shape), shape, torch.float64)
    for way in WAYS:
        found = sparse_perturbation(classifier, grey, tied=True, **way)
        assert found.found.any()
        rows = found.found
        np.testing.assert_array_equal(found.adversarial[rows], found.adversarial[rows][:, :1].repeat(3, 1))
        check(found, classifier, grey)
    with pytest.raises(ImageError, match="channels are equal"):
        sparse_perturbation(classifier, truths.images(3, shape), tied=True)


class Undefined(nn.Module):
    """Classes part at pixel 0 = 0.5; flat where pixel 1 is 0; no logits where pixel 1 is above 0.9."""

    def forward(self, images: Tensor) -> Tensor:
        first, second = images.flatten(1)[:, 0], images.flatten(1)[:, 1]
        margin = torch.where(second == 0, 0 * first - 1, first - 0.5)
        return torch.stack([margin, 0 * first], 1).masked_fill((second > 0.9)[:, None], torch.nan)


@pytest.mark.parametrize("method", ["sparsefool", "sigma_zero"])
def test_rows_without_a_change_say_why_and_leave_the_others_alone(method: str) -> None:
    images = torch.tensor([[0.2, 0.5], [0.2, 0.95], [0.8, 0.5], [0.2, 0.0]]).view(4, 1, 1, 2)
    found = sparse_perturbation(truths.classifier(Undefined(), (1, 1, 2)), images, method=method)
    assert found.status.tolist() == ["found", "undefined", "found", "no direction"]
    np.testing.assert_array_equal(found.found, [True, False, True, False])
    np.testing.assert_array_equal(found.source_class, [1, -1, 0, 1])
    np.testing.assert_array_equal(found.target_class, [0, -1, 1, -1])
    np.testing.assert_array_equal(found.pixels, [1, np.nan, 1, np.nan])
    for name in ("adversarial", "pixels", "entries", "l2", "l1", "linf", "amplitude", "curve", "reliance"):
        assert np.isnan(getattr(found, name)[[1, 3]]).all()
    assert not found.heatmap()[[1, 3]].any()
    assert (found.rank[[1, 3]] == -1).all()
    assert np.isnan(found.capacity_at_boundary[1]).all()
    nothing = sparse_perturbation(truths.classifier(Undefined(), (1, 1, 2)), images[1:2], method=method)
    assert (nothing.status[0], nothing.gradients) == ("undefined", 0)
    assert set(STATUSES) >= set(found.status)


def test_seeds_vary_the_start_and_repeat() -> None:
    shape, images = (3, 4, 4), truths.images(4, (3, 4, 4))
    classifier = truths.classifier(network(1, shape), shape, torch.float64)
    for method in ("sparsefool", "sigma_zero"):
        first, again, other = (sparse_perturbation(classifier, images, method=method, seed=seed) for seed in (7, 7, 8))
        np.testing.assert_array_equal(first.adversarial, again.adversarial)
        assert (first.adversarial != other.adversarial).any()
        check(other, classifier, images)


def test_histories_end_at_what_was_found(batch: int) -> None:
    shape, images = (3, 4, 4), truths.images(6, (3, 4, 4))
    classifier = truths.classifier(network(1, shape), shape, torch.float64)
    for method in ("sparsefool", "sigma_zero"):
        found = sparse_perturbation(classifier, images, method=method, order="pixel", unit="pixel")
        assert found.history.shape == found.history_gradients.shape
        assert np.isnan(found.history[:, 0]).all()
        np.testing.assert_array_equal(found.history[:, -1], found.pixels)
        np.testing.assert_array_equal(found.history_gradients[:, -1] <= found.image_gradients, True)
        assert (np.diff(found.history_gradients, axis=1) >= 0).all()
        assert not (np.diff(found.history, axis=1) > 0).any()


def test_the_callers_model_is_left_as_it_was() -> None:
    module = nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.BatchNorm1d(3), nn.ReLU(inplace=True), nn.Linear(3, 3))
    before = {name: value.clone() for name, value in module.state_dict().items()}
    classifier = truths.classifier(module.train(), (1, 2, 2))
    images = truths.images(4, (1, 2, 2)).float().requires_grad_()
    kept = images.detach().clone()
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            for method in ("sparsefool", "sigma_zero"):
                sparse_perturbation(classifier, images, method=method)
    assert images.grad is None
    assert torch.equal(images.detach(), kept)
    assert module.training
    for parameter in (*module.parameters(), *classifier.module.parameters()):
        assert parameter.grad is None
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())


class Small(Pixels):
    """Has memory for four images."""

    def forward(self, images: Tensor) -> Tensor:
        if len(images) > 4:
            raise torch.OutOfMemoryError("out of memory")
        return super().forward(images)


def test_chunks_are_halved_when_memory_runs_out(monkeypatch: pytest.MonkeyPatch, batch_size: BatchSize) -> None:
    batch_size(16)
    images = truths.images(9, (3, 4, 4)) / 3
    small, plain = (truths.classifier(kind((5, 9)), (3, 4, 4), torch.float64) for kind in (Small, Pixels))
    found, expected = sparse_perturbation(small, images), sparse_perturbation(plain, images)
    np.testing.assert_allclose(found.adversarial, expected.adversarial, rtol=1e-12)
    monkeypatch.setattr(batches, "out_of_memory", lambda error: False)
    with pytest.raises(torch.OutOfMemoryError):
        sparse_perturbation(small, images)


def test_progress_grows_and_can_cancel(batch: int) -> None:
    classifier, images = truths.classifier(Pixels((5, 9)), (3, 4, 4), torch.float64), truths.images(6, (3, 4, 4)) / 3
    for method in ("sparsefool", "sigma_zero"):
        fractions: list[float] = []

        def listen(fraction: float, partial: Result | None = None, heard: list[float] = fractions) -> None:
            heard.append(fraction)

        sparse_perturbation(classifier, images, method=method, on_progress=listen)
        assert fractions == sorted(fractions)
        assert fractions[0] == 0
        assert 0.5 < fractions[-1] <= 1

    def cancel(fraction: float, partial: Result | None = None) -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        sparse_perturbation(classifier, images, on_progress=cancel)


def test_results_are_read_back() -> None:
    classifier = truths.classifier(Pixels((5, 9)), (3, 4, 4), torch.float64)
    found = sparse_perturbation(classifier, truths.images(2, (3, 4, 4)) / 3)
    again = Result.from_bytes(found.to_bytes())
    assert isinstance(again, SparsePerturbation)
    np.testing.assert_array_equal(again.adversarial, found.adversarial)
    np.testing.assert_array_equal(again.heatmap(), found.heatmap())
    assert again.status.tolist() == found.status.tolist()
    assert again.to_bytes() == found.to_bytes()
    assert SparsePerturbation.unit("reliance") == "logit"


def test_pixels_outside_of_the_box_are_refused() -> None:
    classifier, images = truths.classifier(Pixels((5, 9)), (3, 4, 4)), truths.images(2, (3, 4, 4))
    with pytest.raises(ImageError, match="in \\[0, 1\\]"):
        sparse_perturbation(classifier, images + 0.5)


def test_demo_photos() -> None:
    """16 images, misclassified ones among them: the source is what the classifier says, not what the image shows."""
    classifier, images = load_classifier("demo:photos/standard", "cpu"), load_images("demo:photos")
    said = classifier.predict(images.pixels).label
    wrong = np.flatnonzero(said != images.labels.numpy())[:3]
    pixels = images.pixels[[*wrong.tolist(), *range(0, 520, 40)]]
    found = sparse_perturbation(classifier, pixels)
    raw = sparse_perturbation(classifier, pixels, prune=False)
    descent = sparse_perturbation(classifier, pixels, method="sigma_zero")
    for each in (found, raw, descent):
        assert each.found.all()
        check(each, classifier, pixels)
    assert np.median(found.pixels) <= np.median(descent.pixels) <= 6
    assert (found.pixels <= raw.pixels).all()
    np.testing.assert_array_equal(found.source_class[:3], said[wrong])
    assert found.survives_rounding.mean() > 0.9
