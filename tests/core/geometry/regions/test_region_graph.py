"""The component graph: who is joined, what is not claimed, and what is shown while it fills."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from core.geometry.regions.region_graph import OUTCOMES, RegionGraph, region_graph
from core.images.load import load_images
from core.models.load import load_classifier
from core.result import Result
from tests import corridors, curved

SHAPE = (3, 32, 32)
PLACES = [
    (-2.5, 0.0),
    (2.5, 0.3),
    (-1.5, 0.2),
    (0.0, 3.0),
    (1.6, 0.0),
    (0.1, -3.0),
]  # left, right, left, out, right, out


def two_discs(**settings: int) -> RegionGraph:
    plane = corridors.TwoDiscs(curved.rows(2, SHAPE), curved.centre(SHAPE))
    classifier = curved.classifier(plane, SHAPE, torch.float64)
    return region_graph(
        classifier, curved.at(plane, torch.tensor(PLACES, dtype=torch.float64)), **{"search": 2, **settings}
    )


def words(graph: RegionGraph) -> list[list[str]]:
    return [[OUTCOMES[code] for code in row] for row in graph.outcome.tolist()]


def test_two_discs_are_two_components_so_far_and_outside_is_one() -> None:
    graph = two_discs()
    assert graph.source_class.tolist() == [0, 0, 0, 1, 0, 1]
    assert graph.component.tolist() == [0, 1, 0, 2, 1, 2]
    assert graph.components == {0: 2, 1: 1}
    table = words(graph)
    assert table[0] == ["straight", "not found", "straight", "other class", "not found", "other class"]
    assert table[3][5] == "straight"  # between the discs
    np.testing.assert_array_equal(graph.outcome, graph.outcome.T)
    assert graph.pairs == graph.tried == 7
    assert graph.found == 3
    assert graph.missing.tolist() == [[0, 1], [0, 4], [1, 2], [2, 4]]
    np.testing.assert_array_equal(np.isnan(graph.length_ratio), np.isnan(graph.min_margin))
    assert graph.length_ratio[0, 2] == pytest.approx(1)
    assert math.isfinite(graph.resolution)


def test_it_fills_pair_by_pair() -> None:
    seen: list[RegionGraph] = []
    plane = corridors.Annulus(curved.rows(2, SHAPE), curved.centre(SHAPE))
    classifier = curved.classifier(plane, SHAPE, torch.float64)
    angles = torch.linspace(0, 5, 5, dtype=torch.float64)
    images = curved.at(plane, 1.5 * torch.stack([angles.cos(), angles.sin()], 1))

    def tell(fraction: float, partial: Result | None = None) -> None:
        if isinstance(partial, RegionGraph):
            assert fraction == pytest.approx(partial.tried / partial.pairs)
            seen.append(partial)

    whole = region_graph(classifier, images, chunk=3, on_progress=tell)
    assert [graph.tried for graph in seen] == [3, 6, 9]
    assert [int((np.triu(graph.outcome, 1) == OUTCOMES.index("not tried")).sum()) for graph in seen] == [7, 4, 1]
    assert whole.tried == whole.pairs == 10
    assert whole.components == {0: 1}
    assert seen[0].components[0] >= whole.components[0]
    assert whole.forwards > seen[-1].forwards > seen[0].forwards


def test_images_of_a_demo_model_and_the_disk() -> None:
    classifier, images = load_classifier("demo:digits/standard", "cpu"), load_images("demo:digits")
    graph = region_graph(classifier, images.pixels[:9])
    assert graph.found == graph.pairs
    again = Result.from_bytes(graph.to_bytes())
    assert isinstance(again, RegionGraph)
    np.testing.assert_array_equal(again.outcome, graph.outcome)
    assert again.components == graph.components


def test_wrong_calls_are_explained() -> None:
    classifier, images = load_classifier("demo:digits/standard", "cpu"), load_images("demo:digits")
    with pytest.raises(ValueError, match="expected two or more images"):
        region_graph(classifier, images.pixels[:1])
    with pytest.raises(ValueError, match="expected two or more images"):
        region_graph(classifier, images.pixels[:3], chunk=0)
