"""From the words of a recipe to a slice: which plane, which square of it, then the cut.

A recipe names images by their rows and a plane by how it is spanned; here they become tensors. What is decided here is
decided once for all models of a recipe, by its first, so that they are cut along the same plane.
"""

from __future__ import annotations

from collections.abc import Sequence

from core.classifier import Classifier
from core.compute import OnProgress, silent
from core.geometry.planes import Extent, Plane
from core.geometry.slices import Method, Slice, slice_plane
from core.images import ImageSet


def plane_of(images: ImageSet, rows: Sequence[int]) -> tuple[Plane, Extent]:
    """The plane through three images of a set, and the square of it that is cut by default.

    Args:
        images: the whole set.
        rows: the three images; the first is the origin.

    Returns:
        The plane, and the square of 1.5 x the anchors' spread around them.

    Raises:
        ImageError: if the three images do not span a plane.
    """
    anchors = images[list(rows)]
    labels = [images.class_names[k] if k >= 0 else name for k, name in zip(anchors.labels, anchors.names, strict=True)]
    plane = Plane.through(*anchors.pixels, x_label=f"towards {labels[1]}", y_label=f"on the side of {labels[2]}")
    return plane, plane.square(plane.to_plane(anchors.pixels).numpy())


def prepare(
    classifier: Classifier,
    images: ImageSet,
    *,
    rows: Sequence[int],
    reference: Classifier,
    extent: Extent | None = None,
    resolution: int = 512,
    method: Method = "adaptive",
    on_progress: OnProgress = silent,
) -> Slice:
    """What the recipe `slice` computes.

    Args:
        classifier: the model to cut.
        images: the whole set.
        rows: the images that span the plane.
        reference: the recipe's first model.
        extent: see `slice_plane`; the plane's default square when None.
        resolution: see `slice_plane`.
        method: see `slice_plane`.
        on_progress: see `slice_plane`.

    Returns:
        The slice.

    Raises:
        ImageError: if the images do not span a plane, or are not of the classifier's shape.
    """
    plane, home = plane_of(images, rows)
    return slice_plane(classifier, plane, extent or home, resolution, method, on_progress=on_progress)
