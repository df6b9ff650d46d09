"""Arrays as pictures: axes, ranges, labels and pairs found out, or one sentence."""

from __future__ import annotations

import re
from functools import partial

import numpy as np
import pytest

from core.errors import ImageError
from core.images.archives import Refused, Stored
from core.images.arrays import Arrays, arrays_of, scale_advice
from core.images.classes import numbered
from core.sources.images import ImageSource

RANDOM = np.random.default_rng(0)
CHANNELS_LAST = RANDOM.random((4, 8, 6, 3), np.float32)
BYTES = RANDOM.integers(0, 256, (4, 8, 6, 3), np.uint8)


def found(arrays: dict[str, np.ndarray], refused: list[Refused] | None = None) -> Arrays:
    stored = [Stored(name, values.shape, partial(np.copy, values)) for name, values in arrays.items()]
    return arrays_of(stored, refused or [], "a.npz")


@pytest.mark.parametrize(
    ("values", "shape"),
    [(CHANNELS_LAST, (8, 6, 3)), (CHANNELS_LAST.transpose(0, 3, 1, 2), (8, 6, 3)), (CHANNELS_LAST[..., 0], (8, 6, 1))],
)
def test_axes_are_distinguished(values: np.ndarray, shape: tuple[int, ...]) -> None:
    arrays = found({"anything": values})
    assert arrays.picture(2).shape == shape
    np.testing.assert_array_equal(arrays.picture(2), CHANNELS_LAST[2][..., : shape[2]])
    assert [arrays.label(row) for row in range(4)] == [""] * 4
    assert len(arrays.stacks) == 1


@pytest.mark.parametrize(
    ("shape", "labels", "stack"),
    [
        ((3, 8, 8), 3, (3, 8, 8, 1)),  # as many images as labels
        ((8, 8, 3), 8, (8, 8, 3, 1)),
        ((1, 8, 8), None, (1, 8, 8, 1)),  # one grey image either way
        ((1, 1, 1), None, (1, 1, 1, 1)),
        ((5, 1, 1, 1), None, (5, 1, 1, 1)),
        ((3, 3, 8, 8), None, (3, 8, 8, 3)),
        ((1, 8, 8, 3), None, (1, 8, 8, 3)),
    ],
)
def test_axes_are_inferred_from_labels_and_sizes(
    shape: tuple[int, ...], labels: int | None, stack: tuple[int, ...]
) -> None:
    arrays = {"images": np.zeros(shape, np.uint8)} | ({} if labels is None else {"labels": np.zeros(labels, int)})
    assert found(arrays).stacks[0].shape == stack


@pytest.mark.parametrize(
    ("shape", "labels"),
    [((3, 8, 8), None), ((8, 8, 3), None), ((1, 8, 3), 1), ((8, 8, 1), None), ((3, 8, 8), 1), ((5, 1, 1), None)],
)
def test_ambiguous_axes_are_refused(shape: tuple[int, ...], labels: int | None) -> None:
    arrays = {"images": np.zeros(shape)} | ({} if labels is None else {"labels": np.zeros(labels, int)})
    with pytest.raises(ImageError, match=r"^expected a first axis that counts the images .* images\[\.\.\., None\] or"):
        found(arrays)


def test_adversarial_images_follow_the_clean_ones() -> None:
    arrays = found({"clean": CHANNELS_LAST, "adv": 1 - CHANNELS_LAST, "y": np.array([3, -1, 0, 2])})
    assert [arrays.label(row) for row in range(4)] == ["3", "", "0", "2"]
    np.testing.assert_array_equal(arrays.picture(1, 1), 1 - CHANNELS_LAST[1])
    assert arrays.name(1, 1) == "image 1 adversarial"


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (np.eye(4)[[2, 0, 1, 3]], "2 0 1 3"),
        (np.eye(4, dtype=bool)[[2, 0, 1, 3]], "2 0 1 3"),
        (np.array([[0, 1], [1, 0], [0, 0], [0, 1]]), "1 0  1"),
        (np.array([[2], [0], [1], [3]]), "2 0 1 3"),
        (np.array([[2, 0, 1, 3]]), "2 0 1 3"),
        (np.array([True, False, True, False]), "1 0 1 0"),
        (np.array([2.0, 0.0, np.nan, -1.0]), "2 0  "),
        (np.array([2, 0, 255, 3], np.uint8), "2 0 255 3"),
        (np.array(["0.0", "10.0", "nan", "1e1"]), "0 10  10"),
        (np.array([b"cat", b"dog", b"\xc3\xa9", b"cat"]), "cat dog é cat"),
        (np.array([" cat", "dog ", "7", "x"]), "cat dog 7 x"),
    ],
)
def test_labels_of_many_shapes(labels: np.ndarray, expected: str) -> None:
    arrays = found({"images": BYTES, "labels": labels})
    assert [arrays.label(row) for row in range(4)] == expected.split(" ")


