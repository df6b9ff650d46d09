"""From the words of a recipe to a slice: which plane, which square of it, then the cut.

A recipe names images by their rows and a plane by how it is spanned; here they become tensors. What is decided here is
decided once for all models of a recipe, by its first, so that they are cut along the same plane.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from core.analyses.inputs import Inputs
from core.analyses.prepare.directions import parse_direction, partner, plane_of_directions
from core.errors import ImageError
from core.geometry.corruptions.corruptions import WORST, corrupt
from core.geometry.planes.boundary_profile import BoundaryProfile, boundary_profile
from core.geometry.planes.fragmentation import Fragmentation, fragmentation
from core.geometry.planes.planes import Extent, Plane
from core.geometry.planes.slices import Method, Slice, slice_plane
from core.images.image_set import ImageSet
from core.models.classifier import Classifier
from core.runtime.cost import CountedCache, counting
from core.runtime.progress import part_of

PlaneKind = Literal["images", "directions"]

_RAYS_HOME = 32  # enough to see how far the nearest boundary of the plane is
_ROOM = 1.15  # side of the default square over the spread of a severity path
_SPREAD = 1.5  # side of the default square over the anchors' spread, and its half over the nearest boundary's distance


class PlaneChoice(NamedTuple):
    """A plane, and the square of it that is cut by default."""

    plane: Plane
    home: Extent
    angle: float  # degrees between the two spanning directions, before they were made orthogonal
    walks: tuple[tuple[str, np.ndarray], ...] = ()  # texts of directions that are walks, (m, 3) x, y, distance off it


_recent: CountedCache[tuple[object, ...], PlaneChoice] = CountedCache(16)  # each zoom asks for the same plane again


def resolve_plane(
    reference: Classifier, images: ImageSet, rows: Sequence[int], *, plane: PlaneKind, u: str, v: str
) -> PlaneChoice:
    """The plane that a recipe names.

    Args:
        reference: the recipe's first model: gradients, and the default square at an image, are its own.
        images: the whole set.
        rows: chosen images; the first is the origin.
        plane: "images" for the plane through the first three, "directions" for one spanned at the first.
        u: text of the first direction, see `core.analyses.prepare.directions`; not used for three images.
        v: text of the second direction.

    Returns:
        The plane with its default square: 1.5 x the anchors' spread; at an image, 3 x as wide as its nearest boundary
        in the plane is far, or as half the diagonal of the pixel box where there is none within that; where a
        direction leads to a corruption, wide enough for its whole path too; where one is a walk, as wide as these.

    Raises:
        ImageError: if there are fewer images than needed, or they or the directions do not span a plane.
        ValueError: if a text names no direction.
    """
    if plane == "directions":
        whole = reference.fingerprint, images.digest, tuple(images.labels.tolist()), images.words, rows[0], u, v
        key = whole if reference.fingerprint else None
        found = _recent.get(key)
        if found is None:
            with counting() as cost:
                found = _at_image(reference, images, rows[0], u, v)
            _recent.put(key, found, cost)
        return found
    if len(rows) < 3:
        raise ImageError(f"expected three images for a plane through images, got {len(rows)}; choose the others")
    anchors = images[list(rows[:3])]
    _, across, up = anchors.words
    through = Plane.through(*anchors.pixels, x_label=f"towards {across}", y_label=f"on the side of {up}")
    at = through.to_plane(anchors.pixels).numpy()
    x, y = at[2] / np.linalg.norm(at[2])
    return PlaneChoice(through, through.square(at, _SPREAD), float(np.degrees(np.arctan2(y, x))))


class StartImage(NamedTuple):
    """The image that an analysis starts from, and its label in a figure."""

    image: Tensor  # float32 (c, h, w); a point of a plane may leave [0, 1]
    words: str
    picked: bool  # a point of a plane, not an image of the set
    plane: Callable[[], PlaneChoice]  # the plane it was picked on; else the one along both directions at the image


def resolve_image(
    reference: Classifier,
    images: ImageSet,
    rows: Sequence[int],
    *,
    plane: PlaneKind = "images",
    u: str = "gradient",
    v: str = "random:0",
    at: Sequence[float] | None = None,
) -> StartImage:
    """The image that a recipe asks about: the first chosen one, or the one at a point of a plane.

    Args:
        reference: see `resolve_plane`.
        images: see `resolve_plane`.
        rows: see `resolve_plane`.
        plane: see `resolve_plane`.
        u: see `resolve_plane`.
        v: see `resolve_plane`.
        at: x and y in the plane; None for the first image itself.

    Returns:
        The image, which off the plane's anchors may leave [0, 1].

    Raises:
        ImageError: as `resolve_plane`.
    """

    def laid(kind: PlaneKind) -> PlaneChoice:
        return resolve_plane(reference, images, rows, plane=kind, u=u, v=v)

    if at is None:
        return StartImage(images.pixels[rows[0]], images.words[rows[0]], False, lambda: laid("directions"))
    choice = laid(plane)
    image = choice.plane.to_pixels(np.array([at], dtype=float))[0].to(images.pixels.dtype)
    words = f"point {at[0]:.2f}, {at[1]:.2f}"
    return StartImage(image, words, True, lambda: choice)


def _at_image(reference: Classifier, images: ImageSet, row: int, u: str, v: str) -> PlaneChoice:
    found = plane_of_directions(reference, images, row, u, v)
    if found.walks:
        walks = tuple((text, _seen_from(found.plane, way)) for text, way in found.walks)
        leads = images.pixels[list(_targets(images, row, u, v))]
        spread = [walk[:, :2] for _, walk in walks] + [found.plane.to_plane(leads).numpy()]
        home = found.plane.square(np.concatenate(spread), _SPREAD)
        return PlaneChoice(found.plane, home, found.angle, walks)
    near = boundary_profile(reference, found.plane, _RAYS_HOME, reach=_reach(images))
    half = _SPREAD * near.smallest if near.found.any() else _reach(images) / 2
    home = -half, half, -half, half
    names = _corruptions(u, v)
    if names:
        path = severity_paths(found.plane, images.pixels[row], names)[..., :2].reshape(-1, 2)
        home = found.plane.square(np.concatenate([path, [[-half, -half], [half, half]]]), _ROOM)
    return PlaneChoice(found.plane, home, found.angle)


def _reach(images: ImageSet) -> float:
    """How far boundaries are looked for: half the diagonal of the pixel box, sqrt(c h w) / 2.

    Not to the box's own edge: where pixels are black or white, that is at the image itself.
    """
    return math.sqrt(images.pixels[0].numel()) / 2


def slice_image_plane(
    inputs: Inputs,
    *,
    plane: PlaneKind,
    u: str,
    v: str,
    extent: Extent | None,
    resolution: int,
    method: Method,
) -> Slice:
    """The slice along the plane that a recipe names, its default square where `extent` is None."""
    images, rows = inputs.images, inputs.rows
    cut = resolve_plane(inputs.reference, images, rows, plane=plane, u=u, v=v)
    targets = _targets(images, rows[0], u, v) if plane == "directions" else ()
    names = _corruptions(u, v) if plane == "directions" else ()
    drawn = [*severity_paths(cut.plane, images.pixels[rows[0]], names)] if names else []
    drawn += [walk for _, walk in cut.walks]
    names += tuple(text for text, _ in cut.walks)

    def placed(result: Slice) -> Slice:
        return replace(
            result,
            angle=cut.angle,
            home=cut.home,
            targets=targets,
            paths=_stacked(drawn) if drawn else None,
            path_names=names,
        )

    square, report = extent or cut.home, part_of(inputs.on_progress, 0.0, 1.0, placed)
    return placed(slice_plane(inputs.classifier, cut.plane, square, resolution, method, on_progress=report))


def _targets(images: ImageSet, row: int, *directions: str) -> tuple[int, ...]:
    """Rows of the images that directions at an image lead to: these lie on the plane too."""
    found = []
    for spec in map(parse_direction, directions):
        if spec.kind in ("image", "pair"):
            found.append(partner(images, row) if spec.kind == "pair" else spec.arguments[0])
    return tuple(dict.fromkeys(found))


def _corruptions(*directions: str) -> tuple[str, ...]:
    """Names of the corruptions that directions lead to."""
    specs = map(parse_direction, directions)
    return tuple(dict.fromkeys(spec.word for spec in specs if spec.kind == "corruption"))


def severity_paths(plane: Plane, image: Tensor, names: Sequence[str]) -> np.ndarray:
    """Where an image goes as corruptions grow: seldom along a straight line, and seldom inside a plane.

    Args:
        plane: the plane to look at it in.
        image: values in [0, 1], (c, h, w).
        names: of corruptions.

    Returns:
        (corruptions, severities 0 to 5, 3): x and y of the foot in the plane, and the distance from the plane.
    """
    levels = range(int(WORST) + 1)
    walked = torch.cat([corrupt(image[None], name, float(level)) for name in names for level in levels])
    return _seen_from(plane, walked).reshape(len(names), len(levels), 3)


def _seen_from(plane: Plane, walked: Tensor) -> np.ndarray:
    """(n, 3) x and y of the foot of each image in the plane, and its distance from it."""
    places: np.ndarray = torch.cat([plane.to_plane(walked), plane.residual(walked)[:, None]], 1).numpy()
    return places


def _stacked(paths: Sequence[np.ndarray]) -> np.ndarray:
    """(paths, points, 3) paths of different lengths, NaN behind the end of shorter ones."""
    stacked = np.full((len(paths), max(map(len, paths)), 3), np.nan)
    for place, path in enumerate(paths):
        stacked[place, : len(path)] = path
    return stacked


def profile_in_plane(
    inputs: Inputs, *, plane: PlaneKind, u: str, v: str, at: Sequence[float], rays: int
) -> BoundaryProfile:
    """The profile around a point of the plane that the slice shows, as far as half the diagonal of the pixel box."""
    images = inputs.images
    found = resolve_plane(inputs.reference, images, inputs.rows, plane=plane, u=u, v=v)
    return boundary_profile(
        inputs.classifier,
        found.plane,
        rays,
        at=(float(at[0]), float(at[1])),
        reach=_reach(images),
        on_progress=inputs.on_progress,
    )


def fragmentation_of_set(inputs: Inputs, *, finer: str, **settings: Any) -> Fragmentation:
    """The regions on random planes through images of the whole set."""
    return fragmentation(
        inputs.classifier, inputs.images, finer=finer == "yes", on_progress=inputs.on_progress, **settings
    )
