"""Sources of models: one line of text that names a model, short enough for a link, complete enough for a recipe.

    demo:photos/standard                        a demo model
    torchvision:resnet50[:IMAGENET1K_V2]        torchvision's weights; `:untrained`: its random initial weights
    timm:resnet50.a1_in1k                       timm's weights; `timm:resnet50:untrained`: its random initial weights
    hf-hub:timm/resnet18.a1_in1k@REVISION       a timm model of the hub, at a pinned revision
    robustbench:Linf/cifar10/Standard           threat model, data set and name, where robustbench is installed
    module:path/to/net.py:factory               your own Python: calls `factory()`
    path/to/weights.safetensors?arch=...        a file: .safetensors, a state dict, its shards, .pt2, .onnx
    upload:DIGEST?arch=...                      an uploaded file, named by the SHA-256 of its bytes
    untrained:SOURCE, untrained:SEED:SOURCE     the architecture of any of these with new random weights
    linearised:SOURCE?row=3                     its first-order Taylor map at an image
    analytic:KIND:SOURCE?row=3                  a `hyperplane`, `ball` or `voronoi` of its classes, known on paper

After `?` come options, `name=value`, joined by `&`; other characters in values are percent-encoded:

    arch=torchvision:resnet18     architecture of the weights: a name of torchvision or timm
    weights=ema                   which of several sets of weights in the file
    size=224 or 3x224x224         height and width, or channels, height and width, of the input in pixels
    preset=imagenet               normalisation by name (`core.models.preprocessing.PRESETS`); `own`: the architecture's
    mean=0.5/0.5/0.5&std=...      normalisation by numbers, one per channel, for pixels in [0, 1]
    names=cat/dog                 class names; `imagenet`; `file:PATH`, or `list:DIGEST` of an uploaded list
    name=mine                     its name in figures
    row=3, images=demo:photos     of `linearised` and `analytic`: the image and its set; else row 0 of the demo set
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path

from core.errors import CheckpointError
from core.sources.options import NamedSource, read_options, split_kind, split_options

ASSETS = Path(__file__).resolve().parents[2] / "assets"
KINDS = (
    "demo", "torchvision", "timm", "hf-hub", "robustbench", "module", "upload", "untrained", "linearised", "analytic",
)  # fmt: skip
OPTIONS = ("arch", "weights", "size", "preset", "mean", "std", "names", "name")
_ALIKE = 0.85  # similarity of a misspelling: from 0 to 1 for the same letters
UNTRAINED, LINEARISED, ANALYTIC = NULLS = ("untrained", "linearised", "analytic")
AT_IMAGE = ("images", "row")  # options of the last two
ANALYTIC_KINDS = ("hyperplane", "ball", "voronoi")
DIGEST_LENGTH = 32  # hexadecimal digits of a SHA-256, 128 bits: no collisions by chance
MOST_NESTED = 8  # nulls of nulls; two are enough for any figure
MOST_CLASSES = 100_000  # more than any public data set has

_SEEDED = re.compile(r"[0-9]{1,9}:")
_NUMBERED = re.compile(r"-[0-9]{1,9}$")  # of a demo model: another seed of its training


def nearest(name: str, known: Collection[str]) -> str:
    """Names to suggest for an unknown one: the few that are similar, else all.

    >>> nearest("standrad", ["standard", "prime", "vit"]), nearest("x", ["standard", "prime"])
    ('standard or 2 others', 'standard, prime')
    """
    like = get_close_matches(name, known, cutoff=_ALIKE)
    others = len(known) - len(like)
    return f"{', '.join(like)} or {others} other{'s' if others > 1 else ''}" if like and others else ", ".join(known)


@dataclass(frozen=True)
class Source(NamedSource):
    """A parsed line of text that names a model.

    >>> Source("upload", "ab12", {"names": "cat, big/dog"}).text()
    'upload:ab12?names=cat%2C%20big/dog'
    """

    @classmethod
    def parse(cls, text: str | Path) -> Source:
        """Read a source.

        >>> Source.parse("net.pt?arch=torchvision:resnet18&size=64").options
        {'arch': 'torchvision:resnet18', 'size': '64'}

        Raises:
            CheckpointError: if an option is unknown, given twice or empty, or nulls are nested too deep.
        """
        place, options = split_options(str(text))
        if (depth := sum(place.count(f"{null}:") for null in NULLS)) > MOST_NESTED:
            raise CheckpointError(f"expected at most {MOST_NESTED} nulls around a model, got {depth}; name fewer")
        kind, place = split_kind(place, KINDS)
        return cls(kind, place, read_options(options, _options_of(kind), CheckpointError))

    @property
    def inner(self) -> Source:
        """The source that a null is made from; for any other source, itself.

        >>> Source.parse("analytic:ball:untrained:upload:ab12?size=64&row=3").inner.text()
        'untrained:upload:ab12?size=64'

        Raises:
            CheckpointError: if a null names no source.
        """
        if self.kind not in NULLS:
            return self
        inner = self.place
        if self.kind == ANALYTIC or (self.kind == UNTRAINED and _SEEDED.match(inner)):
            inner = inner.partition(":")[2]
        if not inner:
            raise CheckpointError(f"expected a model behind {self.kind}:{self.place}, got none; name one")
        kind, place = split_kind(inner, KINDS)
        return Source(kind, place, {name: self.options[name] for name in self.options if name in _options_of(kind)})

    @property
    def trained(self) -> Source:
        """The source inside all nulls; for any other source, itself.

        >>> Source.parse("untrained:1:upload:ab12?size=64").trained.text()
        'upload:ab12?size=64'
        """
        return self if self.kind not in NULLS else self.inner.trained

    @property
    def analytic_kind(self) -> str:
        """One of `ANALYTIC_KINDS` for an analytic model, else ""."""
        return self.place.partition(":")[0] if self.kind == ANALYTIC else ""

    @property
    def row(self) -> int:
        """The row of the image at which a linearised or analytic model is made; 0 by default.

        Raises:
            CheckpointError: if it is not a row number.
        """
        row = self.options.get("row", "0")
        if not (row.isascii() and row.isdecimal() and len(row) < 10):
            raise CheckpointError(f"expected a row such as 3, got {row[:40]!r}; mend the source")
        return int(row)

    def null(self, kind: str) -> Source:
        """A null of this source: "untrained", "linearised", or one of `ANALYTIC_KINDS` after "analytic:".

        >>> Source.parse("upload:ab12?size=64").null("analytic:ball").text()
        'analytic:ball:upload:ab12?size=64'
        """
        kind, colon, analytic = kind.partition(":")
        return Source(kind, f"{analytic}{colon}{_plain(self)}", self.options)

    def of(self, other: Source) -> Source:
        """The same null of another source, with that source's options, and its own for the image."""
        head = self.place[: len(self.place) - len(_plain(self.inner))]
        kept = {name: value for name, value in self.options.items() if name in AT_IMAGE}
        return Source(self.kind, head + _plain(other), {**other.options, **kept})

    def at(self, images: str, row: int) -> Source:
        """The same source at another image; unchanged if it is not made at one.

        >>> Source.parse("linearised:demo:photos/vit?row=3").at("demo:photos", 17).text()
        'linearised:demo:photos/vit?row=17&images=demo:photos'
        """
        if self.kind not in (LINEARISED, ANALYTIC):
            return self
        return replace(self, options={**self.options, "row": str(row), "images": images})

    @property
    def seed(self) -> int:
        """The seed of an untrained model; 0 by default."""
        return int(self.place.partition(":")[0]) if self.kind == UNTRAINED and _SEEDED.match(self.place) else 0

    @property
    def seedless(self) -> str:
        """The source without its seed, the same for all seeds of one training.

        >>> Source.parse("demo:photos/standard-2").seedless, Source.parse("untrained:1:timm:resnet18").seedless
        ('demo:photos/standard', 'untrained:timm:resnet18')
        """
        if self.kind == UNTRAINED:
            return f"{UNTRAINED}:{self.inner.seedless}"
        if self.kind in NULLS:
            return self.of(Source.parse(self.inner.seedless)).text()
        place = _NUMBERED.sub("", self.place) if self.kind == "demo" else self.place
        return replace(self, place=place).text()

    @property
    def size(self) -> tuple[int | None, int, int] | None:
        """Channels (None if not given), height and width; None if no size is given.

        Raises:
            CheckpointError: if the size is not valid.
        """
        size = self.options.get("size")
        if size is None:
            return None
        try:
            numbers = [int(number) for number in size.split("x")]
        except ValueError:
            numbers = []
        if not 1 <= len(numbers) <= 3 or any(not 1 <= number <= 4096 for number in numbers):
            raise CheckpointError(
                f"expected a size such as 224 or 3x224x224 pixels, got {size[:40]!r}; mend the source"
            )
        if len(numbers) == 1:
            numbers *= 2
        channels = numbers[0] if len(numbers) == 3 else None
        return channels, numbers[-2], numbers[-1]

    def numbers(self, name: str) -> tuple[float, ...] | None:
        """The numbers of the option `mean` or `std`; None if it is not given.

        Raises:
            CheckpointError: if they are not finite numbers.
        """
        values = self.options.get(name)
        if values is None:
            return None
        try:
            numbers = tuple(float(number) for number in values.split("/"))
        except ValueError:
            numbers = ()
        if not numbers or len(numbers) > 100 or not all(map(math.isfinite, numbers)):
            raise CheckpointError(
                f"expected numbers of {name} such as 0.5/0.5/0.5, got {values[:40]!r}; mend the source"
            )
        return numbers


def at_image(sources: Sequence[str], images: str, row: int) -> tuple[str, ...]:
    """The same models, with nulls that are made at an image moved to this one.

    >>> at_image(["demo:photos/vit", "analytic:ball:demo:photos/vit?row=3"], "demo:photos", 17)
    ('demo:photos/vit', 'analytic:ball:demo:photos/vit?row=17&images=demo:photos')
    """
    nulls = {source for source in sources if source.partition(":")[0] in NULLS}
    return tuple(Source.parse(source).at(images, row).text() if source in nulls else source for source in sources)


def _options_of(kind: str) -> tuple[str, ...]:
    return (*OPTIONS, *AT_IMAGE) if kind in (LINEARISED, ANALYTIC) else OPTIONS


def _plain(source: Source) -> str:
    return replace(source, options={}).text()
