"""Tables of classes: what they say of a file, and what is none."""

from __future__ import annotations

import pytest

from core.errors import ImageError
from core.image_tables import class_in_table, read_table


def test_a_file_is_found_by_path_by_name_and_without_its_ending() -> None:
    table = read_table(b"name\tclass\nin/a.png\tcat\nb.png\t dog \nc\t7\n", "t.csv")
    found = [class_in_table(table, name) for name in ("in/a.png", "other/b.png", "in/c.jpg", "d.png")]
    assert found == ["cat", "dog", "7", ""]


@pytest.mark.parametrize("content", [b"\xff\xfe\xfd", b"a.png\nb.png\n", b"", b'a,"' + b"x" * 200_000 + b'"'])
def test_a_table_that_is_none(content: bytes) -> None:
    with pytest.raises(ImageError, match=r"^expected .* in t\.csv, .*; save it as CSV$"):
        read_table(content, "t.csv")
