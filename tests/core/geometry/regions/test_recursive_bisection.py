"""How chains grow: vertices stay in order, counts add up, and what is decided is left alone."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from core.geometry.boundary.relabel import RegionMargin
from core.geometry.regions.recursive_bisection import BUDGET, FOUND, STALLED, Growth, Limits
from tests import corridors, curved

SHAPE = (3, 32, 32)
LIMITS = Limits(1 / 64, 24, 256, 4, 16, 0.02, 0)


def grown(plane: curved.Surface, places: list[list[tuple[float, float]]], limits: Limits = LIMITS) -> Growth:
    margin = RegionMargin(curved.classifier(plane, SHAPE, torch.float64))
    images = curved.at(plane, torch.tensor(places, dtype=torch.float64).flatten(0, 1))
    growth = Growth(margin, limits, images.unflatten(0, (-1, 2)), torch.zeros(len(places), dtype=torch.int64))
    growth.run(lambda part: None)
    return growth


def coordinates(plane: curved.Surface, images: Tensor) -> Tensor:
    return ((images - plane.centre).flatten(1) @ plane.rows.T).detach()


def ring() -> curved.Surface:
    return corridors.Annulus(curved.rows(2, SHAPE), curved.centre(SHAPE))


def test_corners_follow_each_other_around_the_ring() -> None:
    plane = ring()
    growth = grown(plane, [[(1.5, 0.0), (-1.4, 0.5)], [(1.5, 0.0), (1.5, 0.1)]])
    assert growth.outcome.tolist() == [FOUND, FOUND]
    path, margins = growth.path(0)
    at = coordinates(plane, path)
    angles = torch.atan2(at[:, 1], at[:, 0])
    assert (angles.diff() > 0).all()
    assert len(path) > 3
    torch.testing.assert_close(margins, plane.double().height(at).detach())
    straight, _ = growth.path(1)
    assert len(straight) == 2
    assert growth.counts["checked"][1] == 1
    assert growth.counts["checked"][0] == 2 * (len(path) - 2) + 1  # each corner made two segments of one
    assert growth.counts["levels"].tolist() == [int(growth.counts["levels"][0]), 1]


def test_a_pair_that_fails_does_not_take_others_along() -> None:
    plane = corridors.TwoDiscs(curved.rows(2, SHAPE), curved.centre(SHAPE))
    growth = grown(plane, [[(-2.0, 0.0), (2.0, 0.0)], [(-2.5, 0.0), (-1.5, 0.0)]])
    assert growth.outcome.tolist() == [STALLED, FOUND]
    assert not growth.searched.any()
    assert math.isfinite(float(growth.numbers["min_margin"][1]))


def test_levels_end() -> None:
    growth = grown(ring(), [[(1.5, 0.0), (-1.4, 0.5)]], LIMITS._replace(max_levels=1))
    assert growth.outcome.tolist() == [BUDGET]
    assert growth.counts["levels"].tolist() == [1]
