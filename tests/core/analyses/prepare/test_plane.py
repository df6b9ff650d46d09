"""From a recipe's words to a plane and its default square."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from core.analyses.prepare.plane import resolve_image, resolve_plane
from core.errors import ImageError
from core.geometry.corruptions.corruptions import corrupt
from core.geometry.planes.slices import Slice
from core.images.image_set import ImageSet
from core.result import Result
from core.runtime.cost import Cost
from tests import truths
from tests.asked import ask

SHAPE = (1, 8, 8)


def image_set() -> ImageSet:
    pixels = truths.images(6, SHAPE, dtype=torch.float32)
    labels = torch.tensor([0, 1, 0, 1, 0, 1])
    return ImageSet(pixels, labels, tuple(f"image {row}" for row in range(6)), ("even", "odd"), "made")


def test_three_images_span_a_plane_with_their_names_on_its_axes(cost: Cost) -> None:
    images = image_set()
    reference = truths.classifier(truths.NearestCentre(images.pixels[:3]), SHAPE)
    cut = resolve_plane(reference, images, (0, 1, 2), plane="images", u="", v="")
    assert (cut.plane.x_label, cut.plane.y_label) == ("towards odd", "on the side of even")
    at = cut.plane.to_plane(images.pixels[:3]).numpy()
    x_min, x_max, y_min, y_max = cut.home
    assert x_max - x_min == pytest.approx(1.5 * np.ptp(at, axis=0).max())
    assert (at > [x_min, y_min]).all()
    assert (at < [x_max, y_max]).all()
    edges = (images.pixels[1:3] - images.pixels[0]).double().flatten(1)
    cosine = float(edges[0] @ edges[1] / edges[0].norm() / edges[1].norm())
    assert cut.angle == pytest.approx(np.degrees(np.arccos(cosine)))
    assert cost.forwards == cost.gradients == 0


@pytest.mark.parametrize("bias", [0.3, -0.2])
def test_the_square_at_an_image_is_three_times_as_wide_as_its_boundary_is_far(bias: float, cost: Cost) -> None:
    images = image_set()
    w = truths.unit(SHAPE, seed=3).float()
    offset = -float((w * images.pixels[0]).sum()) + bias
    module = truths.Affine(torch.stack([w.flatten(), -w.flatten()]) / 2, torch.tensor([offset, -offset]) / 2)
    cut = resolve_plane(truths.classifier(module, SHAPE), images, (0,), plane="directions", u="gradient", v="random:0")
    assert cut.home == pytest.approx((-1.5 * abs(bias), 1.5 * abs(bias)) * 2, rel=1e-3)
    assert cost.gradients == 1


def test_fewer_than_three_images_span_no_plane() -> None:
    images = image_set()
    reference = truths.classifier(truths.NearestCentre(images.pixels[:3]), SHAPE)
    with pytest.raises(ImageError, match="expected three images for a plane through images, got 2"):
        resolve_plane(reference, images, (0, 1), plane="images", u="", v="")


def test_slice_and_profile_of_a_recipe_lie_in_one_plane() -> None:
    images = image_set()
    reference = truths.classifier(truths.NearestCentre(images.pixels[:3]), SHAPE)
    cut = ask("slice", reference, images, rows=(0, 1, 2), reference=reference, resolution=65, method="full")
    profile = ask("profile", reference, images, rows=(0, 1, 2), reference=reference, rays=36)
    ends = np.stack([np.cos(profile.angle), np.sin(profile.angle)], 1) * profile.distance[:, None]
    lines = np.concatenate([line for lines in cut.boundary_lines().values() for line in lines])
    x_min, x_max, y_min, y_max = cut.extent
    seen = ends[(ends[:, 0] > x_min) & (ends[:, 0] < x_max) & (ends[:, 1] > y_min) & (ends[:, 1] < y_max)]
    assert len(seen) > 5
    gaps = np.linalg.norm(seen[:, None] - lines, axis=-1).min(1)
    assert gaps.max() < cut.step
    assert cut.home == cut.extent


def test_images_that_directions_lead_to_are_named_also_on_the_way() -> None:
    images = image_set()
    reference = truths.classifier(truths.NearestCentre(images.pixels[:3]), SHAPE)
    pictures: list[Slice] = []

    def listen(fraction: float, partial: Result | None = None) -> None:
        if isinstance(partial, Slice):
            pictures.append(partial)

    chosen: dict[str, Any] = {"rows": (0,), "reference": reference, "plane": "directions", "resolution": 64}
    result = ask("slice", reference, images, u="image:4", v="image:2", on_progress=listen, **chosen)
    assert pictures
    for slice in (*pictures, result):
        assert slice.targets == (4, 2)
        assert slice.home == result.home
        np.testing.assert_allclose(slice.plane.residual(images.pixels[[4, 2]]), 0, atol=1e-6)
    assert pictures[0].forwards < result.forwards
    assert ask("slice", reference, images, u="image:4", v="random:1", **chosen).targets == (4,)
    assert ask("slice", reference, images, u="dct:0,1", v="random:1", **chosen).targets == ()
    assert Result.from_bytes(result.to_bytes()).targets == (4, 2)


def test_a_plane_at_an_image_is_found_once_and_costs_the_same_in_every_result(cost: Cost) -> None:
    images = image_set()
    reference = truths.classifier(truths.NearestCentre(images.pixels[:3]), SHAPE)
    first = resolve_plane(reference, images, (4,), plane="directions", u="gradient", v="random:3")
    spent = cost.forwards, cost.gradients
    again = resolve_plane(reference, images, (4,), plane="directions", u="gradient", v="random:3")
    assert (cost.forwards, cost.gradients) == (2 * spent[0], 2 * spent[1])
    other = resolve_plane(reference, images, (4,), plane="directions", u="gradient", v="random:4")
    assert again is first  # but charged again: exported numbers do not depend on what was asked before
    assert other is not first
    assert spent[0] > 0


def test_a_question_is_asked_at_the_first_image_or_at_a_point_of_its_plane() -> None:
    images = image_set()
    reference = truths.classifier(truths.NearestCentre(images.pixels[:3]), SHAPE)
    first = resolve_image(reference, images, (2, 1, 0))
    torch.testing.assert_close(first.image, images.pixels[2])
    assert first.words == "even"
    corner = resolve_plane(reference, images, (2, 1, 0), plane="images", u="", v="").plane.to_plane(images.pixels[1:2])[
        0
    ]
    there = resolve_image(reference, images, (2, 1, 0), plane="images", at=corner.tolist())
    torch.testing.assert_close(there.image, images.pixels[1])
    assert there.words.startswith("point ")


def test_a_plane_of_a_corruption_holds_its_path_and_shows_all_of_it() -> None:
    """Brightness moves along one line, inside the plane; noise that is cut at 0 and 1 leaves it."""
    images = image_set()
    reference = truths.classifier(truths.NearestCentre(images.pixels[:3]), SHAPE)
    asked: dict[str, Any] = {"rows": (0,), "reference": reference, "plane": "directions", "resolution": 8}
    dark = ImageSet(images.pixels / 4, images.labels, images.names, images.class_names, "made")
    found = ask("slice", reference, dark, u="corruption:brightness", v="corruption:gaussian_noise", **asked)
    assert found.path_names == ("brightness", "gaussian_noise")
    assert found.paths is not None
    straight, leaving = found.paths
    np.testing.assert_allclose(straight[:, 0], np.linspace(0, 0.5, 6) * 8, atol=1e-5)  # 0.1 more at each of 64 pixels
    np.testing.assert_allclose(straight[:, 1:], 0, atol=1e-5)
    corrupted = corrupt(dark.pixels[:1], "gaussian_noise", 4.0)
    np.testing.assert_allclose(leaving[4, :2], found.plane.to_plane(corrupted)[0], atol=1e-5)
    assert leaving[4, 2] == pytest.approx(float(found.plane.residual(corrupted)), abs=1e-5)
    assert leaving[5, 2] > 0.1
    assert leaving[3, 2] < 1e-5  # severity 3 spans the plane
    assert found.home is not None
    for path in found.paths:
        assert (path[:, 0] > found.home[0]).all()
        assert (path[:, 0] < found.home[1]).all()
        assert (path[:, 1] > found.home[2]).all()
        assert (path[:, 1] < found.home[3]).all()
    again = Slice.from_bytes(found.to_bytes())
    np.testing.assert_array_equal(again.paths, found.paths)
    plain = ask("slice", reference, dark, u="gradient", v="random:0", **asked)
    assert plain.paths is None
    assert plain.path_names == ()


def test_a_plane_of_walks_holds_their_paths_and_the_square_holds_these() -> None:
    images = image_set()
    module = truths.NearestCentre(images.pixels[:3])
    reference = truths.classifier(module, SHAPE)
    cut = resolve_plane(
        reference, images, (0,), plane="directions", u="walk:1,superlevel,20,10", v="walk:2,superlevel,20,10"
    )
    assert [name for name, _ in cut.walks] == ["walk:1,superlevel,20,10", "walk:2,superlevel,20,10"]
    x_min, x_max, y_min, y_max = cut.home
    for _, path in cut.walks:
        np.testing.assert_allclose(path[0], 0, atol=1e-6)
        assert path[-1, 2] == pytest.approx(0, abs=1e-5)  # the plane goes through the end
        assert (path[:, :2] > [x_min, y_min]).all()
        assert (path[:, :2] < [x_max, y_max]).all()
    assert cut.walks[0][1][-1, 1] == pytest.approx(0, abs=1e-9)
    settings: dict[str, Any] = {"plane": "directions", "u": "walk:1,superlevel,20,10", "v": "corruption:fog"}
    found = ask("slice", reference, images, rows=(0,), reference=reference, resolution=16, **settings)
    assert found.path_names == ("corruption:fog".removeprefix("corruption:"), "walk:1,superlevel,20,10")
    assert found.paths is not None
    np.testing.assert_allclose(found.paths[1, : len(cut.walks[0][1])][-1, :2], [cut.walks[0][1][-1, 0], 0], atol=1e-5)
    assert np.isfinite(found.paths[0, :6]).all()
    assert Result.from_bytes(found.to_bytes()).to_bytes() == found.to_bytes()
