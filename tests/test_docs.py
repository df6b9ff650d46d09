"""The API reference can be built: every module of `core` says what it is, and `make docs` names them all."""

from __future__ import annotations

import ast
import importlib
import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from dashboard import __main__ as start
from dashboard.uploads.limits import OWN_MACHINE, SHARED


def test_every_module_says_what_it_is(checkout: Path) -> None:
    for path in sorted((checkout / "core").rglob("*.py")):
        said = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        assert said.split("\n\n")[0].endswith((".", ":", "?")), path.name


@pytest.mark.parametrize(
    "name", ["models.analytic", "recipes.run", "recipes.gallery", "exports.kit", "models.null", "exports.references"]
)
def test_modules_import_by_their_name(name: str) -> None:
    assert importlib.import_module(f"core.{name}").__name__ == f"core.{name}"


def test_the_docs_are_built_from_every_module_by_an_extra_of_their_own(checkout: Path) -> None:
    project = tomllib.loads((checkout / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert any(need.startswith("pdoc") for need in project["optional-dependencies"]["docs"])
    assert "docs/api/" in (checkout / ".gitignore").read_text(encoding="utf-8").splitlines()
    said = subprocess.run(["make", "-n", "docs"], cwd=checkout, capture_output=True, text=True, check=True).stdout
    assert "--output-directory docs/api " in said
    named = set(next(line for line in reversed(said.splitlines()) if "pdoc --docformat google" in line).split())
    for path in (checkout / "core").glob("*"):
        if path.stem != "__init__" and (path.suffix == ".py" or (path / "__init__.py").exists()):
            assert f"core.{path.stem}" in named


def test_the_image_copies_all_that_the_dashboard_needs(checkout: Path) -> None:
    lines = (checkout / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", "").splitlines()
    copied = [each.rstrip("/") for line in lines if line.startswith("COPY ") for each in line.split()[1:-1]]
    assert {"core", "dashboard", "assets", ".streamlit/config.toml", "pyproject.toml"} <= set(copied)
    ignored = (checkout / ".dockerignore").read_text(encoding="utf-8").splitlines()
    for each in copied:
        assert (checkout / each).exists()
        assert f"!{each}" in ignored
    assert any(line.startswith("USER ") for line in lines)
    install = next(line for line in lines if line.startswith("RUN python -c "))
    script = install.split("'")[1]
    needs = subprocess.run([sys.executable, "-c", script], cwd=checkout, capture_output=True, text=True, check=True)
    project = tomllib.loads((checkout / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert needs.stdout.splitlines() == project["dependencies"]
    commands = [json.loads(line.partition("CMD ")[2]) for line in lines if "CMD [" in line]
    assert [command[:3] for command in commands] == [
        ["python", "-m", "dashboard.server.probe"],
        ["python", "-m", "dashboard"],
    ]
    start._parse(commands[1][3:])  # whose options there are


def test_units_start_it_with_options_that_there_are(checkout: Path) -> None:
    unit = (checkout / "docs" / "boundary-atlas.service").read_text(encoding="utf-8")
    command = next(line for line in unit.splitlines() if line.startswith("ExecStart=")).partition(" -m dashboard ")[2]
    chosen = start._parse(command.split())
    assert chosen.read_only
    assert "Restart=always" in unit.splitlines()
    watch = (checkout / "docs" / "boundary-atlas-health.service").read_text(encoding="utf-8")
    assert "-m dashboard.server.probe --stop" in watch


def test_serving_names_every_limit_with_its_default(checkout: Path) -> None:
    said = (checkout / "docs" / "serving.md").read_text(encoding="utf-8")
    rows = {cells[1].split("`")[1].split()[0]: cells[2:4] for line in said.splitlines()
            if line.startswith("| `--") and (cells := [cell.strip() for cell in line.split("|")])}  # fmt: skip
    for option, (size, *_) in start._LIMITS.items():
        if option != "memory":  # what the machine has
            own, shared = (getattr(each, option) // size for each in (OWN_MACHINE, SHARED))
            assert rows[f"--{option.replace('_', '-')}"] == [str(own), str(shared)]
