"""Stars of walks: convex and dented sets, whose stars are known, and a demo model."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from core.errors import ImageError
from core.geometry.level_sets.star import LevelStar
from core.images.image_set import ImageSet
from core.images.load import load_images
from core.models.load import load_classifier
from core.result import Result
from tests import truths
from tests.asked import ask

SHAPE = (3, 12, 12)


def ball_set() -> tuple[ImageSet, truths.Ball]:
    """A source in a ball, and images outside of it all round."""
    middle = torch.full(SHAPE, 0.5, dtype=torch.float64)
    around = torch.stack([truths.unit(SHAPE, seed) for seed in range(1, 7)])
    pixels = torch.cat([middle[None] + 0.5 * truths.unit(SHAPE, 0), middle + 3.0 * around])
    images = ImageSet(
        pixels.float().clamp(0, 1), torch.full((7,), -1), tuple(f"image {row}" for row in range(7)), (), "made"
    )
    return images, truths.Ball(middle, 1.0)


@pytest.mark.parametrize("dtype", truths.DTYPES)
def test_a_ball_is_one_limb_and_its_targets_are_far(dtype: torch.dtype) -> None:
    images, module = ball_set()
    classifier = truths.classifier(module, SHAPE, dtype)
    found = ask(
        "level_star", classifier, images, rows=[0], mode="equality", steps=60, count=4, within=0.3, directions=8
    )
    assert isinstance(found, LevelStar)
    assert found.target_row.tolist() == sorted(found.target_row.tolist())
    assert 0 not in found.target_row
    assert len(found.target_row) == 4
    assert found.share[0] == 1
    assert found.limbs[0] == 1
    ends = images.pixels[found.target_row.tolist()].double()
    lengths = (ends - images.pixels[0].double()).flatten(1).norm(dim=1)
    np.testing.assert_allclose(found.target_length, lengths, rtol=1e-5)
    # on the sphere of the source's level, of radius 0.5 about the middle: no end is farther from the source than 1
    assert (found.length <= 1 + 1e-3).all()
    assert (found.ratio < 1).all()
    # a tangent of the sphere of radius 0.5 leaves the one where the confidence is 0.3 less after sqrt(R^2 - 0.25)
    level = found.end_confidence[0] - 0.3
    outer = 1.0 - np.log(level / (1 - level))
    np.testing.assert_allclose(found.width, np.sqrt(outer - 0.25), rtol=0.05)
    assert Result.from_bytes(found.to_bytes()).to_bytes() == found.to_bytes()


def test_chosen_targets_are_taken_and_the_same_for_every_model() -> None:
    images = load_images("demo:photos")
    classifiers = [load_classifier(f"demo:photos/{name}", "cpu") for name in ("standard", "adversarial")]
    stars = [
        ask("level_star", one, images, rows=[3, 42], steps=5, count=4, directions=4, reference=classifiers[0])
        for one in classifiers
    ]
    np.testing.assert_array_equal(stars[0].target_row, stars[1].target_row)
    assert 42 in stars[0].target_row
    said = classifiers[0].predict(images.pixels).label
    assert (said[stars[0].target_row] != said[3]).all()
    other = ask("level_star", classifiers[0], images, rows=[3], steps=5, count=4, directions=4, seed=1)
    assert set(other.target_row) != set(stars[0].target_row)


def test_where_there_is_nothing_to_walk_to_it_says_so() -> None:
    images, module = ball_set()
    classifier = truths.classifier(module, SHAPE)
    with pytest.raises(ImageError, match="an image of another class to walk to, got none"):
        ask("level_star", classifier, images[[0]], rows=[0], count=3)
    with pytest.raises(ImageError, match="expected a walk that begins, got no level"):
        ask("level_star", classifier, images, rows=[0], delta=0.9, count=3)