def test_rows_without_a_one_have_no_class_and_are_reported() -> None:
    ((_, reason),) = found({"images": BYTES, "labels": np.eye(4, dtype=int)[:, :2]}).left
    assert reason.startswith("expected a label for every image in a.npz, 2 such as image 2 have none")
    with pytest.raises(ImageError, match="expected one label for each of 4 images in a.npz, got a single value; mend"):
        found({"images": BYTES, "labels": np.array(3)})


def test_long_class_names_stay_distinct() -> None:
    long = ["A" * 90 + "1", "A" * 90 + "2"]
    for labels in ([0, 1, 0, 1], [long[0], long[1], long[0], long[1]]):
        arrays = found({"images": BYTES, "labels": np.array(labels), "class_names": np.array(long)})
        texts = [arrays.label(row) for row in range(4)]
        rows, names = numbered(texts, arrays.class_names, ImageSource.parse("a.npz"))
        assert list(rows) == [0, 1, 0, 1]
        assert len(set(names)) == 2


SORTED = np.unique([str(number) for number in range(12)])  # 0, 1, 10, 11, 2, ...


@pytest.mark.parametrize(
    ("expected", "labels", "names"),
    [
        ("10 2 1 0", ["10", "2", "1", "0"], SORTED),
        ("10 2 1 0", ["10.0", "2", " 1", "0"], SORTED),
        ("10 2 1 0", [10, 2, 1, 0], SORTED),  # numbers that are the names
        ("10 2  0", [10.0, 2.0, np.nan, 0.0], SORTED),
        ("10 2 1 0", ["10", "2", "1", "0"], [str(number) for number in range(11)]),
        ("1 0 1 0", ["1", "0", "1", "0"], ["1", "0"]),
        ("3 1 2 1", ["3", "1", "2", "1"], ["1", "2", "3"]),
        ("8 3 8 3", [8, 3, 8, 3], ["3", "8"]),
        ("b a b a", [b"b", b"a", b"b", b"a"], [b"b", b"a"]),
        ("b a b a", [1, 0, 1, 0], ["a", "b"]),  # rows
        ("b a b a", ["1", "0", "1", "0"], ["a", "b"]),
        ("none mild none mild", ["none", "mild", "none", "mild"], ["none", "mild"]),  # a class that is named
    ],
)
def test_labels_that_are_class_names_become_their_classes(
    expected: str, labels: list[object], names: list[object]
) -> None:
    arrays = found({"images": BYTES, "labels": np.array(labels), "class_names": np.array(names)})
    texts = [arrays.label(row) for row in range(4)]
    rows, classes = numbered(texts, arrays.class_names, ImageSource.parse("a.npz"))
    assert [classes[row] if row >= 0 else "" for row in rows] == expected.split(" ")
    order = "/".join(reversed(classes))
    rows, classes = numbered(texts, arrays.class_names, ImageSource.parse(f"a.npz?classes={order}"))
    assert [classes[row] if row >= 0 else "" for row in rows] == expected.split(" ")


