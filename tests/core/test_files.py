"""Files are written whole or not at all: a full disk, a closed folder or a link destroys nothing that was there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path

import pytest

from core.errors import OutputError
from core.files import atomic_write, check_place, write_whole
from core.recipes.run import ENDINGS
from core.result import Result

OLDER = b"an older good figure"


LIMIT = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (64, 64))"  # bytes of any file: works everywhere
EVERY = """
import sys
from core.cli import main
{first}
print(*(main(["run", "limits", "--out", out]) for out in sys.argv[1:]))
"""


def child(code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@contextmanager
def small_disk(folder: Path) -> Iterator[bool]:
    """A folder on a disk of 64 kB, where root may mount one; tells whether it is."""
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    mounted = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", str(folder)], check=True)


def fill(path: Path) -> None:
    """Take all the room that a disk has."""
    with path.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))


def test_only_the_named_file_is_written(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(OLDER)
    path.chmod(0o640)
    write_whole(str(path), b"new")
    assert path.read_bytes() == b"new"
    assert path.stat().st_mode & 0o777 == 0o640  # who may read it is not ours to change
    assert list(tmp_path.iterdir()) == [path]
    longest = tmp_path / ("x" * 251 + ".bin")
    write_whole(longest, b"new")
    assert longest.read_bytes() == b"new"


@pytest.mark.parametrize("way", ["a limit for files", "a small disk"])
def test_a_full_disk_leaves_the_old_files(way: str, tmp_path: Path) -> None:
    outs = [tmp_path / f"a{ending}" for ending in ENDINGS]
    with small_disk(tmp_path) if way == "a small disk" else nullcontext(False) as mounted:
        for out in outs:
            out.write_bytes(OLDER)
        if mounted:
            fill(tmp_path / "filler")
        done = child(EVERY.format(first="" if mounted else LIMIT), *outs)
        assert done.stdout.split() == ["1"] * len(outs), done
        told = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
        reason = "no space left on device" if mounted else "file too large"
        for out, line in zip(outs, told, strict=True):
            assert re.fullmatch(rf"error: expected to write [\d,]+ bytes to '{out.name}', got '{reason}'; .*", line)
            assert out.read_bytes() == OLDER
        assert {path.name for path in tmp_path.iterdir()} - {"filler"} == {out.name for out in outs}


def test_a_write_that_fails_half_way_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(OLDER)
    with pytest.raises(KeyboardInterrupt), atomic_write(path) as file:  # noqa: PT012
        file.write_bytes(b"half")
        raise KeyboardInterrupt
    assert path.read_bytes() == OLDER
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_stays_and_its_target_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "figures").mkdir()
    target, link = tmp_path / "figures" / "a.bin", tmp_path / "link.bin"
    link.symlink_to(target)  # which is not there yet
    for data in (b"first", b"second"):
        write_whole(link, data)
        assert link.is_symlink()
        assert target.read_bytes() == data
    assert list(target.parent.iterdir()) == [target]


def test_devices_and_pipes_are_written_directly(tmp_path: Path) -> None:
    pipe, link = tmp_path / "pipe", tmp_path / "null.bin"
    os.mkfifo(pipe)
    found: list[bytes] = []
    reader = threading.Thread(target=lambda: found.append(pipe.read_bytes()))
    reader.start()
    write_whole(pipe, b"through")
    reader.join()
    assert found == [b"through"]
    assert pipe.is_fifo()
    link.symlink_to("/dev/null")
    write_whole(link, b"away")
    assert Path("/dev/null").is_char_device()
    said = child("import sys; from core.files import write_whole; write_whole('/dev/stdout', b'out')")
    assert said.stdout == "out"
    full = tmp_path / "full.bin"
    full.symlink_to("/dev/full")
    with pytest.raises(OutputError, match="got 'no space left on device'"):
        write_whole(full, b"x")


def test_paths_that_cannot_be_written_are_refused_in_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.pdf").mkdir()
    with pytest.raises(OutputError, match="expected a file to write, got the folder .*a.pdf'; add a name"):
        write_whole(tmp_path / "a.pdf", b"x")
    with pytest.raises(OutputError, match="expected a folder .*none'.*; make it first"):
        check_place(tmp_path / "none" / "b.pdf")
    with pytest.raises(OutputError, match=r"expected to write 1 bytes to 'xxx.*got 'file name too long'"):
        write_whole(tmp_path / ("x" * 300), b"x")
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write everywhere
    with pytest.raises(OutputError, match="got a closed one; choose another"):
        check_place(tmp_path / "b.pdf")
    assert [path.name for path in tmp_path.iterdir()] == ["a.pdf"]


def test_python_writes_as_the_command_line_does(tmp_path: Path) -> None:
    from core.figures.drawing.paper import write_figure
    from tests.core.figures.drawing.test_glyphs import a_chart

    (tmp_path / "a.npz").mkdir()
    (tmp_path / "a.svg").mkdir()
    with pytest.raises(OutputError, match="got the folder"):
        Result(forwards=0, gradients=0, seconds=0.0).save(tmp_path / "a.npz")
    with pytest.raises(OutputError, match="got the folder"):
        write_figure(a_chart("x"), tmp_path / "a.svg")
