"""Overlap of curved subspaces where it is known: quadrics that bend along common axes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from core.errors import ImageError
from core.geometry.shared_directions.principal_angles import DirectionOverlap, direction_overlap, subspace_overlap
from core.result import Result
from tests import curved

SHAPE = (1, 8, 8)


def above_the_apex(rows: Tensor) -> tuple[curved.Graph, Tensor]:
    """A quadric with curvatures 1, 1, -1, -1 along four rows, and images above its apex, nearer than it bends."""
    hessian = torch.diag(torch.tensor([1.0, 1.0, -1.0, -1.0])).double()
    surface = curved.Graph(rows, curved.centre(SHAPE), hessian)
    y = torch.zeros((4, 5), dtype=torch.float64)
    y[:, 0] = torch.linspace(0.5, 0.9, 4)
    return surface, curved.at(surface, y)


def test_overlap_of_models_that_share_half_of_their_directions() -> None:
    axes = curved.rows(7, SHAPE)
    first, images = above_the_apex(axes[:5])
    second, _ = above_the_apex(axes[[0, 1, 3, 5, 6]])
    models = [curved.classifier(each, SHAPE, torch.float64) for each in (first, second)]
    told: list[float] = []
    found = direction_overlap(
        models, images[:2], images[2:], directions=4, on_progress=lambda part, partial=None: told.append(part)
    )
    np.testing.assert_allclose(found.share, [[1, 0.5], [0.5, 1]], atol=1e-3)
    np.testing.assert_allclose(found.angles[0, 1], [0, 0, 90, 90], atol=1)
    assert found.chance == 4 / 64
    assert (found.scrambled < 0.4).all()
    assert told == [0.5, 1]
    assert isinstance(Result.from_bytes(found.to_bytes()), DirectionOverlap)


def test_wrong_calls_are_told_what_is_wrong() -> None:
    _, images = above_the_apex(curved.rows(5, SHAPE))
    with pytest.raises(ValueError, match="expected models"):
        direction_overlap([], images, images)


def test_overlap_by_principal_angles() -> None:
    rows = curved.rows(6, (1, 4, 4)).view(6, 1, 4, 4)
    np.testing.assert_allclose(subspace_overlap(rows[:3], 2 * rows[[2, 0, 1]]).angles, 0, atol=1e-6)
    apart = subspace_overlap(rows[:2], rows[2:6])
    np.testing.assert_allclose(apart.angles, 90, atol=1e-6)
    assert apart.share == pytest.approx(0, abs=1e-12)
    assert apart.chance == pytest.approx(4 / 16)
    turned = torch.stack([rows[0], (rows[1] + rows[2]) / 2**0.5])
    np.testing.assert_allclose(subspace_overlap(rows[:2], turned).angles, [0, 45], atol=1e-6)
    assert subspace_overlap(rows[:2], turned).share == pytest.approx(0.75)
    with pytest.raises(ImageError, match="one shape"):
        subspace_overlap(rows, rows[:0])
