"""Painted classes: named ones and digits, the board of neighbours, and survivors that no class exceeds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.geometry.limits.painting import NAMED, painted_class, painted_words


@pytest.mark.parametrize("side", [2, 3])
@pytest.mark.parametrize("words", NAMED)
def test_words_and_digits_are_the_same_class(side: int, words: str) -> None:
    found = painted_class(side, words)
    again = painted_class(side, painted_words(found.inside))
    np.testing.assert_array_equal(found.inside, again.inside)
    assert not found.exempt
    assert (found.survivors <= found.limit + 1e-9).all()
    assert (found.survivors <= found.best).all()


def test_named_classes_have_known_survivors() -> None:
    np.testing.assert_array_equal(painted_class(2, "majority").survivors, [8, 2, 0, 0, 0])
    np.testing.assert_array_equal(painted_class(3, "pixel").survivors, [256] + [0] * 9)
    np.testing.assert_array_equal(painted_class(3, "parity").survivors, [256] + [0] * 9)
    np.testing.assert_array_equal(painted_class(3, "ball").survivors[:4], [256, 130, 46, 10])


@pytest.mark.parametrize("side", [2, 3])
def test_neighbours_lie_in_one_row_or_column_of_the_board(side: int) -> None:
    board = painted_class(side).board
    places = {int(number): place for place, number in np.ndenumerate(board)}
    assert sorted(places) == list(range(2**side**2))
    for number, (row, column) in places.items():
        for pixel in range(side**2):
            other = places[number ^ (1 << pixel)]
            assert (other[0] == row) != (other[1] == column)
    beside = board[:, 1:] ^ board[:, :-1]
    assert all(bin(int(step)).count("1") == 1 for step in beside.ravel())


@settings(max_examples=40)
@given(st.integers(0, 2**16 - 1))
def test_no_painted_class_exceeds_the_best(number: int) -> None:
    found = painted_class(2, f"{number:04x}")
    assert (found.survivors <= found.best).all()
    if not found.exempt and found.inside.any():
        assert (found.survivors <= found.limit + 1e-9).all()
    else:
        assert np.isnan(found.limit).all()


def test_what_is_no_class_is_refused() -> None:
    with pytest.raises(ValueError, match="128 hexadecimal digits for 3 x 3"):
        painted_class(3, "00ff")
    with pytest.raises(ValueError, match="a side of 2 or 3"):
        painted_class(4, "ball")
