"""What the README tells people to type works as it stands there."""

from __future__ import annotations

import itertools
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

FENCE = re.compile(r"^```(?P<language>\w*)[^\n]*\n(?P<body>.*?)^```", re.MULTILINE | re.DOTALL)
SHELL = {"", "bash", "sh", "shell", "console"}


@pytest.fixture(scope="module")
def readme(checkout: Path) -> str:
    path = checkout / "README.md"
    assert path.exists(), "expected a README.md at the root of the repository"
    return path.read_text(encoding="utf-8")


@pytest.fixture
def folder(tmp_path: Path, checkout: Path) -> Path:
    """An empty folder in which relative paths of the checkout's data work, so that nothing is written to it."""
    (tmp_path / "assets").symlink_to(checkout / "assets", target_is_directory=True)
    return tmp_path


def blocks(text: str, languages: set[str]) -> list[str]:
    return [match["body"] for match in FENCE.finditer(text) if match["language"] in languages]


def command_lines(text: str) -> list[list[str]]:
    """The `python -m core.cli` lines, in order; a backslash continues a line, `$` before it is a prompt."""
    lines = [
        line.strip().removeprefix("$ ")
        for block in blocks(text, SHELL)
        for line in block.replace("\\\n", " ").splitlines()
    ]
    return [shlex.split(line, comments=True) for line in lines if re.match(r"python3? -m core\.cli\b", line)]


def run(arguments: list[str], folder: Path, checkout: Path) -> None:
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(checkout)},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, f"{shlex.join(arguments)}\n{done.stdout}\n{done.stderr}"


def test_its_command_lines_run(readme: str, folder: Path, checkout: Path, monkeypatch: pytest.MonkeyPatch):
    from core.cli import main

    lines = command_lines(readme)
    assert lines, "expected a code block in README.md with a line that begins with: python -m core.cli"
    monkeypatch.chdir(folder)
    for number, line in enumerate(lines):
        if number:  # what is imported once is imported
            assert main(line[3:]) == 0, shlex.join(line)
        else:
            run(line[1:], folder, checkout)
        for before, name in itertools.pairwise(line):
            if before in {"--out", "-o"}:
                assert (folder / name).stat().st_size > 0, f"{shlex.join(line)} wrote nothing to {name}"


def test_its_python_runs(readme: str, folder: Path, checkout: Path):
    programs = blocks(readme, {"python", "py"})
    assert programs, "expected a ```python block in README.md"
    for number, program in enumerate(programs):
        file = folder / f"block_{number}.py"
        file.write_text(program, encoding="utf-8")
        run([str(file)], folder, checkout)


@pytest.mark.parametrize("command", ["make app", "make test"])
def test_its_two_commands_are_there(readme: str, command: str):
    assert any(command in block for block in blocks(readme, SHELL)), (
        f"expected `{command}` in a code block of README.md"
    )


def test_its_pictures_exist(readme: str, checkout: Path):
    local = [name for name in re.findall(r"!\[[^\]]*\]\(([^)\s]+)", readme) if "://" not in name]
    assert [name for name in local if not (checkout / name).is_file()] == []
