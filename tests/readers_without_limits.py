"""A reader of `tests.readers` where the system has no limits: this is imported before they are set."""

from __future__ import annotations

import resource
from typing import Any

from tests.readers import grows as grows


def _no_limit(*arguments: Any) -> None:
    """As on a system that has none."""


resource.setrlimit = _no_limit
