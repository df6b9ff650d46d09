"""Sharing of curved directions where it is known: by images, and by what noise flips."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from core.geometry.shared_directions.mean_shape_operator import shared_directions
from core.geometry.shared_directions.sharing import (
    DirectionNoise,
    DirectionSharing,
    direction_noise,
    direction_sharing,
    halves,
    scrambled,
    shared_spans,
)
from core.images.load import load_images
from core.models.load import load_classifier
from core.result import Result
from tests import curved, truths

SHAPE = (1, 8, 8)
BENDS = (1.0, 1.0, -1.0, -1.0)  # of the graph y_0 = u^T A u / 2: curvatures of the other sign


def above_the_apex(
    dtype: torch.dtype = torch.float64, rows: Tensor | None = None, count: int = 3
) -> tuple[curved.Graph, Tensor]:
    """A quadric and images above its apex, nearer than it bends: every boundary point is the apex."""
    axes = curved.rows(len(BENDS) + 1, SHAPE) if rows is None else rows
    surface = curved.Graph(axes, curved.centre(SHAPE), torch.diag(torch.tensor(BENDS)).double())
    y = torch.zeros((count, len(BENDS) + 1), dtype=torch.float64)
    y[:, 0] = torch.linspace(0.5, 0.9, count)
    return surface, curved.at(surface, y).to(dtype)


def test_halves_have_no_common_image_and_all_classes() -> None:
    classes = np.repeat([0, 1, 2, -1], [10, 20, 6, 4])
    first, second = halves(classes, 8, seed=1)
    assert len(first) == len(second) == 8
    assert not set(first) & set(second)
    for part in (first, second):
        counts = np.unique(np.maximum(classes[part], 0), return_counts=True)[1]
        assert counts.max() - counts.min() <= 1
    few = halves(np.array([-1, -1, -1]), 5, 0)
    assert [len(part) for part in few] == [2, 1]
    assert halves(classes, 8, seed=2)[0].tolist() != first.tolist()


@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 7, 9), (2, 6, 6)])
def test_scrambled_directions_keep_frequencies_lengths_and_angles(shape: tuple[int, int, int]) -> None:
    generator = torch.Generator().manual_seed(0)
    directions = torch.randn((5, *shape), generator=generator, dtype=torch.float64)
    turned = scrambled(directions, seed=3)
    before, after = (torch.fft.rfft2(each).abs() for each in (directions, turned))
    torch.testing.assert_close(before, after)
    flat, mixed = directions.flatten(1), turned.flatten(1)
    torch.testing.assert_close(mixed @ mixed.mT, flat @ flat.mT)
    alike = (mixed * flat).sum(1) / (flat**2).sum(1)
    assert alike.abs().max() < 0.6
    torch.testing.assert_close(turned, scrambled(directions, seed=3))


@pytest.mark.parametrize("dtype", truths.DTYPES)
def test_what_all_images_share_is_found_in_unseen_ones(dtype: torch.dtype) -> None:
    surface, images = above_the_apex(dtype, count=5)
    classifier = curved.classifier(surface, SHAPE, dtype)
    told: list[tuple[float, Any]] = []
    found = direction_sharing(
        classifier,
        images[:3],
        images[3:],
        directions=4,
        noise=2,
        probes=256,
        on_progress=lambda part, partial=None: told.append((part, partial)),
    )
    np.testing.assert_allclose(found.curvatures, [1, 1, -1, -1], atol=1e-3)
    # E |u^T S u| of a graph with two curvatures of 1 and two of -1 in 63 tangent directions, by drawing u
    u = np.random.default_rng(0).standard_normal((50_000, 63))
    expected = np.abs((u[:, :2] ** 2 - u[:, 2:4] ** 2).sum(1) / (u**2).sum(1)).mean()
    np.testing.assert_allclose(found.typical, expected, rtol=0.2)
    for ratio in (found.seen, found.unseen):
        np.testing.assert_allclose(ratio, 1 / expected, rtol=0.2)
    assert (np.median(found.scrambled) < np.median(found.unseen) / 3).all()
    assert found.same_sign == 1
    assert found.complete
    assert [partial.complete for _, partial in told] == [False, False]
    assert np.isnan(told[0][1].unseen).all()
    assert np.isfinite(told[1][1].unseen).all()
    again = Result.from_bytes(found.to_bytes())
    assert isinstance(again, DirectionSharing)
    np.testing.assert_array_equal(again.noise, found.noise)
    assert found.products > 0
    assert found.forwards > 0


@pytest.mark.parametrize("whose", ["shared", "own"])
def test_noise_flips_where_the_boundary_closes_and_never_where_it_bends_away(whose: Any) -> None:
    """A step of 2 along k = -1 reaches D - 2 < 0 for D < 1, one along k = +1 reaches D + 2."""
    surface, images = above_the_apex(count=4)
    classifier = curved.classifier(surface, SHAPE, torch.float64)
    found = direction_noise(classifier, images[:2], images[2:], (0.5, 2.0), whose=whose, directions=2, draws=16)
    rate = dict(zip(found.spans, found.rate, strict=True))
    np.testing.assert_array_equal(rate["convex"], [0, 1])
    np.testing.assert_array_equal(rate["concave"], [0, 0])
    assert rate["flat"][1] < 1
    assert found.whose == whose
    assert dict(zip(found.spans, found.dimension, strict=True))["convex"] == 2
    assert dict(zip(found.spans, found.dimension, strict=True))["all of space"] == 64
    np.testing.assert_allclose(found.distance, [0.5 + 0.8 / 3, 0.9], rtol=1e-4)
    again = Result.from_bytes(found.to_bytes())
    assert isinstance(again, DirectionNoise)
    np.testing.assert_array_equal(again.rate, found.rate)


def test_spans_are_orthonormal_and_hold_what_they_say() -> None:
    surface, images = above_the_apex()
    classifier = curved.classifier(surface, SHAPE, torch.float64)
    found = shared_directions(classifier, images, 4, side="both ends")
    spans = shared_spans(found, 2)
    for name, span in spans.items():
        if span is None:
            assert name == "all of space"
            continue
        flat = span.flatten(1)
        np.testing.assert_allclose(flat @ flat.mT, np.eye(2), atol=1e-9)
    axes = surface.rows.detach().double()
    for name, places in (("convex", [1, 2]), ("concave", [3, 4])):
        inside = spans[name].flatten(1) @ axes[places].mT  # type: ignore[union-attr]
        np.testing.assert_allclose((inside**2).sum(), 2, atol=1e-4)
    outside = spans["flat"].flatten(1) @ axes[1:].mT  # type: ignore[union-attr]
    np.testing.assert_allclose(outside, 0, atol=1e-4)
    with pytest.raises(ValueError, match="expected 6 shared directions"):
        shared_spans(found, 3)


def test_wrong_calls_are_told_what_is_wrong() -> None:
    surface, images = above_the_apex()
    classifier = curved.classifier(surface, SHAPE, torch.float64)
    with pytest.raises(ValueError, match="expected images, others"):
        direction_sharing(classifier, images, images[:0])
    with pytest.raises(ValueError, match="to put noise on"):
        direction_noise(classifier, images, images[:0], (1.0,))
    constant = truths.classifier(truths.Affine(torch.zeros(2, 64), torch.tensor([1.0, 0])), SHAPE)
    with pytest.raises(ValueError, match="boundary point"):
        direction_noise(constant, images.float(), images.float(), (1.0,), whose="own", directions=1)


def test_a_network_of_kinks_is_measured_at_a_stated_scale() -> None:
    classifier, images = load_classifier("demo:photos/relu", "cpu"), load_images("demo:photos")
    first, second = (images.pixels[rows] for rows in halves(images.labels.numpy(), 2, 0))
    found = direction_sharing(classifier, first, second, directions=1, noise=1, probes=2)
    assert found.scale == pytest.approx(3072**0.5 / 255)
    assert found.asymmetry_ratio > 0
    other = direction_sharing(classifier, first, second, directions=1, noise=1, probes=2, scale=0.5)
    assert other.scale == 0.5
    assert np.abs(other.curvatures).max() < np.abs(found.curvatures).max()
