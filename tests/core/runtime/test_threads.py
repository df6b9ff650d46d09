"""How threads wait is said before torch and SciPy are imported, and what the environment says stays."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

NAMES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "OPENBLAS_THREAD_TIMEOUT")


@pytest.mark.parametrize(
    ("module", "arguments"),
    [
        ("core.cli", ["--help"]),
        ("core.recipes.gallery", ["none of this name"]),
        ("dashboard.__main__", ["--host", "203.0.113.1"]),
    ],
)
def test_waiting_is_set_before_torch_and_scipy_are_imported(module: str, arguments: list[str], checkout: Path) -> None:
    script = f"""
import os, sys
from {module} import main
try:
    main({arguments})
except (SystemExit, ValueError):
    pass
loaded = {{"torch", "scipy"}} & set(sys.modules)
print(*(os.environ[name] for name in {NAMES}), *loaded)
"""

    def said(**environment: str) -> str:
        rest = {name: value for name, value in os.environ.items() if name not in NAMES}
        return subprocess.run(
            [sys.executable, "-c", script],
            cwd=checkout,
            env=rest | environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        ).stdout.splitlines()[-1]

    assert said() == "PASSIVE 2000 17"
    assert said(OMP_WAIT_POLICY="ACTIVE", GOMP_SPINCOUNT="7", OPENBLAS_THREAD_TIMEOUT="20") == "ACTIVE 7 20"
