"""From the words of a recipe to one image's sparse perturbation: which image, then the search.

The image is the first chosen one, or the point of a plane where a slice was picked, put back into the pixel box.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np

from core.analyses.prepare.plane import PlaneKind, start_of
from core.geometry.sparse.box_solver import SparseOrder
from core.geometry.sparse.pixel_profile import PixelProfile, pixel_profile
from core.geometry.sparse.sparse_perturbation import Method, SparsePerturbation, sparse_perturbation
from core.geometry.sparse.sparsefool import TargetRule
from core.geometry.sparse.support_statistics import unit_of
from core.images.image_set import ImageSet
from core.models.classifier import Classifier
from core.result import quantity
from core.runtime.progress import OnProgress, silent


@dataclass(frozen=True, kw_only=True, eq=False)
class SparseCard(SparsePerturbation):
    """A sparse perturbation with the image it belongs to."""

    image: np.ndarray = quantity("pixel", "n c h w")
    words: str = quantity("")  # how a figure calls the image


def prepare(
    classifier: Classifier,
    images: ImageSet,
    *,
    rows: Sequence[int],
    reference: Classifier | None = None,
    plane: PlaneKind = "images",
    u: str = "gradient",
    v: str = "random:0",
    at: Sequence[float] | None = None,
    method: Method = "sparsefool",
    order: SparseOrder = "pixel",
    target_rule: TargetRule = "l2",
    lambdas: Sequence[float] = (1.5, 3.0),
    bound: float = 1.0,
    reverse: str = "yes",
    seed: int = 0,
    on_progress: OnProgress = silent,
) -> SparseCard:
    """Find the sparse perturbation that a recipe names.

    Args:
        classifier: what is perturbed.
        images: the whole set.
        rows: the chosen images; the first is perturbed unless `at` says otherwise.
        reference: the recipe's first model, which lays the plane; the classifier itself when not given.
        plane: see `core.analyses.prepare.plane.start_of`.
        u: see there.
        v: see there.
        at: see there.
        method: see `core.geometry.sparse.sparse_perturbation.sparse_perturbation`.
        order: see there.
        target_rule: see there.
        lambdas: see there.
        bound: see there.
        reverse: "yes" or "no".
        seed: see there.
        on_progress: told the fraction done.

    Returns:
        The perturbation with its image, which is clipped to [0, 1] where the plane leaves it.

    Raises:
        ValueError: what those functions raise.
    """
    start = start_of(reference or classifier, images, rows, plane=plane, u=u, v=v, at=at)
    image = start.image.clamp(0, 1)
    found = sparse_perturbation(
        classifier,
        image[None],
        method=method,
        order=order,
        unit=unit_of(order),
        target_rule=target_rule,
        lambdas=tuple(lambdas),
        bound=bound,
        reverse=reverse == "yes",
        seed=seed,
        on_progress=on_progress,
    )
    kept = {entry.name: getattr(found, entry.name) for entry in fields(found)}
    kept["forwards"] += start.forwards
    kept["gradients"] += start.gradients
    return SparseCard(**kept, image=image[None].cpu().numpy(), words=start.words)


def prepare_pixel(
    classifier: Classifier,
    images: ImageSet,
    *,
    rows: Sequence[int],
    reference: Classifier | None = None,
    plane: PlaneKind = "images",
    u: str = "gradient",
    v: str = "random:0",
    at: Sequence[float] | None = None,
    row: int = 0,
    column: int = 0,
    resolution: int = 64,
    on_progress: OnProgress = silent,
) -> PixelProfile:
    """Vary one pixel of the image that a recipe names.

    Args:
        classifier: what is asked.
        images: the whole set.
        rows: the chosen images.
        reference: see `prepare`.
        plane: see `core.analyses.prepare.plane.start_of`.
        u: see there.
        v: see there.
        at: see there.
        row: of the pixel, 0 on top.
        column: of the pixel, 0 on the left.
        resolution: values from 0 to 1.
        on_progress: told when it begins.

    Returns:
        The one-pixel decision profile.

    Raises:
        ValueError: what those functions raise.
    """
    start = start_of(reference or classifier, images, rows, plane=plane, u=u, v=v, at=at)
    on_progress(0.0)
    found = pixel_profile(classifier, start.image.clamp(0, 1), row, column, resolution=resolution)
    return replace(found, forwards=found.forwards + start.forwards, gradients=found.gradients + start.gradients)
