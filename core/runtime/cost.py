"""What an analysis costs: forward and backward passes, in images, and seconds, counted in one place.

Code that runs a network calls `count_passes`. An analysis is decorated with `counted` and puts its cost into its result
with `**spent()`; the cost also counts for the analysis that calls it. Each thread counts separately.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import wraps
from typing import Any, Generic, ParamSpec, TypeVar

from core.runtime.cache import LRU

P = ParamSpec("P")
R = TypeVar("R")
K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
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
        _charge(cost)
        return result

    return run


def spent(*, products: bool = False) -> dict[str, Any]:
    """The cost fields of a `Result`: what the innermost `counted` analysis in this thread has cost so far.

    Args:
        products: whether the result has that field.
    """
    return _costs()[-1].so_far(products=products)


class CountedCache(Generic[K, V]):
    """A cache in memory of values that took passes: whoever gets one is charged what it cost to make.

    So a result says the same whether or not a part of it was there already.

    Args:
        most: values that are kept.
    """

    def __init__(self, most: int) -> None:
        self._kept: LRU[K, tuple[V, Cost]] = LRU(most)

    def get(self, key: K | None) -> V | None:
        """The value of a key; None if it is not there, and for a key that is None."""
        kept = None if key is None else self._kept.get(key)
        if kept is None:
            return None
        _charge(kept[1])
        return kept[0]

    def put(self, key: K | None, value: V, cost: Cost) -> None:
        """Keep a value with the account that was open while it was made; under the key None only charge for it."""
        if key is not None:
            self._kept.put(key, (value, cost))
        _charge(cost)


def _charge(cost: Cost) -> None:
    """Add what another account holds."""
    count_passes(forwards=cost.forwards, gradients=cost.gradients, products=cost.products)


def _costs() -> list[Cost]:
    """The costs of the analyses that run in this thread, the innermost last."""
    costs: list[Cost] = _local.__dict__.setdefault("costs", [])
    return costs
