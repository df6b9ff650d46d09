"""What an analysis costs: images put forward and backward through a classifier, and seconds, counted in one place.

Whatever runs a network calls `count_passes`. An analysis is decorated with `counted` and puts its account into its
result with `**spent()`; the analysis that calls it is charged for it, too. Each thread counts for itself.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from core.runtime.cache import LRU

P = ParamSpec("P")
R = TypeVar("R")
K = TypeVar("K", bound=Hashable)
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
        _charge(cost)
        return result

    return run


def spent(*, products: bool = False) -> dict[str, Any]:
    """The fields of a `Result` that say what the innermost `counted` analysis in this thread has cost so far.

    Args:
        products: whether the result has that field.
    """
    return _costs()[-1].so_far(products=products)


def fetch_counted(cache: LRU[K, tuple[R, Cost]], key: K, make: Callable[[], R]) -> R:
    """The value of a key, made if it is not there; whoever asks is charged what it cost to make.

    So a result says the same whether or not a part of it was there already.

    Args:
        cache: of values, each with what it cost.
        key: of the value.
        make: makes it.
    """

    def made() -> tuple[R, Cost]:
        with counting() as cost:
            value = make()
        return value, cost

    value, cost = cache.fetch(key, made)
    _charge(cost)
    return value


def _charge(cost: Cost) -> None:
    count_passes(forwards=cost.forwards, gradients=cost.gradients, products=cost.products)


def _costs() -> list[Cost]:
    """The accounts of the analyses that run in this thread, the innermost last."""
    costs: list[Cost] = _local.__dict__.setdefault("costs", [])
    return costs
