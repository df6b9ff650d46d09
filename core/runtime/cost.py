"""What an analysis costs: images put forward and backward through a classifier, and seconds, counted in one place.

Whatever runs a network calls `count_passes`. An analysis is decorated with `counted` and puts its account into its
result with `**spent()`; the analysis that calls it is charged for it, too. Each thread counts for itself.
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
    """An account: what was put through classifiers since it was opened."""

    begin: float = field(default_factory=time.perf_counter)  # in seconds of the clock
    forwards: int = 0  # images
    gradients: int = 0  # images
    products: int = 0  # of a second derivative with a direction

    def so_far(self, *, products: bool = False) -> dict[str, Any]:
        """The fields of a `Result` that say what it cost; `products` too where the result has that field."""
        fields = {"forwards": self.forwards, "gradients": self.gradients, "seconds": time.perf_counter() - self.begin}
        return fields | ({"products": self.products} if products else {})


def count_passes(*, forwards: int = 0, gradients: int = 0, products: int = 0) -> None:
    """Add to the account of the analysis that runs in this thread, if one does.

    Args:
        forwards: images put forward.
        gradients: images put backward.
        products: of a second derivative with a direction.
    """
    if costs := _costs():
        costs[-1].forwards += forwards
        costs[-1].gradients += gradients
        costs[-1].products += products


@contextmanager
def counting() -> Iterator[Cost]:
    """Open an account for what runs inside; the one around it does not grow."""
    costs = _costs()
    costs.append(Cost())
    try:
        yield costs[-1]
    finally:
        costs.pop()


def counted(analysis: Callable[P, R]) -> Callable[P, R]:
    """Decorate an analysis: it begins with an empty account, and its caller is charged for it.

    Args:
        analysis: a function.

    Returns:
        The same function, inside of which `count_passes` and `spent` are about this call.
    """

    @wraps(analysis)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        with counting() as cost:
            result = analysis(*args, **kwargs)
        charge(cost)
        return result

    return run


def spent(*, products: bool = False) -> dict[str, Any]:
    """The fields of a `Result` that say what the innermost `counted` analysis in this thread has cost so far.

    Args:
        products: whether the result has that field.
    """
    return _costs()[-1].so_far(products=products)


def charge(cost: Cost) -> None:
    """Add what another account holds, such as that of a value that is kept: a result says the same whether it was kept.

    Args:
        cost: closed, or of another call.
    """
    count_passes(forwards=cost.forwards, gradients=cost.gradients, products=cost.products)


def _costs() -> list[Cost]:
    """The accounts of the analyses that run in this thread, the innermost last."""
    costs: list[Cost] = _local.__dict__.setdefault("costs", [])
    return costs
