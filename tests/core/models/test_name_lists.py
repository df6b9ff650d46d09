"""Lists of class names: every notation is read, and anything else is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.errors import CheckpointError
from core.models import third_party
from core.models.name_lists import read as read_name_list


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("a\n\n b \n", ["a", "b"]),
        ('["a", "b"]', ["a", "b"]),
        ('{"0": ["n01", "tench"], "1": ["n02", "shark"], "10": "ray"}', ["tench", "shark", "ray"]),
        ("a\x00b\nc", ["ab", "c"]),
    ],
)
def test_lists_of_names_are_read(tmp_path: Path, text: str, names: list[str]) -> None:
    (tmp_path / "names.txt").write_text(text)
    assert third_party.read_names(tmp_path / "names.txt") == names


def test_long_names_stay_distinct(tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("\n".join("A" * 90 + end for end in "12"))
    first, second = third_party.read_names(tmp_path / "names.txt")
    assert first != second
    assert (first[-1], second[-1]) == ("1", "2")


@pytest.mark.parametrize("content", [b"one", b"", b"[1", b'{"a": 1, "b": 2}', b"\xff\xfe\xff", b"[[], []]"])
def test_other_files_are_not_lists_of_names(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "names.txt").write_bytes(content)
    with pytest.raises(CheckpointError, match="expected"):
        third_party.read_names(tmp_path / "names.txt")


def test_a_list_that_is_too_long_is_refused(tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_bytes(b"a\n" * 5_000_000)
    with pytest.raises(CheckpointError, match="is too long; one name per line"):
        read_name_list(lambda fraction: None, str(tmp_path / "names.txt"))
