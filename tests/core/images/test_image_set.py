"""An image set is checked at the door, whatever it comes from."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from core.errors import ImageError
from core.images.image_set import ImageSet


def image_set(n: int = 5) -> ImageSet:
    pixels = torch.linspace(0, 1, n * 12).reshape(n, 3, 2, 2)
    names = tuple(f"image {row}" for row in range(n))
    return ImageSet(pixels, torch.arange(n) % 2, names, ("even", "odd"), "test")


@pytest.mark.parametrize(
    ("pixels", "message"),
    [
        (torch.full((1, 3, 2, 2), 1.5), r"in \[0, 1\], got values from 1.5 to 1.5; remove the normalisation or clip"),
        (torch.full((1, 3, 2, 2), 200.0), "divide by 255"),
        (torch.full((1, 3, 2, 2), -0.1), "got values from -0.1"),
        (torch.full((1, 3, 2, 2), torch.nan), "finite"),
        (torch.full((1, 3, 2, 2), torch.inf), "finite"),
        (torch.zeros(1, 3, 2, 2, dtype=torch.float64), "expected float32 pixels of shape n x c x h x w, got float64"),
        (torch.zeros(0, 3, 2, 2), "at least one image"),
        (torch.zeros(3, 2, 2), "of shape 3 x 2 x 2"),
    ],
)
def test_pixels_are_checked(pixels, message) -> None:
    with pytest.raises(ImageError, match=message):
        ImageSet(pixels, torch.zeros(len(pixels), dtype=torch.int64), ("a",) * len(pixels), ("c",), "test")


@pytest.mark.parametrize(
    ("labels", "names", "message"),
    [
        (torch.tensor([0, 1]), ("a",), "one int64 label for each of 1 images"),
        (torch.tensor([0], dtype=torch.int32), ("a",), "got int32"),
        (torch.tensor([2]), ("a",), "labels from -1 to 1 for 2 classes, got labels from 2 to 2"),
        (torch.tensor([-2]), ("a",), "got labels from -2"),
        (torch.tensor([-1]), ("a", "b"), "expected 1 names, one per image, got 2"),
    ],
)
def test_labels_and_names_are_checked(labels, names, message) -> None:
    with pytest.raises(ImageError, match=message):
        ImageSet(torch.zeros(1, 3, 2, 2), labels, names, ("even", "odd"), "test")


@given(st.lists(st.integers(-5, 4), min_size=1, max_size=9))
def test_indexing_agrees_with_numpy(rows) -> None:
    images = image_set()
    expected = images.pixels.numpy()[rows]
    for index in (rows, tuple(rows), np.array(rows), torch.tensor(rows)):
        chosen = images[index]
        assert np.array_equal(chosen.pixels.numpy(), expected)
        assert chosen.labels.tolist() == [images.labels[row].item() for row in rows]
        assert chosen.names == tuple(images.names[row] for row in rows)
        assert (chosen.class_names, chosen.source) == (images.class_names, images.source)
    assert images[rows[0]].pixels.shape == (1, 3, 2, 2)


@given(st.slices(5))
def test_slices_agree_with_lists(rows) -> None:
    images = image_set()
    if range(5)[rows]:
        assert images[rows].digest == images[list(range(5)[rows])].digest
    else:
        with pytest.raises(ImageError, match="expected at least one of the 5 rows, got none"):
            images[rows]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (5, "expected rows from 0 to 4, got 5"),
        ([0, -6], "expected rows from 0 to 4, got -6"),
        ([], "at least one"),
        (torch.tensor([True] * 5), "not a mask"),
        (torch.tensor([0.0]), "whole numbers"),
        (torch.tensor([[0, 1]]), "whole numbers"),
    ],
)
def test_missing_rows_are_refused(rows, message) -> None:
    with pytest.raises(ImageError, match=message):
        image_set()[rows]


def test_iterating_ends() -> None:
    assert [image.names for image in image_set(3)] == [("image 0",), ("image 1",), ("image 2",)]


def test_rows_are_copies() -> None:
    images = image_set()
    images[:].pixels.zero_()
    assert images.pixels.max() == 1


def test_the_digest_depends_on_pixels_and_shape_only() -> None:
    images = image_set()
    renamed = ImageSet(images.pixels.clone(), -torch.ones(5, dtype=torch.int64), ("",) * 5, (), "elsewhere")
    assert re.fullmatch("[0-9a-f]{64}", images.digest)
    assert renamed.digest == images.digest
    assert images[[0, 1]].digest != images[[1, 0]].digest
    wide = ImageSet(images.pixels.reshape(5, 3, 1, 4), images.labels, images.names, images.class_names, "test")
    assert wide.digest != images.digest
