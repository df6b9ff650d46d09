"""Which second derivatives a classifier has."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from core.geometry.boundary.deepfool import boundary_points
from core.geometry.curvature.profile import curvature_profile
from core.geometry.detector.scores import detect_perturbed
from core.geometry.hessian.second_derivatives import Plan, grey_level, operators_at, plan_for, products_at
from core.geometry.shared_directions.mean_shape_operator import curvature_transfer, shared_directions
from core.models.classifier import Classifier
from tests import curved, truths
from tests.truths import BatchSize

SHAPE = (1, 8, 8)


def test_smooth_classifiers_have_exact_ones_and_kinked_ones_differences() -> None:
    smooth = curved.classifier(curved.Ball(None, curved.centre(SHAPE), 3.0), SHAPE, torch.float64)
    kinked = truths.classifier(curved.Kinked(SHAPE), SHAPE, torch.float64)
    for classifier, method in ((smooth, "exact"), (kinked, "differences")):
        found = boundary_points(classifier, truths.images(3, SHAPE))
        plan = plan_for(classifier, found, "auto", None, "auto")
        assert plan.method == method
        assert (plan.step is None) == (method == "exact")
    assert plan.step == pytest.approx(8 / 255)
    assert grey_level(3072) == pytest.approx(math.sqrt(3072) / 255)
    forced = plan_for(smooth, boundary_points(smooth, truths.images(3, SHAPE)), "differences", 0.2, "auto")
    assert (forced.method, forced.step, forced.backend) == ("differences", 0.2, "differences")
    with pytest.raises(ValueError, match="kinks"):
        plan_for(kinked, boundary_points(kinked, truths.images(3, SHAPE)), "exact", None, "auto")
    with pytest.raises(ValueError, match="positive length"):
        plan_for(smooth, boundary_points(smooth, truths.images(3, SHAPE)), "auto", -1.0, "auto")


@pytest.mark.parametrize(
    "ask",
    [
        lambda classifier, images: curvature_profile(classifier, images, 1, method="exact"),
        lambda classifier, images: shared_directions(classifier, images, 1, method="exact"),
        lambda classifier, images: curvature_transfer(classifier, images, images, method="exact"),
        lambda classifier, images: detect_perturbed(classifier, images, method="exact"),
    ],
    ids=["profile", "shared directions", "transfer", "detector"],
)
def test_kinks_that_show_are_refused_before_anything_is_searched(ask: Callable[..., object]) -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Flatten(), nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 3))
    classifier, asked = Classifier(module, (1, 4, 4), device="cpu"), []
    classifier.module.register_forward_hook(lambda *_: asked.append(1))
    with pytest.raises(ValueError, match="expected a smooth network, got kinks"):
        ask(classifier, truths.images(2, (1, 4, 4)))
    assert len(asked) == 1  # the one in which kinks are looked for


def test_operators_cover_the_points_found_in_chunks(batch_size: BatchSize) -> None:
    batch_size(2)
    classifier = curved.classifier(curved.Ball(None, curved.centre(SHAPE), 2.0), SHAPE, torch.float64)
    images = curved.centre(SHAPE) + torch.stack([(0.5 + seed / 4) * truths.unit(SHAPE, seed) for seed in range(5)])
    found = boundary_points(classifier, images)
    operators, scale = operators_at(classifier, found, "auto", None)
    assert [rows.tolist() for rows, _ in operators] == [[0, 1], [2, 3], [4]]
    assert [operator.shape[0] for _, operator in operators] == [2, 2, 1]
    assert math.isnan(scale)
    normals = torch.cat([operator.normals for _, operator in operators])
    np.testing.assert_allclose(normals, found.normals.reshape(5, -1), atol=1e-9)
    alone = products_at(classifier, found, np.array([3]), Plan("exact", None, "double backward", ()))
    vector = torch.ones(1, 1, 64, dtype=torch.float64)
    np.testing.assert_allclose(alone(vector), -2 * vector, rtol=1e-12)
