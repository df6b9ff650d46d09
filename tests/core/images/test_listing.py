"""What files and folders hold: classes by folders and tables, and a sentence for each file not used."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

from core.errors import ImageError
from core.images.archives import inside
from core.images.classes import numbered
from core.images.listing import Listed, listed
from core.sources.images import Fit, ImageSource
from tests.hostile_images import archive, encoded

PNG = encoded(values=np.zeros((2, 2, 3), np.uint8))


def look(path: Path) -> tuple[dict[str, str], dict[str, str]]:
    """The class of each picture, and the reason for each refused file; every picture can be read."""
    with ExitStack() as stack:
        found: Listed = listed(path, None, stack)
        for file in found.files:
            file.read(Fit())
    refused = dict(found.refused)
    assert len(refused) == len(found.refused)
    assert all(reason.startswith("expected ") and len(reason) < 300 for reason in refused.values())
    return {file.name: file.label for file in found.files}, refused


def unpacked(folder: Path, entries: dict[str, bytes]) -> Path:
    for name, content in entries.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


PETS = {"cat/1.png": PNG, "dog/1.png": PNG}


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize(
    ("table", "content"),
    [
        ("metadata.csv", b"date,author\n2024-01-01,ann\n"),
        ("cat/boxes.csv", b"x,y\n1,2\n"),
        ("metadata.csv", b"file,author\ncat/1.png,ann\ndog/1.png,bob\n"),
        ("metadata.csv", b"file,kind,author\ncat/1.png,jpeg,ann\ndog/1.png,png,bob\n"),
        ("metadata.csv", b"file,type\ncat/1.png,photo\ndog/1.png,photo\n"),
        ("metadata.csv", b"file,grade\ncat/1.png,3\ndog/1.png,5\n"),
        ("metadata.csv", b"file,y\ncat/1.png,3\ndog/1.png,5\n"),
        ("results.csv", b"file,score\ncat/1.png,0.3\ndog/1.png,0.7\n"),
    ],
)
def test_a_table_without_classes_leaves_those_of_the_folders(
    tmp_path: Path, packed: bool, table: str, content: bytes
) -> None:
    entries = {**PETS, table: content}
    if packed:
        (tmp_path / "a.zip").write_bytes(archive({f"top/{name}": each for name, each in entries.items()}))
    found, refused = look(tmp_path / "a.zip" if packed else unpacked(tmp_path / "set", entries))
    assert found == {"cat/1.png": "cat", "dog/1.png": "dog"}
    assert [name.removeprefix("top/") for name in refused] == [table]


@pytest.mark.parametrize("packed", [True, False])
def test_files_that_are_not_pictures_are_reported(tmp_path: Path, packed: bool) -> None:
    others = ("b.heic", "c.avif", "d.svg", "notes.txt", "e.psd", "f.mp4", "g", "h.exr")
    system = (".DS_Store", "__MACOSX/._a.png", "._b.png", ".git/a.png", "Thumbs.db", ".x/.gitignore", ".x/notes.txt")
    hidden = (".b.png", ".x/a.png", "y/.z/c.JPG", ".labels.csv")
    pictures = ("a.png", "A.PNG")
    entries = {**dict.fromkeys((*pictures, *hidden), PNG), **dict.fromkeys((*others, *system), b"-"), "more.npz": b"PK"}
    if packed:
        (tmp_path / "a.zip").write_bytes(archive(entries))
    found, refused = look(tmp_path / "a.zip" if packed else unpacked(tmp_path / "set", entries))
    assert sorted(found) == sorted(pictures)
    assert sorted(refused) == sorted((*others, *hidden, "more.npz"))
    assert refused["y/.z/c.JPG"] == "expected names that begin with no dot, .z is hidden; rename it to use it"
    assert refused["b.heic"] == (
        "expected PNG, JPEG or another known format, b.heic is HEIC, which is not read here; convert it to PNG"
    )
    assert "known endings are" in refused["notes.txt"]


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize(
    ("classes", "pictures", "tables"),
    [
        ("dog cat bird", "x.png y.png z.png", {"labels.csv": "image,label\nx,1\ny,0\nz,2\n"}),
        ("dog cat bird", "0.png 1.png 2.png", {"labels.csv": "image,label\n0.png,1\n1.png,0\n2.png,2\n"}),
        ("dog cat bird", "0.png 1.png 2.png", {"labels.csv": "image,label\n0,1\n1,0\n2,2\n"}),
        ("cat dog bird", "0/a.png 1/a.png 2/a.png", {}),
        ("x z y", "0.png 1.png 2.png", {"labels.csv": "image,label\n0.png,x\n1.png,z\n2.png,y\n"}),  # words
        ("- - -", "0.png 1.png 2.png", {}),
    ],
)
@pytest.mark.parametrize(
    "legend",
    [
        {"classes.csv": "0,cat\n1,dog\n2,bird\n"},
        {"classes.csv": "id,name\n0,cat\n1,dog\n2,bird\n"},
        {"names.csv": "name;id\ncat;0\ndog;1\nbird;2\n"},
        {"legend.tsv": "class\tname\n0\tcat\n1\tdog\n2\tbird\n"},
    ],
)
def test_a_list_of_class_names_is_not_a_table_of_pictures(
    tmp_path: Path, classes: str, pictures: str, tables: dict[str, str], legend: dict[str, str], packed: bool
) -> None:
    texts = {name: text.encode() for name, text in {**tables, **legend}.items()}
    entries = {**dict.fromkeys(pictures.split(), PNG), **texts}
    if packed:
        (tmp_path / "a.zip").write_bytes(archive(entries))
    with ExitStack() as stack:
        found = listed(tmp_path / "a.zip" if packed else unpacked(tmp_path / "set", entries), None, stack)
        rows, names = numbered([each.label for each in found.files], found.class_names, ImageSource.parse("a.zip"))
    assert [names[row] if row >= 0 else "-" for row in rows] == classes.split()
    assert found.refused == []
    (said,) = [reason for name, reason in found.left if name in legend]
    assert "is taken for a list of what numbers of classes are called" in said


@pytest.mark.parametrize(("folder", "label"), [("none", ""), ("NA", ""), ("-1", "-1"), ("mild", "mild")])
def test_a_folder_called_none_among_numbers_is_not_a_class_and_is_reported(
    tmp_path: Path, folder: str, label: str
) -> None:
    (tmp_path / "a.zip").write_bytes(archive({f"{each}/a.png": PNG for each in ("0", "1", folder)}))
    with ExitStack() as stack:
        found = listed(tmp_path / "a.zip", None, stack)
    assert [each.label for each in found.files if each.name.startswith(f"{folder}/")] == [label]
    assert len(found.left) == (label == "")
    assert all(f"{folder} says that there is none" in reason for _, reason in found.left)


def test_a_folder_called_none_among_words_is_a_class(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(archive({f"{each}/a.png": PNG for each in ("mild", "none")}))
    found, refused = look(tmp_path / "a.zip")
    assert (found, refused) == ({"mild/a.png": "mild", "none/a.png": "none"}, {})


def test_folders_of_one_number_are_one_class_and_said(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(archive({"01/a.png": PNG, "1/b.png": PNG, "2/c.png": PNG}))
    with ExitStack() as stack:
        ((where, reason),) = listed(tmp_path / "a.zip", None, stack).left
    assert (where, reason) == (
        "a.zip",
        "expected one folder for each number, 01 and 1 are both class 1; rename one if not",
    )


def test_a_list_that_lacks_classes_is_ignored_and_reported(tmp_path: Path) -> None:
    texts = {"labels.csv": b"a.png,0\nb.png,7\n", "classes.csv": b"0,cat\n1,dog\n"}
    (tmp_path / "a.zip").write_bytes(archive({**dict.fromkeys(("a.png", "b.png"), PNG), **texts}))
    with ExitStack() as stack:
        found = listed(tmp_path / "a.zip", None, stack)
    assert found.class_names == ()
    assert found.left[-1].reason == (
        "expected a list of what all classes of the pictures are called, got 2 that lack some of theirs; it is left"
        " aside"
    )


def test_other_files_in_a_zip_of_weights_are_reported(tmp_path: Path) -> None:
    names = ("a.pt", ".b.pt", "__MACOSX/._a.pt", ".DS_Store", "notes.txt", "in/")
    (tmp_path / "a.zip").write_bytes(archive(dict.fromkeys(names, b"-")))
    found, refused = inside(lambda fraction: None, str(tmp_path / "a.zip"), [".pt"], 99)
    assert found == ["a.pt"]
    assert [reason for _, reason in refused] == [
        "expected files that end in .pt and are not hidden, got 4 more (.DS_Store, .b.pt, ._a.pt); rename those that"
        " are wanted"
    ]


def test_every_ending_of_a_known_format_is_read(tmp_path: Path) -> None:
    jpeg = encoded("JPEG", np.zeros((2, 2, 3), np.uint8))
    endings = ("jpg", "jpeg", "jpe", "jif", "jfif")
    (tmp_path / "a.zip").write_bytes(archive({f"{ending}.{ending}": jpeg for ending in endings}))
    found, refused = look(tmp_path / "a.zip")
    assert (sorted(found), refused) == (sorted(f"{ending}.{ending}" for ending in endings), {})


def test_links_are_reported(tmp_path: Path) -> None:
    folder = unpacked(tmp_path / "set", {"a.png": PNG})
    unpacked(tmp_path / "other", {"b.png": PNG})
    (folder / "linked.png").symlink_to(folder / "a.png")
    (folder / "more").symlink_to(tmp_path / "other")
    (folder / "gone.png").symlink_to(tmp_path / "nothing")
    found, refused = look(folder)
    assert list(found) == ["a.png", "linked.png"]
    assert "more is a link to one; put the pictures here" in refused["more"]
    assert "gone.png is a link to nothing" in refused["gone.png"]


def test_only_a_common_folder_is_removed(tmp_path: Path) -> None:
    entries = {"top/in/cat/1.png": PNG, "top/in/cats/2.png": PNG, "readme.txt": b"-"}
    (tmp_path / "a.zip").write_bytes(archive(entries))
    found, refused = look(tmp_path / "a.zip")
    assert found == {"cat/1.png": "cat", "cats/2.png": "cats"}
    assert list(refused) == ["readme.txt"]


def test_loose_pictures_among_classes_are_refused(tmp_path: Path) -> None:
    entries = {**PETS, "loose.png": PNG}
    (tmp_path / "a.zip").write_bytes(archive(entries))
    found, refused = look(tmp_path / "a.zip")
    assert found == {"cat/1.png": "cat", "dog/1.png": "dog"}
    assert "loose.png is in none; move it" in refused["loose.png"]
    with pytest.raises(ImageError, match="got both; move them into the subfolders"):
        look(unpacked(tmp_path / "set", entries))
