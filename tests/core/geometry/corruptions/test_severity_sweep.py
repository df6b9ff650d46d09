"""Accuracy and signed distance along corruptions, against affine classifiers and balls."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from core.errors import ImageError
from core.geometry.boundary.deepfool import boundary_points
from core.geometry.corruptions.corruptions import CORRUPTIONS, corrupt
from core.geometry.corruptions.severity_sweep import SeveritySweep, severity_sweep
from core.images.load import load_images
from core.models.load import load_classifier
from core.result import Result
from core.runtime.progress import Cancelled
from tests import truths
from tests.truths import BatchSize

CASES = [(shape, dtype) for shape in truths.SHAPES for dtype in truths.DTYPES]
SEVERITIES = (0, 0.5, 2, 5)


@pytest.fixture(params=[1, 5])
def batch(request: pytest.FixtureRequest, batch_size: BatchSize) -> int:
    """A fixed batch size instead of the measured one."""
    size: int = request.param
    batch_size(size)
    return size


def affine(shape: tuple[int, ...], classes: int = 5) -> truths.Affine:
    generator = torch.Generator().manual_seed(1)
    weight = torch.randn((classes, math.prod(shape)), generator=generator, dtype=torch.float64)
    return truths.Affine(weight / weight.norm(dim=1, keepdim=True), torch.zeros(classes, dtype=torch.float64))


def signed(module: truths.Affine, images: Tensor, labels: Tensor) -> np.ndarray:
    """Of affine logits: the smallest (f_y - f_k) / ||w_y - w_k||."""
    weight, bias = module.weight.detach().double(), module.bias.detach().double()
    logits = images.double().flatten(1) @ weight.T + bias
    margin = logits.gather(1, labels[:, None]) - logits
    length = (weight[labels][:, None] - weight).norm(dim=2)
    found: np.ndarray = (margin / length).nan_to_num(math.inf).amin(1).numpy()
    return found


@pytest.mark.parametrize(("shape", "dtype"), CASES)
def test_affine_classifiers_have_the_distances_on_paper(shape: tuple[int, ...], dtype: torch.dtype, batch: int) -> None:
    module, images = affine(shape), truths.images(7, shape).to(dtype)
    classifier = truths.classifier(module, shape, dtype)
    labels = torch.arange(7) % 5
    names = ["fog", "gaussian_noise"]
    found = severity_sweep(classifier, images, labels, names, severities=SEVERITIES, seed=3)
    assert found.distance.shape == (2, 4, 7)
    close = {torch.float32: 2e-6, torch.float64: 1e-12}[dtype]
    for row, name in enumerate(names):
        for column, severity in enumerate(SEVERITIES):
            corrupted = corrupt(images, name, severity, 3)
            np.testing.assert_allclose(found.distance[row, column], signed(module, corrupted, labels), atol=close)
            said = classifier.predict(corrupted).label
            np.testing.assert_array_equal(found.predicted[row, column], said)
            assert found.accuracy[row, column] == np.mean(said == labels.numpy())
            moved = (corrupted - images).flatten(1).norm(dim=1)
            np.testing.assert_allclose(found.displacement[row, column], moved, rtol=1e-5, atol=1e-12)
            assert found.strength[row, column] == CORRUPTIONS[name].strength(severity)
    np.testing.assert_array_equal((found.distance > 0), found.predicted == found.labels)
    assert (found.accuracy > 0).any()
    assert (found.accuracy < 1).any()
    padded = -(-7 // batch) * batch
    cells = 1 + 2 * 3  # the clean images are measured once
    assert found.forwards == 2 * cells * padded
    assert found.gradients == 4 * cells * padded


def test_inside_the_region_it_is_the_distance_to_the_boundary() -> None:
    shape = (1, 8, 8)
    module, images = affine(shape), truths.images(6, shape)
    classifier = truths.classifier(module, shape, torch.float64)
    labels = torch.from_numpy(classifier.predict(images).label)
    found = severity_sweep(classifier, images, labels, ["contrast"], severities=[0])
    np.testing.assert_allclose(found.distance[0, 0], boundary_points(classifier, images).distance, rtol=1e-6)
    assert found.accuracy[0, 0] == 1


@pytest.mark.parametrize("far", [0.5, 1.9, 2.1, 2.5])
def test_at_a_ball_it_is_to_first_order(far: float) -> None:
    """F = r² - d² with slope 2 d: (r² - d²) / (2 d) for the class inside, its negative for the one outside."""
    shape, radius = (1, 8, 8), 2.0
    centre = torch.full(shape, 0.5, dtype=torch.float64)
    images = (centre + 0.125 * far * torch.ones(8, 8, dtype=torch.float64))[None]  # |1| = 8
    classifier = truths.classifier(truths.Ball(centre, radius), shape, torch.float64)
    for label, sign in ((0, 1), (1, -1)):
        found = severity_sweep(classifier, images, torch.tensor([label]), ["fog"], severities=[0])
        np.testing.assert_allclose(found.distance[0, 0], sign * (radius**2 - far**2) / (2 * far), rtol=1e-12)
        assert found.accuracy[0, 0] == float((far < radius) == (label == 0))


def test_intervals_are_those_of_wilson() -> None:
    images, labels = truths.images(40, (1, 8, 8)), torch.arange(40) % 5
    classifier = truths.classifier(affine((1, 8, 8)), (1, 8, 8), torch.float64)
    found = severity_sweep(classifier, images, labels, ["fog"], severities=[0, 3])
    z = 1.959963984540054
    for share, low, high in zip(found.accuracy[0], found.accuracy_low[0], found.accuracy_high[0], strict=True):
        # both ends are the shares that lie z of their own standard errors away
        for end in (low, high):
            assert abs(share - end) == pytest.approx(z * math.sqrt(end * (1 - end) / 40), rel=1e-9)
        assert low < share < high


class Unusual(nn.Module):
    """Constant logits, and NaN where an image is white in its first corner."""

    def forward(self, images: Tensor) -> Tensor:
        logits = torch.tensor([1.0, 0.0, -1.0]).to(images).expand(len(images), -1)
        return logits + torch.where(images[:, :1, 0, 0] > 0.9, torch.nan, 0.0)


def test_where_nothing_says_how_far_it_is() -> None:
    images = torch.full((3, 1, 8, 8), 0.5)
    images[2, 0, 0, 0] = 1
    classifier = truths.classifier(Unusual(), (1, 8, 8))
    found = severity_sweep(classifier, images, torch.tensor([0, 1, 0]), ["contrast"], severities=[0])
    assert np.isnan(found.distance).all()
    assert found.predicted[0, 0].tolist() == [0, 0, -1]
    assert found.accuracy[0, 0] == pytest.approx(1 / 3)
    assert np.isnan(found.median_distance).all()


def test_medians_leave_out_what_is_not_known() -> None:
    images = load_images("demo:photos").pixels[:9]
    classifier = load_classifier("demo:photos/standard", "cpu")
    found = severity_sweep(classifier, images, torch.zeros(9, dtype=torch.int64), ["fog"], severities=[0, 2])
    np.testing.assert_allclose(found.median_distance, np.median(found.distance, axis=2))
    found.distance[0, 0, :2] = np.nan
    np.testing.assert_allclose(found.median_distance, np.nanmedian(found.distance, axis=2))


def test_demo_photos_lose_distance_before_they_lose_their_class() -> None:
    classifier, images = load_classifier("demo:photos/standard", "cpu"), load_images("demo:photos")[range(0, 540, 10)]
    names = ["gaussian_noise", "brightness"]
    found = severity_sweep(classifier, images.pixels, images.labels, names, severities=[0, 0.5, 2, 5])
    assert (np.diff(found.median_distance, axis=1) < 0.05).all()
    assert (found.accuracy[:, 0] > 0.9).all()
    assert (found.accuracy[:, -1] < 0.5).all()
    known = ~np.isnan(found.distance)
    np.testing.assert_array_equal((found.distance > 0)[known], (found.predicted == found.labels)[known])
    again = Result.from_bytes(found.to_bytes())
    assert isinstance(again, SeveritySweep)
    np.testing.assert_array_equal(again.distance, found.distance)
    assert again.names.tolist() == names
    assert SeveritySweep.unit("distance") == "ℓ2 pixel"
    parameters = [parameter.grad for parameter in classifier.module.parameters()]
    assert parameters == [None] * len(parameters)


def test_progress_and_cancelling() -> None:
    classifier = truths.classifier(affine((1, 8, 8)), (1, 8, 8))
    images, labels, fractions = truths.images(4, (1, 8, 8)).float(), torch.zeros(4, dtype=torch.int64), []

    def listen(fraction: float, partial: Result | None = None) -> None:
        fractions.append(fraction)

    severity_sweep(classifier, images, labels, ["fog", "elastic"], severities=[0, 1], on_progress=listen)
    assert fractions == pytest.approx([0, 1 / 3, 2 / 3])

    def cancel(fraction: float, partial: Result | None = None) -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        severity_sweep(classifier, images, labels, ["fog"], on_progress=cancel)


def test_pixels_outside_of_the_box_are_refused() -> None:
    classifier = truths.classifier(affine((1, 8, 8)), (1, 8, 8))
    images, labels = truths.images(2, (1, 8, 8)).float(), torch.tensor([0, 1])
    with pytest.raises(ImageError, match=r"\[0, 1\]"):
        severity_sweep(classifier, images + 1, labels, ["fog"])


def test_quantiles_are_distances_of_images_and_leave_out_what_is_not_known() -> None:
    classifier = truths.classifier(affine((1, 8, 8)), (1, 8, 8))
    images = truths.images(5, (1, 8, 8), dtype=torch.float32)
    found = severity_sweep(classifier, images, torch.arange(5), ["fog"], severities=[0, 5])
    known = np.array([[[3.0, 1.0, np.nan, 2.0, 4.0], [np.nan] * 5]])
    changed = replace(found, distance=known)
    np.testing.assert_array_equal(changed.quantile(0.5), [[2.0, np.nan]])
    np.testing.assert_array_equal(changed.quantile(0.25), [[1.0, np.nan]])
    np.testing.assert_array_equal(changed.quantile(1.0), [[4.0, np.nan]])
    np.testing.assert_array_equal(changed.quantile(0.0), [[1.0, np.nan]])
