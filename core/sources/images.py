"""Sources of images: one line of text that says which set, for links and recipes as for the command line.

    demo:photos, demo:photos@224                a demo set, as it is or at another size
    path/to/pictures                            a picture, a zip, a folder (its subfolders are classes), an NPZ or NPY
    torchvision:CIFAR10?root=data&split=test    a data set of torchvision that is on disk; nothing is downloaded
    upload:DIGEST                               a file that somebody uploads, known by the SHA-256 of its bytes

After `?` come options, `name=value`, joined by `&`; values are percent-encoded where they hold other signs:

    size=224 or 224x160           height and width in pixels that every picture is brought to
    fit=crop                      its middle, cut to the sides' ratio, then resized; `stretch`: all of it, resized
    channels=3                    1: colours become grey; 3: grey becomes three equal channels
    classes=cat/dog               the order of the classes, as the model counts them; else alphabetical
    labels=none                   the classes are other ones than the model's: leave them out
    most=500                      that many pictures, spread evenly over the set; of pairs, that many pairs
    root=data, split=test         folder and part of a data set of torchvision
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from core.errors import ImageError
from core.sources.models import MOST_CLASSES
from core.sources.options import is_there, read_options, with_options

How = Literal["crop", "stretch"]

KINDS = ("demo", "torchvision", "upload")
OPTIONS = ("size", "fit", "channels", "classes", "labels", "most", "root", "split")

_AT_THE_END = re.compile(rf"\?((?:{'|'.join(OPTIONS)})=[^?]*)$")
_LARGEST = 4096  # pixels per side
MOST_PICTURES = 200_000  # of one set; three times those of the largest parts of MNIST and CIFAR


@dataclass(frozen=True)
class Fit:
    """What every picture is brought to.

    Attributes:
        height: in pixels; None with `width`: as it is.
        width: in pixels.
        how: what happens where the sides' ratio differs.
        channels: 1 or 3; None: one where every picture is grey, else three.
    """

    height: int | None = None
    width: int | None = None
    how: How = "crop"
    channels: int | None = None


@dataclass(frozen=True)
class ImageSource:
    """What a line of text says about a set of images.

    Attributes:
        kind: one of `KINDS`, or "file".
        place: what stands after the kind: a name, a path, a digest.
        options: by name, decoded.
    """

    kind: str
    place: str
    options: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str | Path) -> ImageSource:
        """Read a source.

        >>> ImageSource.parse("photos.zip?size=32&classes=cat/dog").options
        {'size': '32', 'classes': 'cat/dog'}

        Raises:
            ImageError: if an option is unknown, said twice, empty or out of range.
        """
        text = str(text)
        place, mark, said = text.rpartition("?")
        found = _AT_THE_END.search(text)
        if is_there(text) or (found is None and not (mark and "=" in said)):
            place, said = text, ""
        options = read_options(said, OPTIONS, ImageError)
        kind, colon, rest = place.partition(":")
        made = cls(kind, rest, options) if colon and kind in KINDS else cls("file", place, options)
        made.fit  # noqa: B018 - to find what is out of range now, not when it is used
        made.most  # noqa: B018
        made.classes  # noqa: B018
        return made

    def text(self) -> str:
        """The source as one line; `parse` reads it back.

        >>> ImageSource("upload", "ab12", {"size": "32", "classes": "big cat/dog"}).text()
        'upload:ab12?size=32&classes=big%20cat/dog'
        """
        place = self.place if self.kind == "file" else f"{self.kind}:{self.place}"
        return with_options(place, self.options)

    @property
    def fit(self) -> Fit:
        """What every picture is brought to.

        Raises:
            ImageError: if a size, a way to fit or a number of channels is none.
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
        """How many pictures at most; None: all.

        Raises:
            ImageError: if it is no such number.
        """
        said = self.options.get("most")
        if said is not None and not _number(said, 10**7):
            raise ImageError(f"expected most=500 or another number of pictures, got {said[:40]!a}; mend the source")
        return None if said is None else int(said)

    @property
    def classes(self) -> tuple[str, ...]:
        """The order of the classes; empty where it is alphabetical.

        Raises:
            ImageError: if a name comes twice, or they are too many.
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
        """The source with other options; None takes one away."""
        merged = {**self.options, **options}
        return ImageSource(
            self.kind,
            self.place,
            {name: merged[name] for name in OPTIONS if merged.get(name) is not None},  # type: ignore[misc]
        )


def _number(text: str, most: int) -> int:
    """A whole number from 1 on; 0 where it is none."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 9 and int(text) <= most else 0


def rows_of(count: int, most: int | None, name: str) -> list[int]:
    """The rows of as many pictures as are asked for, spread evenly.

    >>> rows_of(5, 3, "a.npz")
    [0, 2, 4]

    Args:
        count: how many there are.
        most: how many are asked for; None: all.
        name: of the set.

    Returns:
        The rows, in order, each once.

    Raises:
        ImageError: if they are too many.
    """
    taken = min(count, most or count)
    if taken > MOST_PICTURES:
        raise ImageError(
            f"expected at most {MOST_PICTURES:,} pictures, {name} has {count:,}; take fewer with most=500 in the source"
        )
    return [int(row) for row in np.linspace(0, count - 1, taken).round()]
