"""Where things are, and that they stay there."""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from setuptools import find_packages

MACHINE_PATH = re.compile(rb"(?<![\w./:\-])/(?:home|root|Users|work|opt|mnt)/[\w.]")  # a folder of somebody's machine


def sources(checkout: Path, *folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (checkout / folder).rglob("*.py"))


def tracked(checkout: Path) -> list[Path]:
    """Every file that git tracks or would, or in a copy without git everything outside the generated folders."""
    if (checkout / ".git").exists():
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=checkout,
            capture_output=True,
            check=True,
        ).stdout.decode()
        return [path for name in listed.split("\0") if name and (path := checkout / name).is_file()]
    generated = {".venv", "__pycache__", ".mypy_cache", ".ruff_cache", ".pytest_cache", ".import_linter_cache"}
    return [path for path in checkout.rglob("*") if path.is_file() and generated.isdisjoint(path.parts)]


@pytest.mark.parametrize("name", ["core", "dashboard"])
def test_packages_come_from_this_checkout(name: str, checkout: Path):
    module = importlib.import_module(name)
    assert module.__file__ == str(checkout / name / "__init__.py")


def test_importing_core_is_quick_and_loads_nothing_slow(checkout: Path):
    script = (
        "import sys, time; begin = time.perf_counter(); import core; took = time.perf_counter() - begin; "
        "slow = {'torch', 'torchvision', 'timm', 'umap', 'sklearn', 'streamlit', 'plotly', 'matplotlib', 'ray'}; "
        "print(took); print(*sorted(slow & set(sys.modules)))"
    )
    answers = [
        subprocess.run(
            [sys.executable, "-c", script], cwd=checkout, capture_output=True, text=True, check=True
        ).stdout.split("\n")
        for _ in range(3)  # the quickest counts: the machine may be busy
    ]
    assert answers[0][1] == ""
    assert min(float(answer[0]) for answer in answers) < 2.0


def test_core_lists_names_that_exist():
    core = importlib.import_module("core")
    assert [name for name in core.__all__ if getattr(core, name, None) is None] == []
    assert set(core.__all__) <= set(dir(core))


def test_no_file_names_a_folder_of_somebodys_machine(checkout: Path):
    found = [
        f"{path.relative_to(checkout)}: {match.group().decode()}"
        for path in tracked(checkout)
        for match in MACHINE_PATH.finditer(path.read_bytes())
    ]
    assert found == []


def test_modules_are_named_after_what_they_hold(checkout: Path):
    vague = {"utils", "util", "helpers", "helper", "misc"}
    assert [path for path in sources(checkout, "core", "dashboard", "tests") if path.stem in vague] == []
    assert [path for path in checkout.glob("*/**/") if path.name in vague and ".venv" not in path.parts] == []


def test_views_are_not_kept_in_a_folder_called_pages(checkout: Path):
    assert not (checkout / "dashboard" / "pages").exists()  # Streamlit would serve them without the frame


def test_no_file_of_the_dashboard_hides_a_package(checkout: Path):
    packages = set(importlib.metadata.packages_distributions()) | set(sys.stdlib_module_names)
    ours = {path.stem for path in (checkout / "dashboard").iterdir() if not path.name.startswith("_")}
    assert ours & packages == set()  # Streamlit puts dashboard/ itself on the path


def test_every_package_is_found_for_installation(checkout: Path):
    setuptools = tomllib.loads((checkout / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    present = {
        path.parent.relative_to(checkout).as_posix().replace("/", ".")
        for path in sources(checkout, "core", "dashboard")
    }
    assert set(find_packages(checkout, **setuptools["packages"]["find"])) == present


def test_the_one_check_command_can_be_run(checkout: Path):
    assert os.access(checkout / ".ci" / "run", os.X_OK)
    targets = set(re.findall(r"^([a-z-]+):", (checkout / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert {"app", "test", "check", "demo-models", "bench", "help"} <= targets
