"""Functions of arrays, compiled for the CPU when first called: what takes many passes over memory takes one.

Reference: Lam, Pitrou, Seibert, Numba: a LLVM-based Python JIT compiler, LLVM-HPC 2015.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast

F = TypeVar("F", bound=Callable[..., Any])


def compiled(function: F) -> F:
    """The function, compiled when first called with a type of values, or read from where that was kept on disk.

    Sums may be taken in any order, but NaN and infinity stay what they are; other threads run meanwhile.

    Args:
        function: of arrays and numbers; it sees nothing else but other such numbers of its module.

    Returns:
        A function of the same arguments.
    """
    made: list[Callable[..., Any]] = []

    @wraps(function)
    def run(*arguments: object) -> Any:
        if not made:
            made.append(_compile(inspect.unwrap(function)))
        return made[0](*arguments)

    return cast("F", run)


def _compile(function: Callable[..., Any]) -> Callable[..., Any]:
    from numba import njit

    options: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": {"reassoc", "contract", "nsz"}}
    try:
        found: Callable[..., Any] = njit(cache=True, **options)(function)
    except RuntimeError:  # no folder to keep it in that may be written: compiled anew in each process
        found = njit(**options)(function)
    return found
