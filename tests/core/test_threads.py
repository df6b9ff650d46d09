"""How threads wait is said before torch is imported, and what the environment says stays."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize(
    ("module", "arguments"),
    [
        ("core.cli", ["--help"]),
        ("core.gallery", ["none of this name"]),
        ("dashboard.__main__", ["--host", "203.0.113.1"]),
    ],
)
def test_threads_wait_briefly_before_torch_is_there(module: str, arguments: list[str], checkout: Path) -> None:
    script = f"""
import os, sys
from {module} import main
try:
    main({arguments})
except (SystemExit, ValueError):
    pass
print(os.environ["OMP_WAIT_POLICY"], os.environ["GOMP_SPINCOUNT"], "torch" in sys.modules)
"""

    def said(**environment: str) -> str:
        rest = {name: value for name, value in os.environ.items() if name not in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")}
        return subprocess.run(
            [sys.executable, "-c", script],
            cwd=checkout,
            env=rest | environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        ).stdout.splitlines()[-1]

    assert said() == "PASSIVE 2000 False"
    assert said(OMP_WAIT_POLICY="ACTIVE", GOMP_SPINCOUNT="7") == "ACTIVE 7 False"