@pytest.mark.parametrize(
    ("arrays", "labels", "names", "left"),
    [
        ({"classes": np.array(["dog", "cat", "dog", "cow"])}, "dog cat dog cow", (), 0),
        ({"classes": np.array([b"dog", b"cat", b"dog", b"cow"])}, "dog cat dog cow", (), 0),
        ({"classes": np.array([3, 1, 3, 0])}, "3 1 3 0", (), 0),
        ({"classes": np.eye(4)[[3, 1, 3, 0]]}, "3 1 3 0", (), 0),
        ({"classes": np.array(["dog", "cat"])}, "   ", ("dog", "cat"), 0),
        ({"classes": np.array(["dog", "cat", "cow", "ant"])}, "   ", ("dog", "cat", "cow", "ant"), 1),
        (
            {"labels": np.array([1, 0, 1, 2]), "classes": np.array(["dog", "cat", "dog", "cow"])},
            "1 0 1 2",
            ("cat", "dog", "cow"),
            0,
        ),
        ({"labels": np.array([1, 0, 1, 1]), "classes": np.array(["dog", "cat", "dog", "cow"])}, "1 0 1 1", (), 1),
        ({"labels": np.array([1, 0, 1, 0]), "classes": np.array([7, 7, 7, 7])}, "1 0 1 0", (), 1),
    ],
)
def test_a_class_per_image_is_not_a_list_of_names(
    arrays: dict[str, np.ndarray], labels: str, names: tuple[str, ...], left: int
) -> None:
    read = found({"images": BYTES, **arrays})
    assert [read.label(row) for row in range(4)] == labels.split(" ")
    assert (read.class_names, len(read.left)) == (names, left)


def test_numbers_that_may_be_names_or_rows_are_reported() -> None:
    arrays = found({"images": BYTES, "labels": np.array([2, 0, 1, 1]), "class_names": np.array(["2", "1", "0"])})
    assert [arrays.label(row) for row in range(4)] == ["0", "2", "1", "1"]
    ((name, reason),) = arrays.left
    assert (name, reason[:52]) == ("labels", "expected words as class names of a.npz, got numbers:")
    same = found({"images": BYTES, "labels": np.array([2, 0, 1, 1]), "class_names": np.array(["0", "1", "2"])})
    assert same.left == ()


def test_a_repeated_class_name_is_reported() -> None:
    labels = np.array(["cat", "dog", "cat", "dog"])
    arrays = found({"images": BYTES, "labels": labels, "class_names": np.array(["cat", "cat", "dog"])})
    assert [arrays.label(row) for row in range(4)] == ["0", "2", "0", "2"]
    assert [reason for _, reason in arrays.left] == [
        "expected every class name of a.npz once, got 'cat' again; the first of them is taken"
    ]


@pytest.mark.parametrize(
    ("expected", "labels"),
    [
        ("cat  dog cat", ["cat", "nan", "dog", "cat"]),
        ("cat  dog ", ["cat", "N/A", "dog", ""]),
        ("cat  dog ", ["cat", "None", "dog", "null"]),
        ("1  2 1", ["1", "NaN", "2", "1"]),
        ("1  2 1", [1.0, np.nan, 2.0, 1.0]),
    ],
)
def test_missing_labels_are_reported(expected: str, labels: list[object]) -> None:
    arrays = found({"images": BYTES, "labels": np.array(labels)})
    assert [arrays.label(row) for row in range(4)] == expected.split(" ")
    ((name, reason),) = arrays.left
    some = expected.split(" ").count("")
    assert (name, f"a.npz, {some} such as image 1 have none" in reason) == ("labels", True)


@pytest.mark.parametrize(
    ("expected", "labels"),
    [
        ("10 2 11 0", ["10,0", "2,0", "11,0", "0"]),
        ("1000 2 11 0", ["1 000", "'2", "\u0661\u0661", "\u0966"]),
        ("1000 2 11 0", ["1'000", "\uff12", "+11", "0,00"]),
    ],
)
def test_numbers_in_other_notations_are_read(expected: str, labels: list[str]) -> None:
    arrays = found({"images": BYTES, "labels": np.array(labels)})
    assert [arrays.label(row) for row in range(4)] == expected.split(" ")


