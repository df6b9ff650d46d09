"""Checks of shapes and types around `core`, which a loop of many small steps can afford.

Each function is checked in its first calls of every test, then now and then. Functions inside of functions are left
alone: around them the checks would be made anew with each call of the function they lie in.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jaxtyping

FIRST, THEN = 8, 50  # calls of a test that are checked, and of how many later ones one is
_checked = jaxtyping.jaxtyped
_test = 0


def next_test() -> None:
    """Check every function again."""
    global _test
    _test += 1


def _sparingly(*, typechecker: Callable[..., Any]) -> Callable[[Any], Any]:
    """In place of `jaxtyping.jaxtyped`, whose decorators its import hook puts around everything."""
    check = _checked(typechecker=typechecker)

    def around(thing: Any) -> Any:
        if isinstance(thing, type):
            return check(thing)
        if "<locals>" in thing.__qualname__:
            return thing
        checked, calls, test = check(thing), 0, -1

        @functools.wraps(checked)
        def run(*args: Any, **kwargs: Any) -> Any:
            nonlocal calls, test
            if test != _test:
                calls, test = 0, _test
            calls += 1
            return (checked if calls <= FIRST or calls % THEN == 0 else thing)(*args, **kwargs)

        run.__wrapped__ = thing  # for tests that hand in what the checks refuse
        return run

    return around


def install() -> None:
    """From here on the import hook checks sparingly; before `core` is imported."""
    jaxtyping.jaxtyped = _sparingly
