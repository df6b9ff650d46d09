"""Second derivatives of a classifier, exact or by differences, and the shape operators at its boundary points.

Smooth classifiers have exact second derivatives. Those of a piecewise linear one are 0 between its kinks, which says
nothing about its boundary: there the gradient is differenced over a length h, by default that of a step by one of 255
grey levels in every value.
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

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
    step: float | None  # h of differences in ℓ2 pixel
    backend: Backend | None  # None: to be chosen
    kinks: tuple[str, ...]

    @property
    def scale(self) -> float:
        """The length h of differences in ℓ2 pixel, NaN where second derivatives are exact."""
        return math.nan if self.step is None else self.step

    def products(
        self,
        classifier: Classifier,
        points: Float[Tensor, "n c h w"],
        source: Int[Tensor, " n"],
        target: Int[Tensor, " n"],
    ) -> HessianProducts:
        """The second derivative of the margin between two classes at each point, by the backend that is best for it."""
        found = HessianProducts(
            classifier, points, source, target, backend=self.backend or "double backward", step=self.step
        )
        if self.backend is None:
            found.backend = choose_backend(found)
        return found


def grey_level(values: int) -> float:
    """The ℓ2 length of a step by one of 255 grey levels in each of `values` values.

    >>> round(grey_level(3 * 32 * 32), 4)
    0.2174
    """
    return math.sqrt(values) / 255


def plan_for(
    classifier: Classifier,
    found: BoundaryPoints,
    method: Method,
    scale: float | None,
    backend: Backend | Literal["auto"],
) -> Plan:
    """Choose how to compute second derivatives of this classifier.

    Args:
        classifier: the classifier.
        found: its boundary points; two of them are probed.
        method: "exact", "differences", or "auto": differences where there are kinks.
        scale: h of differences in ℓ2 pixel; `grey_level` when None.
        backend: of exact ones; "auto" leaves it open.

    Returns:
        The plan.

    Raises:
        ValueError: if exact ones are asked for of a network with kinks, or the scale is not a positive length.
        RuntimeError: if memory runs out.
    """
    if scale is not None and not 0 < scale < math.inf:
        raise ValueError(f"expected a scale of positive length, got {scale}")
    found_kinks = kinks(classifier)
    rows = found.found.nonzero()[0][:2]
    if not found_kinks and len(rows):
        probe = products_at(classifier, found, rows, Plan("exact", None, "double backward", ()))
        try:
            found_kinks = ("a piecewise linear operation",) if is_piecewise_linear(probe) else ()
        except RuntimeError as error:  # no exact second derivative at all, as `choose_backend` will find, too
            if out_of_memory(error):
                raise
    _refuse(found_kinks, method)
    if method == "differences" or found_kinks:
        step = scale if scale is not None else grey_level(math.prod(classifier.input_shape))
        return Plan("differences", step, "differences", found_kinks)
    return Plan("exact", None, None if backend == "auto" else backend, found_kinks)


def require_smooth(classifier: Classifier, method: Method) -> None:
    """Refuse exact curvatures of a network with known kinks, before anything is computed.

    Raises:
        ValueError: if the method needs second derivatives that the network does not have.
    """
    if method == "exact":
        _refuse(kinks(classifier), method)


def _refuse(names: tuple[str, ...], method: Method) -> None:
    if method in ("exact", "softplus") and names:
        raise ValueError(
            f"expected a smooth network, got kinks ({', '.join(names)}), between which all curvatures are 0; measure it"
            " by differences or with softplus"
        )


def products_at(classifier: Classifier, found: BoundaryPoints, rows: np.ndarray, plan: Plan) -> HessianProducts:
    """The second derivative of the margin at some of these boundary points, between the two classes that meet there."""
    source, target = (torch.as_tensor(each[rows]).long() for each in (found.source_class, found.target_class))
    points, device = torch.as_tensor(found.points[rows]), classifier.device
    return plan.products(classifier, points.to(device), source.to(device), target.to(device))


def operators_at(
    classifier: Classifier,
    found: BoundaryPoints,
    method: Literal["auto", "exact", "differences"],
    scale: float | None,
) -> tuple[list[tuple[np.ndarray, ShapeOperator]], float]:
    """The shape operators at all boundary points that were found, in chunks.

    Args:
        classifier: the classifier.
        found: its boundary points.
        method: as in `curvature_profile`.
        scale: as there.

    Returns:
        Rows of `found` with their operators; and h of differences in ℓ2 pixel, NaN where second derivatives are exact.

    Raises:
        ValueError: if exact curvatures of a network with kinks are asked for.
    """
    plan = plan_for(classifier, found, method, scale, "auto")
    rows, values = found.found.nonzero()[0], math.prod(classifier.input_shape)
    size = max(1, min(classifier.batches().size, _MOST_VALUES // (64 * values)))
    operators = []
    for start in range(0, len(rows), size):
        some = rows[start : start + size]
        products = products_at(classifier, found, some, plan)
        plan = plan._replace(backend=products.backend)  # chosen once
        operators.append((some, ShapeOperator(products)))
    return operators, plan.scale
