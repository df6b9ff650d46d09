"""A walk as a direction: the same as the walk taken alone, and what it says where there is none."""

from __future__ import annotations

import numpy as np
import pytest

from core.analyses.prepare.directions import walk_to
from core.errors import ImageError
from core.geometry.level_sets.traverse import traverse
from core.images.load import load_images
from core.models.load import load_classifier
from tests.core.analyses.prepare.test_level_sets import half_space, image_set


def test_the_way_leads_from_the_source_to_the_end() -> None:
    classifier, images = load_classifier("demo:photos/standard", "cpu"), load_images("demo:photos")
    way = walk_to(classifier, images, 3, 17, "equality", 0.05, 30)
    alone = traverse(classifier, images.pixels[[3]], images.pixels[[17]], "equality", 0.05, 30)
    np.testing.assert_array_equal(way[0], images.pixels[3])
    np.testing.assert_array_equal(way[-1], alone.endpoints[0])
    far = (way - images.pixels[17]).flatten(1).norm(dim=1)
    assert (far.diff() < 0).all()


def test_a_way_that_is_none_says_why() -> None:
    classifier, normal = half_space()
    images = image_set(normal)
    with pytest.raises(ImageError, match="expected a walk from image 0 to 3, it never began .no level."):
        walk_to(classifier, images, 0, 3, "superlevel", 0.95, 10)
    with pytest.raises(ImageError, match="expected a target below 6"):
        walk_to(classifier, images, 0, 6, "equality", 0.05, 10)
