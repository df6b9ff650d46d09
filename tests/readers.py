"""Readers that misbehave, for the tests of `core.runtime.sandbox`: each runs in a process of its own."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from core.errors import CheckpointError, ImageError
from core.models.tensor_files import layout


def back(progress: Any, **arguments: Any) -> Any:
    return arguments


def grows(progress: Any) -> Any:
    kept = []
    while True:
        kept.append(bytearray(8 << 20))


def array(progress: Any, size: int) -> Any:
    return np.ones(size, np.uint8)


def spins(progress: Any) -> Any:
    while True:
        pass


def sleeps(progress: Any) -> Any:
    progress(0.25)
    time.sleep(60)


def refuses(progress: Any) -> Any:
    raise ImageError("expected a cat, got a dog; draw it again")


def fails(progress: Any) -> Any:
    return {}["nothing"]


def crashes(progress: Any) -> Any:
    os.kill(os.getpid(), signal.SIGSEGV)


def prints(progress: Any) -> Any:
    print("a library says something")
    return 3


def writes(progress: Any, path: str) -> Any:
    with Path(path).open("wb") as file:
        file.write(b"x" * 100)
        file.flush()


def told(progress: Any) -> Any:
    for step in range(5):
        progress(step / 4)
    return "done"


def modules(progress: Any) -> Any:
    return sorted(sys.modules)


def refusals(progress: Any, paths: list[str]) -> dict[str, str]:
    """What each checkpoint is refused with; "" where it is read."""
    told = {}
    for path in paths:
        try:
            layout(path)
            told[Path(path).name] = ""
        except CheckpointError as error:
            told[Path(path).name] = str(error)
    return told
