"""Which second derivatives a classifier has, and the shape operators at its boundary points.

Smooth classifiers have exact ones. Between the kinks of a piecewise linear one they are 0, which says nothing about its
boundary: there the gradient is differenced over a length h, by default the length of a step of one of 255 grey levels
in every value.
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import numpy as np
import torch

from core.geometry.boundary.deepfool import BoundaryPoints
from core.geometry.hessian.kinks import is_piecewise_linear, kinks
from core.geometry.hessian.products import Backend, HessianProducts, choose_backend
from core.geometry.hessian.shape_operator import ShapeOperator
from core.models.classifier import Classifier
from core.runtime.batches import out_of_memory

Method = Literal["auto", "exact", "differences", "softplus"]

_MOST_VALUES = 1 << 26  # of bases held at once: 512 MiB


class Plan(NamedTuple):
    """How second derivatives of a classifier are to be computed."""

    method: str
    step: float | None
    backend: Backend | None  # None: to be chosen
    kinks: tuple[str, ...]


def grey_level(values: int) -> float:
    """The ℓ2 length of a step of one of 255 grey levels in each of so many values."""
    return math.sqrt(values) / 255


def plan_for(
    classifier: Classifier,
    found: BoundaryPoints,
    method: Method,
    scale: float | None,
    backend: Backend | Literal["auto"],
) -> Plan:
    """Find out whether a classifier has second derivatives, and how they are to be had.

    Args:
        classifier: the classifier.
        found: boundary points of it; two of them are tried.
        method: "exact", "differences", or "auto": differences where there are kinks.
        scale: h of differences in ℓ2 pixel; `grey_level` when None.
        backend: of exact ones, "auto" to have it chosen.

    Returns:
        The plan.

    Raises:
        ValueError: if it has none and they were asked for, or the scale is not a length.
        RuntimeError: if memory runs out.
    """
    if scale is not None and not 0 < scale < math.inf:
        raise ValueError(f"expected a scale of positive length, got {scale}")
    found_kinks = kinks(classifier)
    rows = found.found.nonzero()[0][:2]
    if not found_kinks and len(rows):
        probe = products_at(classifier, found, rows, "double backward")
        try:
            found_kinks = ("a piecewise linear operation",) if is_piecewise_linear(probe) else ()
        except RuntimeError as error:  # no exact second derivative at all: `choose_backend` finds that out too
            if out_of_memory(error):
                raise
            found_kinks = ()
    _refuse(found_kinks, method)
    if method == "differences" or found_kinks:
        step = scale if scale is not None else grey_level(math.prod(classifier.input_shape))
        return Plan("differences", step, "differences", found_kinks)
    return Plan("exact", None, None if backend == "auto" else backend, found_kinks)


def require_smooth(classifier: Classifier, method: Method) -> None:
    """Refuse what can be refused before anything is searched for: exact curvatures of a network whose kinks show.

    Raises:
        ValueError: if the method needs second derivatives, which the network does not have.
    """
    if method == "exact":
        _refuse(kinks(classifier), method)


def _refuse(names: tuple[str, ...], method: Method) -> None:
    if method in ("exact", "softplus") and names:
        raise ValueError(
            f"expected a smooth network, got kinks ({', '.join(names)}), between which all curvatures are 0; measure it"
            " by differences or with softplus"
        )


def products_at(
    classifier: Classifier,
    found: BoundaryPoints,
    rows: np.ndarray,
    backend: Backend,
    *,
    step: float | None = None,
) -> HessianProducts:
    """The second derivative of the margin at some of these boundary points, between the two classes that meet there."""
    device = classifier.device
    classes = (torch.as_tensor(each[rows]).long().to(device) for each in (found.source_class, found.target_class))
    points = torch.as_tensor(found.points[rows]).to(device)
    return HessianProducts(classifier, points, *classes, backend=backend, step=step)


def operators_at(
    classifier: Classifier,
    found: BoundaryPoints,
    method: Literal["auto", "exact", "differences"],
    scale: float | None,
) -> tuple[list[ShapeOperator], float | None]:
    """The shape operators at all points that were found, in chunks, and the scale of differences if there is one.

    Args:
        classifier: the classifier.
        found: boundary points of it.
        method: as in `curvature_profile`.
        scale: as there.

    Returns:
        Operators of the rows found, in their order, and h or None.

    Raises:
        ValueError: if exact curvatures of a network of kinks are asked for.
    """
    plan = plan_for(classifier, found, method, scale, "auto")
    rows, values = found.found.nonzero()[0], math.prod(classifier.input_shape)
    size = max(1, min(classifier.batches().size, _MOST_VALUES // (64 * values)))
    operators, backend = [], plan.backend
    for start in range(0, len(rows), size):
        products = products_at(
            classifier, found, rows[start : start + size], backend or "double backward", step=plan.step
        )
        if backend is None:
            products.backend = backend = choose_backend(products)
        operators.append(ShapeOperator(products))
    return operators, plan.step
