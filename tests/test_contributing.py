"""The worked example of CONTRIBUTING.md works as it stands there, in as many places as it says."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROW = re.compile(r"^\| `([^`]+)` \|", re.MULTILINE)
BLOCK = re.compile(r"^```python\n# (\S+)\n(.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def guide(checkout: Path) -> str:
    return (checkout / ".github" / "CONTRIBUTING.md").read_text(encoding="utf-8")


def test_one_more_analysis_is_five_places_and_two_tests(guide: str) -> None:
    places = ROW.findall(guide[guide.index("## How to add an analysis") :])
    tests = [place for place in places if place.startswith("tests/")]
    assert (len(places) - len(tests), len(tests)) == (5, 2)
    assert {place for place, _ in BLOCK.findall(guide)} == {each for each in places if each.endswith(".py")} - {
        "dashboard/views/NAME.py"
    }


def test_its_code_is_an_analysis_with_nothing_added_elsewhere(guide: str, checkout: Path, tmp_path: Path) -> None:
    (tmp_path / "assets").symlink_to(checkout / "assets", target_is_directory=True)
    for name in ("core", "tests"):
        ignored = shutil.ignore_patterns("__pycache__", "golden", "browser")
        shutil.copytree(checkout / name, tmp_path / name, ignore=ignored)
    for place, code in BLOCK.findall(guide):
        assert not (tmp_path / place).exists(), place
        (tmp_path / place).write_text(code, encoding="utf-8")
    tests = [place for place, _ in BLOCK.findall(guide) if place.startswith("tests/")]
    script = f"""
import pytest
from core import Result
from core.cli import main

for name in ("made.npz", "made.svg"):
    assert main(["linear_distance", "--model", "demo:digits/standard", "--images", "3", "--out", name]) == 0
assert type(Result.load("made.npz")).__name__ == "LinearDistance"
raise SystemExit(pytest.main(["--noconftest", "--import-mode=importlib", "-p", "no:cacheprovider", *{tests}]))
"""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
