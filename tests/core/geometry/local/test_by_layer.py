"""Local properties by layer: exact norms and alignment of linear chains, and bands of a demo model."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from core.geometry.local import by_layer
from core.geometry.local.by_layer import LayerGeometry, layer_geometry
from core.images.load import load_images
from core.models.load import load_classifier
from core.result import Result
from tests import local_maps, truths

SHAPE = (1, 6, 6)


def diagonal(*values: float) -> nn.Linear:
    layer = nn.Linear(36, 36, bias=False)
    with torch.no_grad():
        layer.weight.zero_()
        layer.weight[torch.arange(len(values)), torch.arange(len(values))] = torch.tensor(values)
    return layer


@pytest.mark.parametrize("dtype", truths.DTYPES)
@pytest.mark.parametrize("count", [1, 5])
def test_a_chain_of_diagonal_maps_has_known_norms(dtype: torch.dtype, count: int) -> None:
    chain = nn.Sequential(nn.Flatten(), diagonal(3.0, 1.0, 1.0), diagonal(1.0, 2.0, 0.5), diagonal(1.0, 1.0, 4.0))
    classifier = truths.classifier(chain, SHAPE, dtype)
    found = layer_geometry(classifier, truths.images(count, SHAPE), 0.5, count=20)
    assert found.layers == ("1", "2", "3")
    near = {"rtol": 1e-3}
    np.testing.assert_allclose(found.prefix, np.tile([3.0, 3.0, 3.0], (count, 1)), **near)
    np.testing.assert_allclose(found.block, np.tile([3.0, 2.0, 4.0], (count, 1)), **near)
    np.testing.assert_allclose(found.suffix, np.tile([2.0, 4.0, 1.0], (count, 1)), **near)
    np.testing.assert_allclose(found.alignment, np.tile([1.0, 0.5, 0.25], (count, 1)), **near)
    assert (found.residual_of_norms < 0.1).all()
    assert found.width.tolist() == [36, 36, 36]
    np.testing.assert_allclose(found.mantel_jacobian, 1, atol=1e-4)
    np.testing.assert_allclose(found.mantel_raw, found.mantel_linear, atol=1e-4)
    np.testing.assert_allclose(found.variation, found.variation_linear, atol=1e-4)
    np.testing.assert_allclose(found.asymmetry, 0, atol=1e-4)
    np.testing.assert_allclose(found.residual, 0, atol=1e-4)
    assert np.isnan(found.changed).all()


def test_directions_that_matter_are_counted_from_samples() -> None:
    chain = nn.Sequential(nn.Flatten(), diagonal(*(1.0,) * 36), diagonal(*(1.0,) * 6))
    found = layer_geometry(truths.classifier(chain, SHAPE), truths.images(1, SHAPE), 0.5, count=400)
    assert found.effective[0] == pytest.approx([36, 6], rel=0.1)
    attacked = layer_geometry(truths.classifier(chain, SHAPE), truths.images(1, SHAPE), 0.5, count=5, sampler="pixels")
    assert np.isnan(attacked.effective).all()


def test_alignment_is_at_most_1_and_the_last_layer_is_the_classifier() -> None:
    classifier = truths.classifier(local_maps.net(SHAPE), SHAPE, torch.float64)
    images = truths.images(4, SHAPE)
    found = layer_geometry(classifier, images, 0.3, count=8)
    assert found.layers == ("2", "4", "5")
    assert (found.alignment <= 1 + 1e-3).all()
    assert (found.alignment > 0).all()
    jacobian = torch.stack(
        [torch.func.jacrev(lambda at: classifier(at[None])[0])(image).flatten(1) for image in images]
    )
    exact = torch.linalg.matrix_norm(jacobian, 2).numpy()
    np.testing.assert_allclose(found.prefix[:, -1], exact, rtol=1e-2)
    np.testing.assert_allclose(found.suffix[:, -1], 1)
    assert (found.changed[:, :2] >= 0).all()
    assert np.isnan(found.changed[:, 2]).all()  # the head has no kinks


def test_wide_layers_are_sketched_to_about_the_same_distances(monkeypatch: pytest.MonkeyPatch) -> None:
    classifier, images = load_classifier("demo:digits/standard", "cpu"), load_images("demo:digits").pixels[:2]
    whole = layer_geometry(classifier, images, 0.5, count=10)
    monkeypatch.setattr(by_layer, "_WIDE", 500)
    sketched = layer_geometry(classifier, images, 0.5, count=10)
    wide = whole.width > 500
    assert wide.any()
    np.testing.assert_allclose(sketched.variation[:, wide], whole.variation[:, wide], atol=0.03)
    np.testing.assert_allclose(sketched.asymmetry[:, wide], whole.asymmetry[:, wide], atol=0.03)
    np.testing.assert_array_equal(sketched.variation[:, ~wide], whole.variation[:, ~wide])
    np.testing.assert_array_equal(sketched.prefix, whole.prefix)


def test_chosen_layers_and_what_is_refused() -> None:
    classifier = truths.classifier(local_maps.net(SHAPE), SHAPE)
    images = truths.images(2, SHAPE)
    found = layer_geometry(classifier, images, 0.3, layers=("1", "5"), count=4)
    assert found.layers == ("1", "5")
    assert isinstance(Result.from_bytes(found.to_bytes()), LayerGeometry)
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"layers": ("9",)}, "a path of a module"),
        ({"count": 3}, "4 or more directions"),
        ({"radius": -1.0}, "radius of positive length"),
        ({"images": images[:0]}, "at least one image"),
    ]
    for options, words in wrong:
        with pytest.raises(ValueError, match=words):
            layer_geometry(classifier, **{"images": images, "radius": 0.3, **options})


def test_a_model_that_sees_no_image_has_layers_without_slopes() -> None:
    chain = nn.Sequential(nn.Flatten(), diagonal(), nn.Linear(36, 3))
    found = layer_geometry(truths.classifier(chain, SHAPE), truths.images(2, SHAPE), 0.5, count=5)
    np.testing.assert_array_equal(found.prefix, 0)
    assert np.isnan(found.variation).all()
    assert np.isnan(found.mantel_raw).all()