@pytest.mark.parametrize(
    ("high", "dtype", "told"),
    [
        (200, np.uint16, True),
        (100, np.int64, True),
        (254, np.int32, True),
        (255, np.uint16, False),
        (200, np.uint8, False),
    ],
)
def test_an_assumed_white_is_reported(high: int, dtype: type, told: bool) -> None:
    arrays = found({"images": np.full((2, 4, 4, 1), high, dtype)})
    assert arrays.picture(0).max() == high
    taken = [f"a.npz has {high} to {high} as {np.dtype(dtype)}; 255 is taken for white"] if told else []
    assert [reason.partition("white, ")[2] for _, reason in arrays.left] == taken


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (
            np.array(["1,000", "2", "3", "4"]),
            "classes in a.npz, got 1,000, which may be two numbers; write plain digits",
        ),
        (np.arange(3), "expected one label for each of 4 images in a.npz, got 3"),
        (np.zeros((2, 2)), "expected one label for each of 4 images in a.npz, got 2 x 2"),
        (np.full(4, 0.5), "expected whole numbers as labels"),
        (np.array(["0.5", "1", "2", "3"]), "expected whole numbers as labels"),
        (np.array([0, 1, 2, np.inf]), "expected whole numbers as labels"),
        (np.array([0, -7, 2, 3]), "expected classes from 0 on, or -1 for none, in a.npz, got -7"),
        (np.full((4, 3), 1 / 3), "one-hot rows in a.npz, got rows of 3 other numbers"),
        (np.ones((4, 3)), "one-hot rows in a.npz, got rows of 3 other numbers"),
        (np.array([b"\xff", b"a", b"b", b"c"]), "expected text in UTF-8"),
    ],
)
def test_invalid_labels_are_refused(labels: np.ndarray, words: str) -> None:
    with pytest.raises(ImageError, match=words):
        found({"images": BYTES, "labels": labels})


def test_true_and_false_are_white_and_black() -> None:
    bits = CHANNELS_LAST > 0.5
    np.testing.assert_array_equal(found({"images": bits}).picture(0), np.where(bits[0], 255, 0))


def test_other_arrays_are_ignored_and_reported() -> None:
    objects = Refused("meta", "expected numbers or words in meta, got object")
    arrays = found({"x_test": BYTES, "y_test": np.arange(4), "y": np.zeros(9, int), "x_train": BYTES}, [objects])
    assert [arrays.label(row) for row in range(4)] == ["0", "1", "2", "3"]
    assert [name for name, _ in arrays.left] == ["meta", "y", "x_train"]
    assert all(reason.startswith("expected ") for _, reason in arrays.left)
    named = found({"images": BYTES, "class_names": np.array([b"no", b"yes"])})
    assert (named.class_names, named.left) == (("no", "yes"), ())
    other = found({"images": BYTES, "class_names": np.arange(4)})
    assert (other.class_names, [name for name, _ in other.left]) == ((), ["class_names"])


@pytest.mark.parametrize(
    "names",
    [
        "x_train y_train",
        "X y",
        "data target",
        "imgs lbls",
        "x_test y_test x_train y_train",
        "test_images test_labels val_images val_labels train_images train_labels",
        "data_val labels_val data_train labels_train",
        "X_valid Y_valid X_train Y_train",
        "train_x train_y labels",
        "images_test labels y_train",
        "clean y_test",
        "images labels y_test x_test",
    ],
)
def test_pictures_find_the_labels_of_their_part(names: str) -> None:
    pixels, labels, *others = names.split()
    values = {
        each: BYTES // 2 if "x" in each.lower() or "images" in each or "data" in each else np.arange(4)
        for each in others
    }
    arrays = found({**values, labels: np.array([3, 1, 0, 2]), pixels: BYTES})
    np.testing.assert_array_equal(arrays.picture(1), BYTES[1])
    assert [arrays.label(row) for row in range(4)] == ["3", "1", "0", "2"]
    assert [name for name, _ in arrays.left] == others


@pytest.mark.parametrize("names", ["x_train y_test", "test_images train_labels", "images x_test y_test"])
def test_pictures_never_take_the_labels_of_another_part(names: str) -> None:
    pixels, *others = names.split()
    arrays = found({pixels: BYTES, **{each: BYTES if "x" in each else np.arange(4) for each in others}})
    assert [arrays.label(row) for row in range(4)] == [""] * 4


