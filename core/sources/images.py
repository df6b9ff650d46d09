"""Sources of images: one line of text that names a set, for links, recipes and the command line.

    demo:photos, demo:photos@224                a demo set, as it is or at another size
    path/to/pictures                            a picture, a zip, a folder (its subfolders are classes), an NPZ or NPY
    torchvision:CIFAR10?root=data&split=test    a data set of torchvision that is on disk; nothing is downloaded
    upload:DIGEST                               an uploaded file, named by the SHA-256 of its bytes

After `?` come options, `name=value`, joined by `&`; other characters in values are percent-encoded:

    size=224 or 224x160           height and width of every picture, in pixels
    fit=crop                      crop the middle to the sides' ratio, then resize; `stretch`: resize all of it
    channels=3                    1: convert colours to grey; 3: repeat grey in three channels
    classes=cat/dog               the order of the classes, as the model numbers them; else alphabetical
    labels=none                   leave out the classes, which are not the model's
    most=500                      that many pictures, spread evenly over the set; of pairs, that many pairs
    root=data, split=test         folder and part of a data set of torchvision
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from core.errors import ImageError
from core.sources.models import MOST_CLASSES
from core.sources.options import NamedSource, read_options, split_kind, split_options

How = Literal["crop", "stretch"]

KINDS = ("demo", "torchvision", "upload")
OPTIONS = ("size", "fit", "channels", "classes", "labels", "most", "root", "split")

_LARGEST = 4096  # pixels per side
MOST_PICTURES = 200_000  # of one set; three times the largest parts of MNIST and CIFAR


@dataclass(frozen=True)
class Fit:
    """Size and channels that every picture is converted to.

    Attributes:
        height: in pixels; None: unchanged, and so is `width`.
        width: in pixels.
        how: what to do where the sides' ratio differs.
        channels: 1 or 3; None: one if every picture is grey, else three.
    """

    height: int | None = None
    width: int | None = None
    how: How = "crop"
    channels: int | None = None

    def sized(self, size: int | tuple[int, int]) -> Fit:
        """The same at another height and width; one number means both.

        Raises:
            ImageError: if one is not positive.
        """
        height, width = (size, size) if isinstance(size, int) else size
        if height < 1 or width < 1:
            raise ImageError(f"expected a size of at least 1 x 1 pixel, got {height} x {width}; choose a larger one")
        return replace(self, height=height, width=width)


@dataclass(frozen=True)
class ImageSource(NamedSource):
    """A parsed line of text that names a set of images.

    >>> ImageSource("upload", "ab12", {"size": "32", "classes": "big cat/dog"}).text()
    'upload:ab12?size=32&classes=big%20cat/dog'
    """

    @classmethod
    def parse(cls, text: str | Path) -> ImageSource:
        """Read a source.

        >>> ImageSource.parse("photos.zip?size=32&classes=cat/dog").options
        {'size': '32', 'classes': 'cat/dog'}

        Raises:
            ImageError: if an option is unknown, given twice, empty or out of range.
        """
        place, options = split_options(str(text))
        made = cls(*split_kind(place, KINDS), read_options(options, OPTIONS, ImageError))
        made.fit  # noqa: B018 - raises for values out of range now, not on first use
        made.most  # noqa: B018
        made.classes  # noqa: B018
        return made

    @property
    def fit(self) -> Fit:
        """Size and channels that every picture is converted to.

        Raises:
            ImageError: if the size, the fit or the channels are not valid.
        """
        how = next((each for each in get_args(How) if each == self.options.get("fit", "crop")), None)
        channels = self.options.get("channels")
        if how is None or channels not in (None, "1", "3"):
            came = self.options.get("fit" if how is None else "channels", "")[:40]
            raise ImageError(f"expected fit=crop or fit=stretch, and channels=1 or 3, got {came!a}; mend the source")
        sides = [_number(side, _LARGEST) for side in self.options.get("size", "").split("x")]
        if "size" in self.options and (0 in sides or len(sides) > 2):
            came = self.options["size"][:40]
            raise ImageError(f"expected a size such as 224 or 224x160 pixels, got {came!a}; mend the source")
        height, width = (sides[0], sides[-1]) if "size" in self.options else (None, None)
        return Fit(height, width, how, None if channels is None else int(channels))

    @property
    def most(self) -> int | None:
        """The most pictures to take; None: all.

        Raises:
            ImageError: if it is not a positive number.
        """
        most = self.options.get("most")
        if most is not None and not _number(most, 10**7):
            raise ImageError(f"expected most=500 or another number of pictures, got {most[:40]!a}; mend the source")
        return None if most is None else int(most)

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes in their order; empty where it is alphabetical.

        Raises:
            ImageError: if a name comes twice, or there are too many.
        """
        names = tuple(filter(None, self.options.get("classes", "").split("/")))
        if len(set(names)) != len(names) or len(names) > MOST_CLASSES:
            raise ImageError(f"expected every class once in classes=cat/dog, got {len(names)} names; mend the source")
        return names

    @property
    def labelled(self) -> bool:
        """Whether the classes of the pictures are used."""
        return self.options.get("labels") != "none"

    def changed(self, **options: str | None) -> ImageSource:
        """The source with other options; None removes one."""
        merged = {**self.options, **options}
        kept = {name: value for name in OPTIONS if (value := merged.get(name)) is not None}
        return replace(self, options=kept)


def _number(text: str, most: int) -> int:
    """The number from 1 to `most` that a text is; else 0."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 9 and int(text) <= most else 0


def rows_of(count: int, most: int | None, name: str) -> list[int]:
    """The rows of the pictures to take, spread evenly over the set.

    >>> rows_of(5, 3, "a.npz")
    [0, 2, 4]

    Args:
        count: pictures of the set.
        most: pictures to take; None: all.
        name: of the set.

    Returns:
        The rows, in order, each once.

    Raises:
        ImageError: if there are too many.
    """
    taken = min(count, most or count)
    if taken > MOST_PICTURES:
        raise ImageError(
            f"expected at most {MOST_PICTURES:,} pictures, {name} has {count:,}; take fewer with most=500 in the source"
        )
    return [int(row) for row in np.linspace(0, count - 1, taken).round()]
