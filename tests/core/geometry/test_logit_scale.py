"""Lengths, counts and curvatures know nothing of the scale and the offset of logits: temperature moves no boundary."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import core
from core.models.classifier import Classifier
from tests import truths

SHAPE = (1, 4, 4)
IMAGES = truths.images(3, SHAPE)


class Rescaled(nn.Module):
    """A truth whose logits are multiplied and shifted."""

    def __init__(self, truth: nn.Module, factor: float, offset: float) -> None:
        super().__init__()
        self.truth, self.factor, self.offset = truth, factor, offset

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.truth(images)
        return self.factor * logits + self.offset


def affine() -> nn.Module:
    weight = torch.randn(3, 16, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    return truths.Affine(weight, torch.zeros(3, dtype=torch.float64))


def ball() -> nn.Module:
    return truths.Ball(torch.full(SHAPE, 0.5, dtype=torch.float64), 0.9)


def plane() -> core.Plane:
    return core.Plane.through(*IMAGES)


ASKED: dict[str, tuple[Callable[[Classifier], Any], tuple[str, ...]]] = {
    "boundary points": (
        lambda c: core.boundary_points(c, IMAGES),
        ("points", "normals", "distance", "source_class", "target_class", "status"),
    ),
    "rays": (lambda c: core.boundary_profile(c, plane(), rays=12), ("distance",)),
    "slice": (lambda c: core.slice_plane(c, plane(), (-1, 1, -1, 1), resolution=32), ("label",)),
    "curvature": (lambda c: core.curvature_profile(c, IMAGES), ("curvatures", "distance", "status")),
    "scale": (lambda c: core.curvature_scale(c, IMAGES), ("distance",)),
    "subspaces": (lambda c: core.subspace_distances(c, IMAGES, block=2, stride=2), ("distance",)),
    "detector": (lambda c: core.detect_perturbed(c, IMAGES), ("score_nearest", "score_all", "recovered_class")),
    "sparsefool": (lambda c: core.sparse_perturbation(c, IMAGES), ("pixels", "l2", "rank", "status")),
    "sigma-zero": (
        lambda c: core.sparse_perturbation(c, IMAGES, method="sigma_zero"),
        ("pixels", "l2", "rank", "status"),
    ),
}


def asked(name: str, truth: nn.Module, factor: float, offset: float, dtype: torch.dtype) -> dict[str, np.ndarray]:
    ask, fields = ASKED[name]
    found = ask(Classifier(Rescaled(truth, factor, offset).to(dtype), SHAPE, device="cpu"))
    return {field: np.asarray(getattr(found, field)) for field in fields}


@pytest.mark.parametrize("name", ASKED)
@pytest.mark.parametrize("truth", [affine, ball])
@pytest.mark.parametrize(
    ("factor", "offset", "dtype"),
    [
        (1e-5, 0.0, torch.float32),
        (1e5, 0.0, torch.float32),
        (1e-9, 0.0, torch.float64),
        (1e9, 0.0, torch.float64),
        (1.0, 1e4, torch.float64),  # of 16 digits, 4 are lost
        (1e-5, -1.0, torch.float64),
    ],
)
def test_no_length_depends_on_the_scale_or_the_offset_of_logits(
    name: str, truth: Callable[[], nn.Module], factor: float, offset: float, dtype: torch.dtype
) -> None:
    expected, found = asked(name, truth(), 1, 0, dtype), asked(name, truth(), factor, offset, dtype)
    for field, values in expected.items():
        if values.dtype.kind == "f":
            tolerance = {torch.float32: 2e-3, torch.float64: 1e-5}[dtype]
            np.testing.assert_allclose(found[field], values, rtol=tolerance, atol=tolerance, err_msg=field)
        else:
            np.testing.assert_array_equal(found[field], values, err_msg=field)


@pytest.mark.parametrize("factor", [1e-6, 1e-5, 1e-4, 1.0, 1e4])
@pytest.mark.parametrize("method", ["sparsefool", "sigma_zero"])
def test_one_pixel_is_enough_at_any_temperature(factor: float, method: Any) -> None:
    weight = torch.zeros(2, 16)
    weight[1, 5] = 1.0
    truth = truths.Affine(weight, torch.tensor([0.75, 0.0]))  # the sixth value alone decides, at 0.75
    found = core.sparse_perturbation(
        Classifier(Rescaled(truth, factor, 0.0), SHAPE, device="cpu"), 0.5 * IMAGES.float(), method=method
    )
    assert (found.source_class == 0).all()
    assert found.found.all()
    assert (found.pixels == 1).all()
    least = 0.75 - 0.5 * IMAGES.flatten(1)[:, 5].numpy()
    assert (found.l2 >= least).all()
    if method == "sparsefool":
        assert (found.l2 <= 1.5 * 1.03 * least).all()  # the push, 2 % beyond the plane, and the margin demanded


@pytest.mark.parametrize("kappa", [1e4, 1e300])
def test_a_margin_that_no_change_reaches_is_said_to_be_too_large(kappa: float) -> None:
    classifier = Classifier(affine().float(), SHAPE, device="cpu")
    found = core.sparse_perturbation(classifier, IMAGES, kappa=kappa)
    assert not found.found.any()
    assert set(found.status) == {"infeasible"}
