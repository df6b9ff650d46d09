"""Stars that are known: discs, shells, and a star with as many limbs as one likes."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from core.geometry.level_sets.star_likeness import StarLikeness, star_likeness
from core.geometry.level_sets.traverse import traverse
from core.images.load import load_images
from core.models.load import load_classifier
from core.result import Result
from tests import truths

SHAPE = (1, 32, 32)


def ring(angles: list[float], radius: float) -> Tensor:
    """Images on a circle in the plane of two pixels, grey elsewhere."""
    images = torch.full((len(angles), *SHAPE), 0.5, dtype=torch.float64)
    images[:, 0, 0, 0] += radius * torch.tensor(angles, dtype=torch.float64).cos()
    images[:, 0, 0, 1] += radius * torch.tensor(angles, dtype=torch.float64).sin()
    return images


class Star(nn.Module):
    """Class 0 where r < R(angle) = 0.25 + 0.2 cos(limbs angle), in the plane of two pixels; flat and steep walls."""

    def __init__(self, limbs: int) -> None:
        super().__init__()
        self.limbs = limbs
        self.scale = nn.Parameter(torch.tensor(1.0))

    def forward(self, images: Tensor) -> Tensor:
        x, y = (images.flatten(1)[:, :2] - 0.5).unbind(1)
        inside = 0.25 + 0.2 * torch.cos(self.limbs * torch.atan2(y, x)) - torch.hypot(x, y)
        margin = 8 * torch.tanh(self.scale * 100 * inside)
        return torch.stack([margin, torch.zeros_like(margin)], 1)


def test_a_star_has_its_limbs_and_a_disc_has_one() -> None:
    tips = [2 * math.pi * limb / 5 for limb in range(5)]
    spots = torch.cat([ring(tips, 0.42), ring([angle + 0.05 for angle in tips], 0.4)])
    source = ring([0.0], 0.0)
    owner = torch.zeros(10, dtype=torch.long)
    classifier = truths.classifier(Star(5), SHAPE, torch.float64)
    star = star_likeness(classifier, source, spots, owner, delta=0.1)
    assert (star.share[0], star.mean_reach[0], star.limbs[0]) == (1, 1, 5)
    assert star.gap[0] > 0.5
    assert len(star.chords) == 45
    near = (star.chords[:, 1] - star.chords[:, 0]) == 5  # two spots of one limb
    assert (star.chord_reach[near] == 1).all()
    assert (star.chord_reach[~near] < 1).all()
    ball = truths.classifier(truths.Ball(torch.full(SHAPE, 0.5, dtype=torch.float64), 2.0), SHAPE, torch.float64)
    disc = star_likeness(ball, source, spots, owner, delta=0.1)
    assert (disc.share[0], disc.limbs[0]) == (1, 1)
    assert abs(disc.gap[0]) < 0.01


class Annulus(nn.Module):
    """Class 0 at 0.3 < r < 0.5 around grey in the plane of two pixels."""

    def forward(self, images: Tensor) -> Tensor:
        margin = 100 * (0.1 - ((images.flatten(1)[:, :2] - 0.5).norm(dim=1) - 0.4).abs())
        return torch.stack([margin, torch.zeros_like(margin)], 1)


def test_across_an_annulus_nothing_is_seen_and_owners_are_kept_apart() -> None:
    classifier = truths.classifier(Annulus(), SHAPE)
    sources = ring([0.0, math.pi], 0.4).float()
    spots = ring([0.3, math.pi, math.pi - 0.3, 0.0, -0.3], 0.4).float()
    found = star_likeness(classifier, sources, spots, torch.tensor([0, 0, 1, 1, 0]), delta=0.1)
    assert found.spoke_reach[[0, 2, 4]].tolist() == [1, 1, 1]
    assert (found.spoke_reach[[1, 3]] < 0.5).all()
    np.testing.assert_allclose(found.share, [2 / 3, 1 / 2])
    np.testing.assert_allclose(found.mean_reach, [found.spoke_reach[[0, 1, 4]].mean(), found.spoke_reach[2:4].mean()])
    assert sorted(map(tuple, found.chords.tolist())) == [(0, 1), (0, 4), (1, 4), (2, 3)]
    assert found.limbs.tolist() == [1, 1]
    assert found.source_class.tolist() == [0, 0]


def test_a_single_spot_has_no_gap_and_a_source_without_spots_nothing() -> None:
    classifier = truths.classifier(Annulus(), SHAPE)
    found = star_likeness(classifier, ring([0.0, 1.0], 0.4).float(), ring([0.2], 0.4).float(), torch.tensor([0]))
    assert np.isnan(found.gap).all()
    assert found.limbs.tolist() == [1, 0]
    assert found.share[0] == 1
    assert np.isnan(found.share[1])


def test_blind_spots_of_demo_photos() -> None:
    classifier, images = load_classifier("demo:photos/standard", "cpu"), load_images("demo:photos").pixels
    sources, targets = images[[0, 200]], images[[100, 300, 400, 500]]
    paths = traverse(classifier, sources, targets, "equality", 0.05, 40, pairing="all")
    spots, owner = torch.from_numpy(paths.endpoints), torch.from_numpy(paths.source_row).long()
    found = star_likeness(classifier, sources, spots, owner, delta=0.2, points=11)
    assert found.spoke_reach.shape == (8,)
    assert found.chord_reach.shape == (12,)
    assert ((found.share >= 0) & (found.share <= 1)).all()
    assert (found.limbs <= 4).all()
    again = Result.from_bytes(found.to_bytes())
    assert isinstance(again, StarLikeness)
    assert again.to_bytes() == found.to_bytes()
    with pytest.raises(ValueError, match="rows of the 2 sources"):
        star_likeness(classifier, sources, spots, owner + 1)
