"""What an analysis costs: forward and backward passes, in images, and seconds, counted in one place.

Code that runs a network calls `count_passes`. An analysis is decorated with `counted` and puts its cost into its result
with `**spent()`; the cost also counts for the analysis that calls it. Each thread counts separately.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import wraps
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")
_local = threading.local()


@dataclass
class Cost:
    """The passes through classifiers since `begin`."""

    begin: float = field(default_factory=time.perf_counter)  # clock, in seconds
    forwards: int = 0  # images
    gradients: int = 0  # images
    products: int = 0  # of a second derivative with a direction

    def so_far(self, *, products: bool = False) -> dict[str, Any]:
        """The cost fields of a `Result`; with `products` where the result has that field."""
        fields = {"forwards": self.forwards, "gradients": self.gradients, "seconds": time.perf_counter() - self.begin}
        return fields | ({"products": self.products} if products else {})


def count_passes(*, forwards: int = 0, gradients: int = 0, products: int = 0) -> None:
    """Add to the cost of the analysis that runs in this thread, if there is one.

    Args:
        forwards: images of forward passes.
        gradients: images of backward passes.
        products: products of a second derivative with a direction.
    """
    if costs := _costs():
        costs[-1].forwards += forwards
        costs[-1].gradients += gradients
        costs[-1].products += products


@contextmanager
def counting() -> Iterator[Cost]:
    """Count the passes of the block separately; they are not added to the surrounding count."""
    costs = _costs()
    costs.append(Cost())
    try:
        yield costs[-1]
    finally:
        costs.pop()


def counted(analysis: Callable[P, R]) -> Callable[P, R]:
    """Decorate an analysis: its cost is counted from zero, and added to its caller's.

    Args:
        analysis: a function.

    Returns:
        The same function; `count_passes` and `spent` inside it refer to this call.
    """

    @wraps(analysis)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        with counting() as cost:
            result = analysis(*args, **kwargs)
        charge(cost)
        return result

    return run


def spent(*, products: bool = False) -> dict[str, Any]:
    """The cost fields of a `Result`: what the innermost `counted` analysis in this thread has cost so far.

    Args:
        products: whether the result has that field.
    """
    return _costs()[-1].so_far(products=products)


def charge(cost: Cost) -> None:
    """Add a cost that was counted before, such as that of a cached value, which then costs the same each time.

    Args:
        cost: the passes to add.
    """
    count_passes(forwards=cost.forwards, gradients=cost.gradients, products=cost.products)


def _costs() -> list[Cost]:
    """The costs of the analyses that run in this thread, the innermost last."""
    costs: list[Cost] = _local.__dict__.setdefault("costs", [])
    return costs
