"""Paths on a map: where they lie, where they jump, and that lines are cut there."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from core.geometry.maps.maps import embed
from core.geometry.maps.paths import MapPaths, map_paths
from core.result import Result
from tests.core.geometry.maps.test_maps import clusters
from tests.truths import BatchSize


def test_a_line_from_one_cluster_to_the_other_is_one_jump() -> None:
    classifier, images, labels = clusters(20)
    found = embed(classifier, images, "pixels", neighbours=6)
    line = images[0] + torch.linspace(0, 1, 21).view(-1, 1, 1, 1) * (images[-1] - images[0])
    paths = map_paths(classifier, found, [line, images[:3]], names=("across", "inside"), kind="line")
    assert paths.positions.shape == (2, 21, 2)
    assert np.isnan(paths.positions[1, 3:]).all()
    assert (paths.predicted[1, 3:] == -1).all()
    crossed = np.flatnonzero(np.diff(paths.predicted[0]))
    assert len(crossed) == 1
    steps = np.linalg.norm(np.diff(paths.positions[0], axis=0), axis=1)
    assert abs(int(steps.argmax()) - crossed[0]) <= 1  # it jumps where the other cluster becomes the nearer one
    jumps = np.flatnonzero(paths.jumps[0])
    assert steps.argmax() + 1 in jumps
    every = np.concatenate([steps, np.linalg.norm(np.diff(paths.positions[1, :3], axis=0), axis=1)])
    limit = max(3 * np.median(every), 0.05 * found.radius)
    np.testing.assert_array_equal(jumps, np.flatnonzero(steps > limit) + 1)
    pieces, leaps = paths.pieces(), paths.leaps()
    assert all(np.linalg.norm(np.diff(piece, axis=0), axis=1).max() <= limit for piece in pieces)
    assert len(leaps) == paths.jumps.sum()
    np.testing.assert_array_equal(leaps[0], paths.positions[0, [jumps[0] - 1, jumps[0]]])
    middle = paths.ratio[0, 10]
    assert middle > 5 > paths.ratio[0, 0]
    np.testing.assert_array_equal(paths.home, found.positions)
    again = Result.from_bytes(paths.to_bytes())
    assert isinstance(again, MapPaths)
    assert again.names == ("across", "inside")
    alone = found.transform(classifier, line)
    np.testing.assert_allclose(paths.positions[0], alone.positions, atol=1e-3)
    np.testing.assert_allclose(paths.ratio[0], alone.ratio, rtol=1e-6)
    assert labels.tolist()[0] == paths.predicted[0, 0]


def test_a_path_that_stands_still_has_no_jump_and_equal_images_are_placed_once(batch_size: BatchSize) -> None:
    batch_size(16)  # not the measured one
    classifier, images, _ = clusters(20)
    found = embed(classifier, images, "pixels", neighbours=6)
    still = images[:1].expand(500, -1, -1, -1)
    paths = map_paths(classifier, found, [still])
    assert not paths.jumps.any()
    assert np.ptp(paths.positions[0], axis=0).max() == 0
    assert paths.forwards == 16


def test_paths_without_images_are_refused() -> None:
    classifier, images, _ = clusters(10)
    found = embed(classifier, images, "pixels", neighbours=6)
    for given, names in (([], ()), ([images[:0]], ()), ([images[:2]], ("one", "two"))):
        with pytest.raises(ValueError, match="expected at least one path"):
            map_paths(classifier, found, given, names=names)
