"""Kinks of a network: operations whose first derivative jumps; and networks that are linear between kinks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from core.geometry.hessian.products import HessianProducts
from core.models.classifier import Classifier

_KINKED = {  # operations of torch whose first derivative jumps
    *("relu", "relu_", "leaky_relu", "prelu", "_prelu_kernel", "rrelu", "threshold", "hardtanh", "hardsigmoid"),
    *("hardswish", "hardshrink", "softshrink", "abs", "amax", "amin", "maximum", "minimum", "sort", "topk"),
    *("max_pool2d_with_indices", "max_pool3d_with_indices", "adaptive_max_pool2d", "mkldnn_max_pool2d"),
}
_PROBES = (0.1, 1.0, 10.0)  # ℓ2 pixel: distances at which a locally constant gradient is compared with that at a point


class _Operations(TorchDispatchMode):
    """Records the torch operations that run."""

    def __init__(self) -> None:
        TorchDispatchMode.__init__(self)
        self.seen: set[str] = set()

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Answer here: torch would import its compiler, which takes two seconds, to exclude this class from it."""
        return False

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Record an operation and run it."""
        name = func.overloadpacket.__name__
        self.seen.add("max" if name == "max" and len(args) > 1 else name)
        return func(*args, **(kwargs or {}))


def kinks(classifier: Classifier) -> tuple[str, ...]:
    """The operations of a classifier whose first derivative jumps, such as `relu`; none in a smooth one."""
    grey = torch.full((1, *classifier.input_shape), 0.5, device=classifier.device, dtype=classifier.dtype)
    with torch.no_grad(), _Operations() as operations:
        classifier(grey)
    return tuple(sorted(operations.seen & (_KINKED | {"max"})))


def is_piecewise_linear(products: HessianProducts, seed: int = 0) -> bool:
    """Whether exact products vanish although the gradient changes nearby: a model with kinks in unusual operations.

    The gradient of an affine model is constant, and 0 is its true second derivative.
    """
    generator = torch.Generator().manual_seed(seed)
    rows, values = products.shape
    directions = torch.randn((rows, 1, values), generator=generator, dtype=torch.float64)
    directions = (directions / directions.norm(dim=2, keepdim=True)).to(products.points)
    if bool((products(directions) != 0).any()):
        return False
    here = products.gradient()
    nearby = (products.gradient(products.points + step * directions.view_as(products.points)) for step in _PROBES)
    return any(bool(((there - here).norm(dim=1) > 1e-4 * here.norm(dim=1)).any()) for there in nearby)
