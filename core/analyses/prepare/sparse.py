"""Sparse perturbations of one image, clipped to the pixel box, and of many images of a set."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from core.analyses.inputs import Inputs
from core.geometry.common.sampling import correct_rows
from core.geometry.sparse.at_image import SparseAtImage
from core.geometry.sparse.benchmark import QueryBudgetCurve, query_budget_curve
from core.geometry.sparse.box_solver import SparseOrder
from core.geometry.sparse.pixel_profile import PixelProfile, pixel_profile
from core.geometry.sparse.sparse_perturbation import sparse_perturbation
from core.geometry.sparse.support_statistics import SupportStatistics, support_statistics, unit_of
from core.geometry.sparse.transfer import Transfer, transfer
from core.models.classifier import Classifier


def sparse(inputs: Inputs, *, order: SparseOrder, prune: str, **settings: Any) -> SparseAtImage:
    """The sparse perturbation of the start, clipped to the pixel box."""
    start = inputs.start
    image = start.image.clamp(0, 1)
    found = sparse_perturbation(
        inputs.classifier,
        image[None],
        order=order,
        unit=unit_of(order),
        prune=prune == "yes",
        on_progress=inputs.on_progress,
        **settings,
    )
    return SparseAtImage.extended(found, image=image[None].cpu().numpy(), words=start.words)


def pixel(inputs: Inputs, *, row: int, column: int, resolution: int) -> PixelProfile:
    """The decision profile of one pixel of the start, clipped to the pixel box."""
    inputs.on_progress(0.0)
    return pixel_profile(inputs.classifier, inputs.start.image.clamp(0, 1), row, column, resolution=resolution)


def supports_of_set(inputs: Inputs, *, count: int, seed: int, **settings: Any) -> SupportStatistics:
    """The supports of images that the reference classifies correctly."""
    chosen = _survey([inputs.reference], inputs, count, seed)
    return support_statistics(inputs.classifier, chosen, seed=seed, on_progress=inputs.on_progress, **settings)


def benchmark_of_set(inputs: Inputs, *, count: int, seed: int, prune: str, **settings: Any) -> QueryBudgetCurve:
    """The methods compared on images that the reference classifies correctly."""
    chosen = _survey([inputs.reference], inputs, count, seed)
    return query_budget_curve(
        inputs.classifier, chosen, prune=prune == "yes", on_progress=inputs.on_progress, **settings
    )


def transfer_of_set(inputs: Inputs, *, count: int, seed: int, **settings: Any) -> Transfer:
    """The transfer of perturbations between models, on images that all of them classify correctly."""
    chosen = _survey(inputs.classifiers, inputs, count, seed)
    return transfer(inputs.classifiers, chosen, seed=seed, on_progress=inputs.on_progress, **settings)


def _survey(classifiers: Sequence[Classifier], inputs: Inputs, count: int, seed: int) -> Tensor:
    """Pixels of images that all of these models classify correctly, drawn evenly from the classes."""
    images = inputs.images
    return images.pixels[correct_rows(classifiers, images.pixels, images.labels.numpy(), count, seed)]
