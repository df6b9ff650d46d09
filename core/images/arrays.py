"""Arrays as pictures: which array of an NPZ holds images, partners or labels, and their axes and range.

An array is judged as a whole: if its axes or its white can be read in two ways, it is refused with advice, and nothing
is guessed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from core.errors import ImageError
from core.images.archives import Refused, Stored
from core.images.classes import UNKNOWN, check_numbers, key, missing, named_rows, number_in
from core.images.files import short_name
from core.sources.models import MOST_CLASSES

_STEMS = ("images", "imgs", "pixels", "x", "data", "image", "img")
_LABEL_STEMS = ("labels", "lbls", "y", "label", "lbl", "targets", "target")


def _of_part(part: str, stems: Sequence[str]) -> tuple[str, ...]:
    """Names of the arrays of a part of a data set."""
    return tuple(name for stem in stems for name in (f"{stem}_{part}", f"{part}_{stem}"))


_PARTS = ("test", "val", "valid", "validation", "train")
# Names of arrays of pictures, of their adversarial partners, of labels and of class names; the first one found counts
_PIXELS = (
    "images",
    "pixels",
    "x",
    "x_test",
    *_of_part("test", _STEMS),
    "clean",
    "x_clean",
    "original",
    "originals",
    "data",
    "imgs",
    "image",
    "img",
    *(name for part in _PARTS[1:] for name in _of_part(part, _STEMS)),
    "arr_0",
)
_ADVERSARIAL = ("adversarial", "adversarials", "x_adv", "adv", "adv_images", "adversarial_images", "advs")
_WHOLE_LABELS = ("labels", "y", "label", "targets", "target", "lbls", "lbl", "arr_1")
_LABELS = ("labels", "y", *_of_part("test", _LABEL_STEMS), *_WHOLE_LABELS[2:])
_OWN_LABELS = {"x": "y", "data": "target", "imgs": "lbls", "img": "lbl"}
_PART_OF = {name: (part, stem) for part in _PARTS for stem in _STEMS for name in _of_part(part, [stem])}
_NAMES = ("class_names", "classes")
_ROUNDING = 1e-5  # by which an attack's clipping may exceed [0, 1] in float32
_DARK = 16  # the largest value of 4-bit handwritten digits; pictures from 0 to 255 are brighter somewhere
_PERCENT = 100
_WHITES = (255, 1023, 4095, 16383, 65535)
_CHUNK = 1 << 22  # values


@dataclass(frozen=True, eq=False)
class Arrays:
    """Pictures in arrays.

    Attributes:
        stacks: (n, h, w, c) each, in range: the clean pictures, then their adversarial partners, if any.
        labels: (n,) the class of each clean picture as a number or text; None without labels.
        class_names: names of the classes; may be empty.
        left: parts of the file that are ignored, with the reasons.
    """

    stacks: tuple[np.ndarray, ...]
    labels: np.ndarray | None
    class_names: tuple[str, ...]
    left: tuple[Refused, ...]

    def __len__(self) -> int:
        return len(self.stacks[0])

    def name(self, row: int, stack: int = 0) -> str:
        """The name of a picture."""
        return f"image {row:0{len(str(len(self) - 1))}d}{' adversarial' if stack else ''}"

    def label(self, row: int) -> str:
        """The class of a picture as text, "" if unknown."""
        return "" if self.labels is None else str(self.labels[row])

    def picture(self, row: int, stack: int = 0) -> np.ndarray:
        """One picture: uint8, or float32 in [0, 1]; True is white and False black.

        Raises:
            ImageError: if a value is not finite.
        """
        values: np.ndarray = self.stacks[stack][row]
        if values.dtype.kind == "b":
            return values.astype(np.uint8) * np.uint8(255)
        if values.dtype.kind in "ui":
            return np.ascontiguousarray(values, dtype=np.uint8)
        if not np.isfinite(values).all():
            raise ImageError(
                f"expected finite pixels, {self.name(row, stack)} has NaN or infinity; look at how it was made"
            )
        return values.astype(np.float32).clip(0, 1)


def arrays_of(found: Sequence[Stored], refused: Sequence[Refused], name: str, named: Sequence[str] = ()) -> Arrays:
    """Find out which array holds pictures, partners, labels and class names.

    Args:
        found: the arrays of a file.
        refused: arrays that hold anything but numbers and text.
        name: of the file.
        named: names that the source gives to the classes.

    Returns:
        The pictures.

    Raises:
        ImageError: if no array holds pictures, they do not fit together, or their axes or range are not clear.
    """
    wanted = _Wanted(found, name)
    pixels = found[0] if len(found) == 1 else wanted.first(_PIXELS)
    called = "" if pixels is None else pixels.name.lower()
    before = _PIXELS[: _PIXELS.index(called) if called in _PIXELS else None]  # would go before, were they readable
    words = [each for each in refused if each.name.lower() in (*before, *_ADVERSARIAL)]
    if words or (refused and not found):
        raise ImageError((words or refused)[0].reason)
    if pixels is None:
        listed = ", ".join(f"{each.name[:20]!a} {each.shape}" for each in found[:6])
        raise ImageError(f"expected an array called images in {name}, got {listed or 'none'}; name it so")
    adversarial, labels = wanted.first(_ADVERSARIAL), _labels_beside(pixels, wanted)
    names = wanted.first(_NAMES)
    if labels is None and names is not None and _is_of_each(names, pixels):
        labels, names = names, None
    shapes = [each.shape for each in (pixels, adversarial) if each is not None]
    if shapes[0] != shapes[-1]:
        came = " and ".join(map(_words, shapes))
        raise ImageError(f"expected as many adversarial images as clean ones, of one size, got {came}; mend {name}")
    labelled = None if labels is None else (*labels.shape, 1)[0]
    stacks = [_stack(each.read(), name, labelled) for each in (pixels, adversarial) if each is not None]
    told = {remark for stack in stacks if (remark := _check_range(stack, name))}
    used = {id(each) for each in (pixels, adversarial, labels, names)}
    left = [*refused, *(Refused(each.name[:80], _ASIDE.format(name)) for each in found if id(each) not in used)]
    left += [Refused(pixels.name[:80], remark) for remark in told]
    classes, remarks = _class_names(names, name)
    if labels is None and names is not None and len(classes) == len(stacks[0]):
        reason = f"expected labels beside them in {name}, got none; call them labels if they are the images' classes"
        remarks.append(Refused(names.name[:80], reason))
    written = None
    if labels is not None:
        count = len(stacks[0])
        if names is not None and classes and _is_of_each(names, pixels):
            classes, sentence = _names_by_row(classes, _labels(labels.read(), count, (), name, named)[0], name)
            remarks += [Refused(names.name[:80], sentence)] if sentence else []
        written, sentences = _labels(labels.read(), count, classes, name, named)
        left += [Refused(labels.name[:80], sentence) for sentence in sentences]
    return Arrays(tuple(stacks), written, classes, (*left, *remarks))


def _is_of_each(names: Stored, pixels: Stored) -> bool:
    """Whether an array that may list class names is the class of each picture, so that some repeat."""
    if names.shape[:1] != pixels.shape[:1]:
        return False
    values = names.read()
    return values.ndim > 1 or len(np.unique(values)) < len(values)


def _names_by_row(words: Sequence[str], labels: np.ndarray, name: str) -> tuple[tuple[str, ...], str]:
    """Names of numbered classes, from the number and word of each picture; and a sentence if these disagree."""
    pairs = {(label, word) for label, word in zip(labels.tolist(), words, strict=False) if label}
    rows = {int(label): word for label, word in pairs if label.isdigit()}
    if (
        len(words) == len(labels)
        and len(rows) == len(pairs) == len(set(rows.values()))
        and max(rows, default=0) < MOST_CLASSES
    ):
        return tuple(rows.get(row, "") for row in range(max(rows, default=-1) + 1)), ""
    return (), (
        f"expected a name for each class in {name}, got a word for each image that is no name of its label; they are"
        " left aside"
    )


_ASIDE = "expected one array of pictures with labels, {} holds this one as well; save it to a file of its own to use it"


class _Wanted:
    """Arrays by name; case does not matter."""

    def __init__(self, found: Sequence[Stored], file: str) -> None:
        self._found: dict[str, list[Stored]] = {}
        self._file = file
        for each in found:
            self._found.setdefault(each.name.lower(), []).append(each)

    def first(self, names: Sequence[str]) -> Stored | None:
        same = next((self._found[name] for name in names if name in self._found), [])
        if len(same) > 1:
            both = " and ".join(each.name[:20] for each in same)
            raise ImageError(f"expected one array called {names[0]} in {self._file}, got {both}; rename one")
        return same[0] if same else None


def _labels_beside(pixels: Stored, wanted: _Wanted) -> Stored | None:
    """The labels of pictures: from the same part of a data set or from none, never from another part."""
    called = pixels.name.lower()
    part, stem = _PART_OF.get(called, ("", called))
    own = _OWN_LABELS.get(stem, "labels")
    if part:
        return wanted.first([*_of_part(part, [own, *_LABEL_STEMS]), *_WHOLE_LABELS])
    others = wanted.first(_of_part("test", _STEMS))
    return wanted.first([own, *(_LABELS if others is None else _WHOLE_LABELS)])


def _words(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape)) or "a single value"


def _stack(values: np.ndarray, name: str, labelled: int | None) -> np.ndarray:
    """A view of an array as n x h x w x c.

    Args:
        values: the array.
        name: of the file.
        labelled: number of labels; a first axis of that length counts the images.

    Raises:
        ImageError: if the axes are ambiguous.
    """
    shape = values.shape
    if values.ndim not in (3, 4) or 0 in shape or values.dtype.kind in "US":
        raise ImageError(
            f"expected images as n x h x w x c or n x c x h x w in {name}, got {_words(shape)}; reshape them"
        )
    if values.ndim == 3:
        colours = [axis for axis in (0, 2) if shape[axis] in (1, 3)]
        if not colours or 1 < shape[0] == labelled or (colours == [0] and shape[0] == 1) or max(shape) == 1:
            return values[..., None]
        raise ImageError(
            f"expected a first axis that counts the images in {name}, got {_words(shape)}, which may be {shape[0]} grey"
            f" images or one with {shape[colours[0]]} channels; add an axis: images[..., None] or images[None]"
        )
    if shape[1:] == (1, 1, 1):
        return values
    few = [axis for axis in (1, 2, 3) if shape[axis] in (1, 3)]
    if few not in ([1], [3]):
        raise ImageError(
            f"expected 1 or 3 channels, first or last, and sides of another length in {name}, got {_words(shape)};"
            " reshape them, or save such small images as PNG"
        )
    return values.transpose(0, 2, 3, 1) if few == [1] else values


def _chunks(values: np.ndarray) -> Iterator[np.ndarray]:
    rows = max(1, _CHUNK // max(1, values[0].size))
    return (values[start : start + rows] for start in range(0, len(values), rows))


def _check_range(values: np.ndarray, name: str) -> str:
    """Check that the range of all images of an array together tells which value is white.

    Returns:
        A sentence about the assumed white, where another one may be meant; else "".

    Raises:
        ImageError: if it does not.
    """
    if values.dtype.kind == "b":
        return ""
    low, high, whole = np.inf, -np.inf, True
    for part in _chunks(values):
        part = part[np.isfinite(part)] if part.dtype.kind == "f" else part
        if part.size:
            low, high = min(low, float(part.min())), max(high, float(part.max()))
            whole = whole and (part.dtype.kind in "ui" or bool((part == part.round()).all()))
    if low > high:  # no value is finite, which `Arrays.picture` reports
        return ""
    came = f"{name} has {low:.6g} to {high:.6g}"
    if values.dtype.kind in "ui":
        if low < 0 or high > 255 or 0 < high <= _DARK:
            advice = scale_advice(low, high, whole=True)
            raise ImageError(f"expected whole numbers from 0 to 255, or numbers in [0, 1], {came}; {advice}")
        if values.dtype.itemsize > 1 and 0 < high < 255:
            return f"expected bytes, or numbers up to white, {came} as {values.dtype}; 255 is taken for white"
    elif low < -_ROUNDING or high > 1 + _ROUNDING:
        raise ImageError(f"expected pixels in [0, 1], {came}; {scale_advice(low, high, whole=whole)}")
    return ""


def scale_advice(low: float, high: float, *, whole: bool = False) -> str:
    """Advice for pixels of another range.

    >>> scale_advice(0, 16, whole=True), scale_advice(-1, 1), scale_advice(0, 4000)
    ('divide by 16', 'add 1 and divide by 2', 'divide by 4095')

    Args:
        low: the smallest value.
        high: the largest value.
        whole: whether all values are whole numbers.
    """
    if low < 0:
        if whole and low >= -128 and high <= 127 and (low, high) != (-1, 1):
            return "add 128 and divide by 255 if these are signed bytes; else remove the normalisation"
        if -1 - _ROUNDING <= low < -0.5 and high <= 1 + _ROUNDING:
            return "add 1 and divide by 2"
        if low >= -0.5 - _ROUNDING and high <= 0.5 + _ROUNDING:
            return "add 0.5"
        return "remove the normalisation or clip"
    if high <= 1:
        return "save 0 and 1 as true and false, or divide by what white is"
    if whole and high <= _DARK:
        return f"divide by {15 if high <= 15 else 16}" if high > 10 else f"divide by what white is, {high:g} or more"
    if high <= 2:
        return "remove the normalisation or clip"
    if high <= _DARK:
        return f"divide by what white is, {high:.3g} or more"
    if high <= _PERCENT:
        return "divide by 100" if high == _PERCENT else "divide by what white is, 100 or 255"
    white = next((each for each in _WHITES if high <= each), None)
    return f"divide by {white}" if white else "divide by what white is"


def _labels(
    values: np.ndarray, count: int, class_names: Sequence[str], name: str, named: Sequence[str]
) -> tuple[np.ndarray, list[str]]:
    """Classes as numbers or text, one per picture, and sentences about those that are missing or ambiguous.

    If all labels are class names they become the rows of these names; other numbers are rows already.

    Raises:
        ImageError: if there is not one class per picture, or a number is not a class.
    """
    one_hot = values.ndim == 2 and values.shape[0] == count and values.shape[1] > 1 and values.dtype.kind not in "US"
    if one_hot:
        values = _one_hot(values, name)
    if values.size != count or max(values.shape, default=1) != count:
        came = _words(values.shape)
        raise ImageError(f"expected one label for each of {count} images in {name}, got {came}; mend them")
    values = values.reshape(-1)
    if values.dtype.kind == "S":
        values = _decoded(values, name)
    words = values.dtype.kind == "U"
    told: list[str] = []
    if words:
        none, told = missing(values.tolist(), f"image of {name}", (*class_names, *named))
        lacks = np.isin(values, list(none))
        values = _numbers_or_words(np.where(lacks, "", np.char.strip(values)), name)
    else:
        lacks = (
            np.isnan(values) if values.dtype.kind == "f" else (values == UNKNOWN) & one_hot
        )  # NaN as pandas writes it
        values = np.where(lacks, UNKNOWN, values) if lacks.any() else values
    if values.dtype.kind == "f" and (not np.isfinite(values).all() or (values != values.round()).any()):
        raise ImageError(f"expected whole numbers as labels in {name}, got others; mend them")
    if lacks.any():
        some = f"{lacks.sum():,} such as image {lacks.argmax()}"
        told.append(
            f"expected a label for every image in {name}, {some} have none; name the class otherwise if it is one"
        )
    texts = values if values.dtype.kind == "U" else _checked(values, name)
    rows, place = named_rows(class_names), {key(text) for text in texts.tolist() if text}
    if not place or not place <= set(rows):
        return texts, told
    by_name = np.array([str(rows.get(text, rows[key(text)])) if text else "" for text in texts.tolist()])
    twice = [each for each, count in Counter(class_names).items() if count > 1 and key(each) in place]
    if twice:
        told.append(
            f"expected every class name of {name} once, got {twice[0][:40]!a} again; the first of them is taken"
        )
    other = (by_name != texts).argmax()
    if not words and by_name[other] != texts[other]:
        told.append(
            f"expected words as class names of {name}, got numbers: label {texts[other]} is taken for the class that is"
            " called so, not for the one in that row"
        )
    return by_name, told


def _numbers_or_words(texts: np.ndarray, name: str) -> np.ndarray:
    """Texts as numbers if all are numbers, with -1 for ""; else unchanged.

    Raises:
        ImageError: if all look like numbers, and one is ambiguous.
    """
    known = set(texts.tolist()) - {""}
    check_numbers(known, name)
    if not known or any(number_in(text) is None for text in known):
        return texts
    numbers = {"": float(UNKNOWN), **{text: float(number_in(text) or 0) for text in known}}
    return np.array([numbers[text] for text in texts.tolist()])


def _one_hot(values: np.ndarray, name: str) -> np.ndarray:
    ones = values == 1
    if (ones.sum(1) > 1).any() or not (ones | (values == 0)).all():
        raise ImageError(
            f"expected one class for each image or one-hot rows in {name}, got rows of {values.shape[1]} other numbers;"
            " keep the class of each, such as labels.argmax(1)"
        )
    return np.where(ones.any(1), ones.argmax(1), UNKNOWN)


def _checked(values: np.ndarray, name: str) -> np.ndarray:
    """Numbers of classes as text, "" for -1.

    Raises:
        ImageError: if a number is below -1.
    """
    if values.size and values.min() < UNKNOWN:
        raise ImageError(f"expected classes from 0 on, or -1 for none, in {name}, got {values.min():.6g}; mend them")
    return np.array(["" if value == UNKNOWN else str(int(value)) for value in values.tolist()])


def _decoded(values: np.ndarray, name: str) -> np.ndarray:
    try:
        return np.char.decode(values, "utf-8")
    except UnicodeDecodeError as error:
        raise ImageError(f"expected text in UTF-8 in {name}, got other bytes; save it as text") from error


def _class_names(stored: Stored | None, name: str) -> tuple[tuple[str, ...], list[Refused]]:
    """Names of the classes; a sentence if the array is not a list of words."""
    if stored is None:
        return (), []
    try:
        words = stored.read()
        if words.dtype.kind == "S":
            words = _decoded(words, name)
        if words.ndim == 1 and words.dtype.kind == "U":
            return tuple(str(word).strip() for word in words[:100_000]), []
        came = f"{words.dtype} of shape {words.shape}"
    except ImageError as error:
        came = str(error)
    reason = f"expected a list of words in {short_name(stored.name)}, got {came[:100]}; classes are called by number"
    return (), [Refused(stored.name[:80], reason)]
