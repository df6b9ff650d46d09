"""Arrays as pictures: which array of an NPZ holds what, with its axes and range, and in which pairs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from core.errors import ImageError

# What arrays of pictures, of their adversarial partners, of classes and of names are called; the first that is there
_PIXELS = (
    "images",
    "pixels",
    "x",
    "x_test",
    "test_images",
    "clean",
    "x_clean",
    "original",
    "originals",
    "data",
    "arr_0",
)
_ADVERSARIAL = ("adversarial", "adversarials", "x_adv", "adv", "adv_images", "adversarial_images", "advs")
_LABELS = ("labels", "y", "y_test", "test_labels", "label", "targets", "arr_1")
_NAMES = ("class_names", "classes")
_ROUNDING = 1e-5  # by which an attack's clipping may miss [0, 1] in float32


@dataclass(frozen=True, eq=False)
class Arrays:
    """Pictures in arrays.

    Attributes:
        stacks: (n, h, w, c) each, of any kind of number; the clean ones, then their adversarial partners.
        labels: the class of each picture as text, "" where it is not known.
        class_names: what the classes are called; may be empty.
        partners: the row of each picture's partner; empty where there are no pairs.
        names: what to call each picture.
    """

    stacks: tuple[np.ndarray, ...]
    labels: tuple[str, ...]
    class_names: tuple[str, ...]
    partners: tuple[int, ...]
    names: tuple[str, ...]

    def picture(self, row: int) -> np.ndarray:
        """One picture: uint8, or float32 in [0, 1].

        Raises:
            ImageError: if a value of it is not finite, or out of range.
        """
        count = len(self.stacks[0])
        return _in_range(self.stacks[row // count][row % count], self.names[row])


def arrays_of(found: Mapping[str, np.ndarray], name: str) -> Arrays:
    """Find out which array holds what.

    Args:
        found: arrays by name.
        name: of the file.

    Returns:
        The pictures; where the file has adversarial ones, those follow the clean ones, row by row their partners.

    Raises:
        ImageError: if no array holds pictures, or they do not fit together.
    """
    lower = {key.lower(): values for key, values in found.items()}
    adversarial = _first(lower, _ADVERSARIAL)
    pixels = next(iter(lower.values())) if len(lower) == 1 else _first(lower, _PIXELS)
    if pixels is None:
        listed = ", ".join(f"{key[:20]} {values.shape}" for key, values in list(found.items())[:6])
        raise ImageError(f"expected an array called images in {name}, got {listed or 'none'}; name it so")
    stacks = [_stack(pixels, name)]
    if adversarial is not None:
        stacks.append(_stack(adversarial, name))
        if stacks[0].shape != stacks[1].shape:
            shapes = " and ".join(" x ".join(map(str, stack.shape)) for stack in stacks)
            raise ImageError(
                f"expected as many adversarial images as clean ones, of one size, got {shapes}; mend {name}"
            )
    count = len(stacks[0])
    labels = _labels(_first(lower, _LABELS), count, name)
    width = len(str(count - 1))
    names = [f"image {row:0{width}d}" for row in range(count)]
    partners: tuple[int, ...] = ()
    if adversarial is not None:
        names += [f"{each} adversarial" for each in names]
        labels *= 2
        partners = (*range(count, 2 * count), *range(count))
    words = _first(lower, _NAMES)
    class_names = (
        () if words is None or words.ndim != 1 or words.dtype.kind != "U" else tuple(map(str, words[:100_000]))
    )
    return Arrays(tuple(stacks), tuple(labels), class_names, partners, tuple(names))


def _first(found: Mapping[str, np.ndarray], names: tuple[str, ...]) -> np.ndarray | None:
    return next((found[name] for name in names if name in found), None)


def _stack(values: np.ndarray, name: str) -> np.ndarray:
    """As n x h x w x c.

    Raises:
        ImageError: if the axes cannot be told apart.
    """
    shape = " x ".join(map(str, values.shape))
    if values.ndim == 3:
        values = values[..., None]
    if values.ndim != 4 or 0 in values.shape or values.dtype.kind == "U":
        raise ImageError(f"expected images as n x h x w x c or n x c x h x w in {name}, got {shape}; reshape them")
    first, last = values.shape[1] in (1, 3), values.shape[3] in (1, 3)
    if first == last:
        raise ImageError(f"expected 1 or 3 channels, first or last, in {name}, got {shape}; reshape them")
    return values.transpose(0, 2, 3, 1) if first else values


def _labels(values: np.ndarray | None, count: int, name: str) -> list[str]:
    """Classes as text.

    Raises:
        ImageError: if there is not one for each picture.
    """
    if values is None:
        return [""] * count
    if values.ndim == 2 and values.shape[0] == count and values.shape[1] > 1 and values.dtype.kind != "U":
        values = values.argmax(1)  # one-hot
    values = values.reshape(-1)
    if len(values) != count:
        raise ImageError(f"expected one label for each of {count} images in {name}, got {len(values)}; mend them")
    if values.dtype.kind == "f":
        if not np.isfinite(values).all() or (values != values.round()).any():
            raise ImageError(f"expected whole numbers as labels in {name}, got others; mend them")
        values = values.astype(np.int64)
    return ["" if str(value).startswith("-") else str(value)[:80] for value in values.tolist()]


def _in_range(values: np.ndarray, name: str) -> np.ndarray:
    """A picture as uint8, or as float32 in [0, 1]; numpy's true and false are white and black.

    Raises:
        ImageError: if a value is not finite, or out of range.
    """
    if values.dtype == np.uint8:
        return np.ascontiguousarray(values)
    if values.dtype.kind == "b":
        return values.astype(np.uint8) * np.uint8(255)
    low, high = float(values.min()), float(values.max())
    if not np.isfinite(values.astype(np.float64)).all():
        raise ImageError(f"expected finite pixels, {name} has NaN or infinity; look at how it was made")
    if values.dtype.kind in "ui":
        if low < 0 or high > 255:
            raise ImageError(f"expected whole numbers from 0 to 255, {name} has {low:.6g} to {high:.6g}; scale it")
        return values.astype(np.uint8)
    if low < -_ROUNDING or high > 1 + _ROUNDING:
        advice = "divide by 255" if low >= 0 and 2 < high <= 255 else "remove the normalisation or clip"
        raise ImageError(f"expected pixels in [0, 1], {name} has {low:.3g} to {high:.3g}; {advice}")
    return values.astype(np.float32).clip(0, 1)
