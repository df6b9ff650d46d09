"""The API reference can be built: every module of `core` says what it is, and `make docs` names them all."""

from __future__ import annotations

import ast
import importlib
import subprocess
import tomllib
from pathlib import Path

import pytest


def test_every_module_says_what_it_is(checkout: Path) -> None:
    for path in sorted((checkout / "core").rglob("*.py")):
        said = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        assert said.split("\n\n")[0].endswith((".", ":", "?")), path.name


@pytest.mark.parametrize("name", ["analytic", "followed", "gallery", "kit", "null", "references", "report"])
def test_modules_import_by_their_name(name: str) -> None:
    assert importlib.import_module(f"core.{name}").__name__ == f"core.{name}"


def test_the_docs_are_built_from_every_module_by_an_extra_of_their_own(checkout: Path) -> None:
    project = tomllib.loads((checkout / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert any(need.startswith("pdoc") for need in project["optional-dependencies"]["docs"])
    assert "docs/" in (checkout / ".gitignore").read_text(encoding="utf-8").splitlines()
    said = subprocess.run(["make", "-n", "docs"], cwd=checkout, capture_output=True, text=True, check=True).stdout
    named = set(next(line for line in reversed(said.splitlines()) if "pdoc --docformat google" in line).split())
    for path in (checkout / "core").glob("*"):
        if path.stem != "__init__" and (path.suffix == ".py" or (path / "__init__.py").exists()):
            assert f"core.{path.stem}" in named
