"""Every hostile or damaged picture and archive is refused in one sentence, writes nothing, and takes little memory."""

from __future__ import annotations

import resource
import warnings
from pathlib import Path

import numpy as np
import pytest

from core.errors import ImageError
from core.images.collections import gather
from core.images.reading import Collected, read_set
from tests.hostile_images import archive, encoded, hostile

MOST_RESIDENT = 400 << 10  # kB above what the process had: one picture of 50 million pixels; bombs claim terabytes
FEWEST = 130


@pytest.fixture(scope="module")
def corpus() -> list[tuple[str, bytes]]:
    return list(hostile())


@pytest.fixture
def arena(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, inside one that would show what leaves it."""
    folder = tmp_path / "outer" / "inner"
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder)
    return folder


def read(path: Path) -> Collected:
    """Read a file as the process that reads files from outside does, but here."""
    return Collected(*read_set(str(path), [16, 16, "crop", None], None, 2**29, lambda fraction: None))


def everything(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_hostile_files_are_refused_one_by_one(arena: Path, tmp_path: Path, corpus: list[tuple[str, bytes]]) -> None:
    files = corpus
    assert len(files) >= FEWEST
    assert len({name for name, _ in files}) == len(files)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    wrong = []
    for name, content in files:
        path = arena / name
        path.write_bytes(content)
        there = everything(tmp_path)
        try:
            with warnings.catch_warnings(action="ignore"):  # what Pillow mentions before it gives up
                found = read(path)
        except ImageError as error:
            sentence = str(error)
            told = sentence.startswith("expected ") and "\n" not in sentence and len(sentence) < 400
            if not told or str(tmp_path) in sentence:
                wrong.append((name, sentence))
        else:
            wrong.append((name, f"was read: {found.notes}"))
        assert everything(tmp_path) == there, name
        path.unlink()
    assert wrong == []
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MOST_RESIDENT
    assert not Path("/tmp/a.png").exists()


def test_the_other_files_are_kept(arena: Path, corpus: list[tuple[str, bytes]]) -> None:
    """All single pictures of the corpus in one zip and in one folder, with two good ones among them."""
    skipped = (".zip", ".npy", ".npz")
    bad = {name: content for name, content in corpus if not name.endswith(skipped) and len(content) < 10**6}
    good = {"aa good.png": encoded(), "zz good.jpg": encoded("JPEG")}
    (arena / "all.zip").write_bytes(archive({**bad, **good}))
    folder = arena / "all"
    folder.mkdir()
    for name, content in {**bad, **good}.items():
        (folder / name).write_bytes(content)
    for place in (arena / "all.zip", folder):
        found = gather(place, size=16)
        assert found.images.names == tuple(good)
        assert sorted(name for name, _ in found.refused) == sorted(bad)
        assert all(reason.startswith("expected ") for _, reason in found.refused)
        assert found.images.pixels.shape == (2, 3, 16, 16)


def test_an_archive_cannot_refer_to_a_file_of_the_machine(arena: Path) -> None:
    secret = arena / "secret.png"
    secret.write_bytes(encoded(values=np.full((4, 4, 3), 7, np.uint8)))
    (arena / "a.zip").write_bytes(archive({str(secret): b"", "../secret.png": b"", "ok.png": encoded()}))
    found = gather(arena / "a.zip", size=4)
    assert found.images.names == ("ok.png",)
    assert [name for name, _ in found.refused] == ["../secret.png", str(secret)]


def test_a_harmless_twin_of_every_hostile_file_is_read(arena: Path) -> None:
    """What the corpus harms is fine when it is whole: a reader that refuses all would pass the tests above."""
    from tests.hostile_images import FORMATS, array, png

    twins = {f"whole.{ending}": encoded(kind) for kind, ending in FORMATS.items()}
    twins["made.png"] = png(4, 4, bytes(52))
    twins["whole.zip"] = archive({"a.png": encoded(), "b.png": encoded()})
    twins["whole.npy"] = array(np.zeros((2, 4, 4, 3), np.uint8))
    twins["whole.npz"] = archive({"images.npy": array(np.zeros((2, 4, 4, 3), np.uint8))})
    for name, content in twins.items():
        (arena / name).write_bytes(content)
        found = read(arena / name)
        assert found.refused == ()
        assert found.pictures[0].shape == (16, 16, 3)
