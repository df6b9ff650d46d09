"""What an analysis costs: images put forward and backward through a classifier, and seconds, counted in one place.

Whatever runs a network calls `count_passes`. An analysis is decorated with `counted` and puts its account into its
result with `**spent()`; one that calls another one is charged for that, too. Each thread counts for itself.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from core.result import Result

P = ParamSpec("P")
R = TypeVar("R", bound=Result)
_local = threading.local()


@dataclass
class Cost:
    """Images put forward and backward since the account was opened."""

    begin: float = field(default_factory=time.perf_counter)  # in seconds of the clock
    forwards: int = 0
    gradients: int = 0


def count_passes(*, forwards: int = 0, gradients: int = 0) -> None:
    """Add images put forward and backward to the analysis that runs in this thread, if one does."""
    if costs := _costs():
        costs[-1].forwards += forwards
        costs[-1].gradients += gradients


@contextmanager
def counting() -> Iterator[Cost]:
    """Open an account of its own for what runs inside; the one around it does not grow."""
    costs = _costs()
    costs.append(Cost())
    try:
        yield costs[-1]
    finally:
        costs.pop()


def counted(analysis: Callable[P, R]) -> Callable[P, R]:
    """Decorate an analysis: it begins with an empty account, and its caller's grows by what its result says.

    Args:
        analysis: a function that returns a `Result`.

    Returns:
        The same function, inside of which `count_passes` and `spent` are about this call.
    """

    @wraps(analysis)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        with counting():
            result = analysis(*args, **kwargs)
        count_passes(forwards=result.forwards, gradients=result.gradients)
        return result

    return run


def spent(*earlier: Result) -> dict[str, Any]:
    """The fields of a `Result` that say what it cost, so far.

    Args:
        earlier: results that this one contains, computed before.

    Returns:
        `forwards`, `gradients` and `seconds` of the innermost `counted` analysis in this thread, and of those results.
    """
    cost = _costs()[-1]
    return {
        "forwards": cost.forwards + sum(result.forwards for result in earlier),
        "gradients": cost.gradients + sum(result.gradients for result in earlier),
        "seconds": time.perf_counter() - cost.begin + sum(result.seconds for result in earlier),
    }


def _costs() -> list[Cost]:
    """The accounts of the analyses that run in this thread, the innermost last."""
    costs: list[Cost] = _local.__dict__.setdefault("costs", [])
    return costs
