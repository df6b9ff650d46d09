"""Rows of images to follow on a map: along a line, across a slice, through a corruption, an attack or a walk."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from core.analyses.prepare.plane import PlaneKind, resolve_plane
from core.geometry.boundary.signed_margin import SignedMargin, dual_vector
from core.geometry.corruptions.corruptions import WORST, corrupt
from core.geometry.level_sets.step import Mode
from core.geometry.level_sets.traverse import traverse
from core.geometry.planes.planes import Extent
from core.images.image_set import ImageSet
from core.models.classifier import Classifier
from core.runtime.batches import engine_mode

PathKind = Literal["line", "slice", "corruption", "attack", "walk"]


class MapRows(NamedTuple):
    """Rows of images with their names."""

    paths: tuple[Tensor, ...]  # each (steps, c, h, w)
    names: tuple[str, ...]


def map_rows(
    classifier: Classifier,
    reference: Classifier,
    images: ImageSet,
    rows: Sequence[int],
    kind: PathKind,
    *,
    steps: int = 20,
    corruption: str = "gaussian_blur",
    length: float = 2.0,
    plane: PlaneKind = "images",
    u: str = "gradient",
    v: str = "random:0",
    extent: Extent | None = None,
    walk: tuple[Mode, float, int] = ("superlevel", 0.05, 100),
) -> MapRows:
    """Make the rows of images.

    Args:
        classifier: the model that is attacked, or whose level sets are walked on.
        reference: see `core.analyses.prepare.plane.resolve_plane`; only for slices.
        images: the whole set.
        rows: chosen images: paths start at the first; lines and walks lead to the second.
        kind: "line" straight from the first to the second image; "slice" a net of `steps` x `steps` places of the
            plane, its lines as paths; "corruption" the first image from severity 0 to 5; "attack" gradient steps that
            lower the margin of the first image's class; "walk" towards the second image on a level set of the class.
        steps: images along each path; walks keep their own.
        corruption: name of the corruption.
        length: of the whole attack, in ℓ2 pixel.
        plane: see `core.analyses.prepare.plane.resolve_plane`.
        u: see there.
        v: see there.
        extent: the square of the plane; its default when None.
        walk: mode, delta in confidence and largest number of steps, see `core.geometry.level_sets.traverse.traverse`.

    Returns:
        The images; those of slices and attacks may leave [0, 1].
    """
    first = images.pixels[rows[0]]
    start = f"image {rows[0]}"
    match kind:
        case "line":
            last = images.pixels[rows[1]]
            part = torch.linspace(0, 1, steps).view(-1, 1, 1, 1)
            return MapRows((first + part * (last - first),), (f"straight line, {start} to image {rows[1]}",))
        case "slice":
            cut = resolve_plane(reference, images, rows, plane=plane, u=u, v=v)
            x_min, x_max, y_min, y_max = extent or cut.home
            x, y = torch.linspace(x_min, x_max, steps), torch.linspace(y_min, y_max, steps)
            places = torch.stack(torch.meshgrid(x, y, indexing="xy"), 2).view(-1, 2).double()
            net = cut.plane.to_pixels(places).to(first.dtype).view(steps, steps, *first.shape)
            lines = (*net.unbind(0), *net.unbind(1))
            return MapRows(lines, ("lines of the slice",) * len(lines))
        case "corruption":
            levels = torch.linspace(0, WORST, steps).tolist()
            path = torch.cat([corrupt(first[None], corruption, level) for level in levels])
            return MapRows((path,), (f"{corruption.replace('_', ' ')}, severity 0 to {WORST:g}, {start}",))
        case "attack":
            return _attack(classifier, first, steps, length, start)
    mode, delta, most = walk
    found = traverse(classifier, first[None], images.pixels[rows[1]][None], mode, delta, most, keep=1)
    path = torch.from_numpy(found.snapshots[0]).to(first.dtype)
    path = path[torch.isfinite(path.flatten(1)).all(1)]
    name = f"level set walk, {start} towards image {rows[1]}"
    return MapRows((path,), (name,))


def _attack(classifier: Classifier, image: Tensor, steps: int, length: float, start: str) -> MapRows:
    """Steps of equal length down the margin of the image's class."""
    margin = SignedMargin(classifier)
    with engine_mode(classifier.device):
        at = classifier.accept(image[None]).to(margin.dtype)
        source = margin.logits(at).argmax(1)
        path = [at]
        for _ in range(steps - 1):
            _, gradient, _ = margin.slope(at, source)
            at = at - length / (steps - 1) * dual_vector(gradient, 2)
            path.append(at)
    found = torch.cat(path).to(image.dtype).cpu()
    return MapRows((found,), (f"attack of ℓ2 length {length:g}, {start}",))
