"""Arrays as pictures: axes, ranges, labels and pairs found out, or one sentence."""

from __future__ import annotations

import numpy as np
import pytest

from core.errors import ImageError
from core.image_arrays import arrays_of

RANDOM = np.random.default_rng(0)
CHANNELS_LAST = RANDOM.random((4, 8, 6, 3), np.float32)


@pytest.mark.parametrize(
    ("values", "shape"),
    [(CHANNELS_LAST, (8, 6, 3)), (CHANNELS_LAST.transpose(0, 3, 1, 2), (8, 6, 3)), (CHANNELS_LAST[..., 0], (8, 6, 1))],
)
def test_axes_are_told_apart(values: np.ndarray, shape: tuple[int, ...]) -> None:
    found = arrays_of({"anything": values}, "a.npz")
    assert found.picture(2).shape == shape
    np.testing.assert_array_equal(found.picture(2), CHANNELS_LAST[2][..., : shape[2]])
    assert found.labels == ("",) * 4
    assert found.partners == ()


def test_pairs_follow_the_clean_ones_and_know_each_other() -> None:
    found = arrays_of({"clean": CHANNELS_LAST, "adv": 1 - CHANNELS_LAST, "y": np.array([3, -1, 0, 2])}, "a.npz")
    assert found.partners == (4, 5, 6, 7, 0, 1, 2, 3)
    assert found.labels == ("3", "", "0", "2") * 2
    np.testing.assert_array_equal(found.picture(5), 1 - CHANNELS_LAST[1])
    assert found.names[5] == "image 1 adversarial"


def test_one_hot_and_boolean_arrays() -> None:
    bits = CHANNELS_LAST > 0.5
    found = arrays_of({"images": bits, "labels": np.eye(4)[[2, 0, 1, 3]]}, "a.npz")
    assert found.labels == ("2", "0", "1", "3")
    np.testing.assert_array_equal(found.picture(0), np.where(bits[0], 255, 0))


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"a": CHANNELS_LAST, "b": CHANNELS_LAST}, "expected an array called images"),
        ({"images": CHANNELS_LAST[0, 0]}, "expected images as n x h x w x c"),
        ({"images": np.zeros((4, 3, 5, 3))}, "expected 1 or 3 channels, first or last"),
        ({"images": np.zeros((4, 5, 5, 4))}, "expected 1 or 3 channels, first or last"),
        ({"images": CHANNELS_LAST, "labels": np.arange(3)}, "expected one label for each of 4 images"),
        ({"images": CHANNELS_LAST, "labels": np.full(4, 0.5)}, "expected whole numbers as labels"),
        ({"images": CHANNELS_LAST, "adv": CHANNELS_LAST[:3]}, "expected as many adversarial images"),
    ],
)
def test_what_does_not_fit_is_a_sentence(arrays: dict[str, np.ndarray], words: str) -> None:
    with pytest.raises(ImageError, match=words):
        arrays_of(arrays, "a.npz")


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (np.full((1, 4, 4, 1), np.nan), "expected finite pixels"),
        (np.full((1, 4, 4, 1), 255.0), "divide by 255"),
        (np.full((1, 4, 4, 1), -2.0), "remove the normalisation"),
        (np.full((1, 4, 4, 1), 300), "expected whole numbers from 0 to 255"),
    ],
)
def test_pixels_out_of_range_are_a_sentence(values: np.ndarray, words: str) -> None:
    with pytest.raises(ImageError, match=words):
        arrays_of({"images": values}, "a.npz").picture(0)