def test_only_the_chosen_pictures_must_be_numbers() -> None:
    train = Refused("x_train", "expected numbers or words in x_train, got object")
    assert [name for name, _ in found({"x_test": BYTES, "y_test": np.arange(4)}, [train]).left] == ["x_train"]
    with pytest.raises(ImageError, match="in x_train, got object"):
        found({"y_train": np.arange(4)}, [train])


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"a": CHANNELS_LAST, "b": CHANNELS_LAST}, "expected an array called images"),
        ({"images": CHANNELS_LAST[0, 0]}, "expected images as n x h x w x c"),
        ({"images": np.zeros((4, 3, 5, 3))}, "expected 1 or 3 channels, first or last"),
        ({"images": np.zeros((4, 5, 5, 4))}, "expected 1 or 3 channels, first or last"),
        ({"images": np.zeros((32, 32, 3, 1))}, "expected 1 or 3 channels, first or last"),
        ({"images": np.zeros((4, 1, 1, 3))}, "expected 1 or 3 channels, first or last"),
        ({"images": CHANNELS_LAST, "adv": CHANNELS_LAST[:3]}, "expected as many adversarial images"),
        (
            {"X": CHANNELS_LAST, "x": CHANNELS_LAST},
            "one array called images in a.npz, got X and x; rename one",
        ),
    ],
)
def test_inconsistent_arrays_are_refused_in_a_sentence(arrays: dict[str, np.ndarray], words: str) -> None:
    with pytest.raises(ImageError, match=words):
        found(arrays)


@pytest.mark.parametrize(
    ("low", "high", "dtype", "advice"),
    [
        (0, 255, np.float32, "divide by 255"),
        (0, 100, np.float64, "divide by 100"),
        (0, 99.5, np.float64, "divide by what white is, 100 or 255"),
        (0, 101, np.float64, "divide by 255"),
        (0, 16, np.float64, "divide by 16"),
        (0, 15, np.float64, "divide by 15"),
        (0, 16, np.int64, "divide by 16"),
        (0, 16, np.uint8, "divide by 16"),
        (0, 1, np.uint8, "save 0 and 1 as true and false"),
        (0, 7.5, np.float32, "divide by what white is, 7.5 or more"),
        (0, 1000, np.uint16, "divide by 1023"),
        (0, 4095, np.uint16, "divide by 4095"),
        (0, 65535, np.uint16, "divide by 65535"),
        (0, 65535, np.float32, "divide by 65535"),
        (0, 10**6, np.int64, "divide by what white is"),
        (-128, 127, np.int8, "add 128 and divide by 255"),
        (-1, 1, np.float32, "add 1 and divide by 2"),
        (-1, 0.9, np.float64, "add 1 and divide by 2"),
        (-0.5, 0.5, np.float32, "add 0.5"),
        (-2.1, 2.6, np.float32, "remove the normalisation"),
        (0, 1.2, np.float32, "remove the normalisation or clip"),
    ],
)
def test_the_range_is_that_of_all_images_together(low: float, high: float, dtype: type, advice: str) -> None:
    values = np.full((3, 4, 4, 1), 0, dtype)  # the first picture fits, by chance
    values[1, 0, 0], values[2, 0, 0] = low, high
    with pytest.raises(ImageError, match=rf"^expected .*, a\.npz has {low:g} to .*; {re.escape(advice)}"):
        found({"images": values})


def test_only_the_picture_that_is_not_finite_is_refused() -> None:
    values = np.full((3, 4, 4, 1), 0.5)
    values[1], values[2, 0] = np.nan, np.inf
    arrays = found({"images": values})
    assert arrays.picture(0).max() == 0.5
    for row in (1, 2):
        with pytest.raises(ImageError, match=f"expected finite pixels, image {row} has NaN or infinity"):
            arrays.picture(row)


def test_an_image_set_gives_the_same_advice() -> None:
    assert scale_advice(0, 200) == "divide by 255"
    assert scale_advice(-0.1, 0.9) == "remove the normalisation or clip"


def test_the_range_of_a_large_array_includes_every_chunk() -> None:
    values = np.zeros((3, 2100, 2000, 1), np.float16)
    values[2, -1, -1] = 3
    with pytest.raises(ImageError, match="0 to 3"):
        found({"images": values})
