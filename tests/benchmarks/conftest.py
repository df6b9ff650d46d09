"""How benchmarks measure: two ways of doing the same, alternated, so that whatever slows the machine slows both."""

from __future__ import annotations

import gc
import importlib.util
import statistics
import sys
import time
import types
from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch


def pytest_configure() -> None:
    """adv-lib imports visdom, with which it would draw, and does without it."""
    if importlib.util.find_spec("visdom") is None:
        sys.modules["visdom"] = types.ModuleType("visdom")
        sys.modules["visdom"].Visdom = object  # type: ignore[attr-defined]


@dataclass(frozen=True)
class Pair:
    """Seconds of two ways of doing the same, measured one after the other, again and again."""

    first: tuple[float, ...]
    second: tuple[float, ...]

    @property
    def ratio(self) -> float:
        """The median of first over second, pair by pair."""
        return statistics.median(first / second for first, second in zip(self.first, self.second, strict=True))

    @property
    def spread(self) -> str:
        """The smallest and largest ratio."""
        ratios = [first / second for first, second in zip(self.first, self.second, strict=True)]
        return f"{min(ratios):.3f}..{max(ratios):.3f}"


@pytest.fixture
def alternate() -> Callable[..., Pair]:
    """Time two functions in turns: which one goes first changes from pair to pair; one pair of each warms up."""

    def run(first: Callable[[], object], second: Callable[[], object], pairs: int = 5) -> Pair:
        taken: tuple[list[float], list[float]] = ([], [])
        gc.collect()
        gc.disable()
        try:
            for number in range(pairs + 1):
                order = ((0, first), (1, second)) if number % 2 else ((1, second), (0, first))
                for place, function in order:
                    begin = time.perf_counter()
                    function()
                    taken[place].append(time.perf_counter() - begin)
        finally:
            gc.enable()
        return Pair(tuple(taken[0][1:]), tuple(taken[1][1:]))

    return run


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Callable[[str], None]:
    """Print a line whether or not pytest captures output."""

    def write(line: str) -> None:
        with capsys.disabled():
            print(f"  {line}", flush=True)

    return write


@pytest.fixture(autouse=True)
def machine(say: Callable[[str], None]) -> None:
    """Say where the figures that follow come from."""
    chip = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    say(f"\n  torch {torch.__version__}, {torch.get_num_threads()} threads, {chip}")
