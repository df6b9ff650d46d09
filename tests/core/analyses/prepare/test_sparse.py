"""A recipe's image is the one that is perturbed: the chosen one, or the point of a plane, inside the pixel box."""

from __future__ import annotations

import numpy as np
import torch

from core.analyses.prepare.plane import resolve_image
from core.geometry.sparse.at_image import SparseAtImage
from core.geometry.sparse.sparse_perturbation import sparse_perturbation
from core.images.load import load_images
from core.models.load import load_classifier
from core.result import Result
from tests.asked import ask

PLANE = {"plane": "directions", "u": "gradient", "v": "random:0"}


def test_the_first_chosen_image_is_perturbed() -> None:
    classifier, images = load_classifier("demo:digits/standard", "cpu"), load_images("demo:digits")
    found = ask("sparse", classifier, images, rows=(17, 3), reference=classifier)
    alone = sparse_perturbation(classifier, images.pixels[[17]])
    np.testing.assert_array_equal(found.rank, alone.rank)
    np.testing.assert_array_equal(found.image[0], images.pixels[17])
    assert found.words == images.words[17]
    again = Result.from_bytes(found.to_bytes())
    assert isinstance(again, SparseAtImage)
    assert again.unit("curve") == "logit"


def test_a_point_of_a_plane_is_perturbed_inside_the_box() -> None:
    classifier, images = load_classifier("demo:digits/standard", "cpu"), load_images("demo:digits")
    start = resolve_image(classifier, images, (17,), **PLANE, at=(0.4, 3.0))
    assert float(start.image.min()) < 0
    found = ask("sparse", classifier, images, rows=(17,), **PLANE, at=(0.4, 3.0), method="sigma_zero", prune="no")
    np.testing.assert_array_equal(found.image[0], start.image.clamp(0, 1))
    assert found.words == "point 0.40, 3.00"
    changed = np.abs(found.adversarial[0] - found.image[0]).max(0) > 0
    np.testing.assert_array_equal(changed, found.heatmap()[0])
    profile = ask("pixel", classifier, images, rows=(17,), **PLANE, at=(0.4, 3.0), row=4, column=5, resolution=3)
    np.testing.assert_allclose(profile.pixel, start.image.clamp(0, 1)[:, 4, 5])
    own = torch.from_numpy(found.image)
    assert profile.source_class == classifier.predict(own).label[0] == found.source_class[0]
