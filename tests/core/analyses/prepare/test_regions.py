"""The path that a recipe names: its ends, and what a figure shows of it, checked against the path itself."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from core.analyses.prepare.plane import resolve_image
from core.analyses.prepare.regions import FRAMES
from core.geometry.regions.at_image import PathAtImage
from core.geometry.regions.connect import connect
from core.images.load import load_images
from core.models.load import load_classifier
from core.result import Result
from tests.asked import ask

ROWS = (3, 17, 42)


@pytest.fixture(scope="module")
def photos():
    return load_classifier("demo:photos/standard", "cpu"), load_images("demo:photos")


def test_noise_of_the_same_class_is_the_end(photos) -> None:
    classifier, images = photos
    result = ask("path", classifier, images, rows=ROWS, reference=classifier, end="noise")
    assert result.found[0]
    assert result.words == f"{images.words[3]}, row 3"
    assert result.end_words == "relabelled noise"
    own = int(classifier.predict(images.pixels[[3]]).label[0])
    assert result.source_class[0] == result.end_class[0] == own
    again = connect(classifier, images.pixels[[3]], torch.from_numpy(result.path(0)[-1:]))
    assert again.status[0] == result.status[0]
    assert result.moved > 0
    assert isinstance(Result.from_bytes(result.to_bytes()), PathAtImage)


def test_frames_margins_and_places_belong_to_the_path(photos) -> None:
    classifier, images = photos
    result = ask("path", classifier, images, rows=ROWS, end="noise", seed=1)
    path = torch.from_numpy(result.path(0)).double()
    legs = (path[1:] - path[:-1]).flatten(1).norm(dim=1)
    np.testing.assert_allclose(result.corner_at, np.concatenate([[0], legs.cumsum(0)]), rtol=1e-6)
    assert result.frames.shape == (FRAMES, 3, 32, 32)
    np.testing.assert_allclose(result.frames[0], path[0], atol=1e-6)
    np.testing.assert_allclose(result.frames[-1], path[-1], atol=1e-5)
    assert (classifier.predict(result.frames).label == result.source_class[0]).all()
    assert (result.margin > 0).all()
    assert np.isin(result.corner_at, result.at).all()
    at_corners = result.margin[np.searchsorted(result.at, result.corner_at)]
    np.testing.assert_allclose(at_corners, result.anchor_margin, atol=2e-3)
    np.testing.assert_array_equal(classifier.predict(result.straight_frames).label, result.straight_class)
    straight = path[0] + 0.5 * (path[-1] - path[0])
    np.testing.assert_allclose(result.straight_frames[FRAMES // 2], straight, atol=1e-5)
    assert (result.straight_margin[[0, -1]] > 0).all()
    assert 0 < result.straight_share <= 1


def test_the_projection_keeps_lengths_as_far_as_it_says(photos) -> None:
    classifier, images = photos
    result = ask("path", classifier, images, rows=ROWS, end="noise")
    path = torch.from_numpy(result.path(0)).double().flatten(1)
    np.testing.assert_allclose(result.projection[[0, -1]], [[0, 0], [result.distance[0], 0]], atol=1e-4)
    way = path[-1] - path[0]
    along = (path - path[0]) @ (way / way.norm())
    np.testing.assert_allclose(result.projection[:, 0], along, atol=1e-4)
    across = (path - path[0]).square().sum(1) - along.square()
    shown = result.projection[:, 1] ** 2
    assert (shown <= across.numpy() + 1e-4).all()
    assert shown.sum() / across.sum() == pytest.approx(result.projection_share, abs=1e-3)


def test_two_images_of_other_classes_are_told_apart_with_a_way_on(photos) -> None:
    classifier, images = photos
    said = classifier.predict(images.pixels).label
    other = int(np.flatnonzero(said != said[3])[0])
    result = ask("path", classifier, images, rows=(3, other), end="image")
    assert result.status[0] == "other class"
    assert len(result.frames) == len(result.at) == 0
    assert len(result.straight_margin) > 0
    assert result.straight_margin[-1] < 0
    nearest = result.nearest_row
    assert nearest != 3
    assert said[nearest] == said[3]
    far = (images.pixels - images.pixels[3]).flatten(1).norm(dim=1).numpy()
    alike = (said == said[3]) & (np.arange(len(said)) != 3)
    assert far[nearest] == far[alike].min()
    followed = ask("path", classifier, images, rows=(3, nearest), end="image")
    assert followed.verdict[0] == "path found"
    asked = ask("path", classifier, images, rows=(3, other), end="nearest")
    assert asked.nearest_row == nearest
    np.testing.assert_array_equal(asked.path(0), followed.path(0))


def test_a_relabelled_twin_is_the_other_image_but_for_its_class(photos) -> None:
    classifier, images = photos
    result = ask("path", classifier, images, rows=(3, 17), end="relabelled")
    assert result.found[0]
    moved = np.linalg.norm(result.path(0)[-1] - images.pixels[17].numpy())
    assert result.moved == pytest.approx(moved, rel=1e-4)
    assert result.end_words == f"relabelled {images.words[17]}, row 17"
    same = ask(
        "path",
        classifier,
        images,
        rows=(3, result.nearest_row if result.nearest_row >= 0 else 282),
        end="relabelled",
    )
    assert same.moved == 0
    assert not same.end_words.startswith("relabelled")


def test_the_start_is_the_point_that_was_picked(photos) -> None:
    classifier, images = photos
    settings = {"plane": "directions", "u": "gradient", "v": "random:0", "at": (0.5, 0.2)}
    result = ask("path", classifier, images, rows=(3, 17), end="noise", **settings)
    start = resolve_image(classifier, images, (3, 17), **settings)
    np.testing.assert_allclose(result.path(0)[0], start.image, atol=1e-6)
    assert result.words == "point 0.50, 0.20"


def test_the_graph_is_of_images_of_the_class_of_the_first(photos) -> None:
    classifier, images = photos
    told = []
    graph = ask(
        "region_graph",
        classifier,
        images,
        rows=(3, 17),
        count=7,
        on_progress=lambda fraction, partial=None: told.append(partial),
    )
    assert graph.source_class[0] == classifier.predict(images.pixels[[3]]).label[0]
    assert len(graph.row) == len(set(graph.row.tolist())) == 7
    assert len(set(graph.source_class.tolist())) == 1
    partials = [partial for partial in told if partial is not None]
    assert partials
    np.testing.assert_array_equal(partials[0].row, graph.row)
    mixed = ask("region_graph", classifier, images, rows=(3,), among="all classes", count=9)
    assert len(set(mixed.source_class.tolist())) > 4
    changes = int((np.diff(mixed.source_class) != 0).sum())
    assert changes == len(set(mixed.source_class.tolist())) - 1  # each class in one piece
    named = ask("region_graph", classifier, images, rows=(17,), of_class=int(graph.source_class[0]), count=7)
    np.testing.assert_array_equal(named.row, graph.row)  # whichever image is chosen
    with pytest.raises(ValueError, match="expected two or more images that the model gives the class"):
        ask("region_graph", classifier, images, rows=(3,), count=1)
