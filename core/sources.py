"""Sources: one line of text that says which model, short enough for a link, complete enough for a recipe.

    demo:photos/standard                        a demo model
    torchvision:resnet50[:IMAGENET1K_V2]        torchvision's weights; `untrained` instead of the weights: as drawn
    timm:resnet50.a1_in1k                       timm's weights; `timm:resnet50:untrained`: as drawn
    hf-hub:timm/resnet18.a1_in1k@REVISION       a timm model of the hub, at a pinned revision
    robustbench:Linf/cifar10/Standard           threat model, data set and name, where robustbench is installed
    module:path/to/net.py:factory               your own Python: calls `factory()`
    path/to/weights.safetensors?arch=...        a file: .safetensors, a state dict, its shards, .pt2, .onnx
    upload:DIGEST?arch=...                      a file that somebody uploads, known by the SHA-256 of its bytes
    untrained:SOURCE, untrained:SEED:SOURCE     the architecture of any of these with its weights drawn anew

After `?` come options, `name=value`, joined by `&`; values are percent-encoded where they hold other signs:

    arch=torchvision:resnet18     architecture of the weights: a name of torchvision or timm
    weights=ema                   which of several sets of weights in the file
    size=224 or 3x224x224         height and width, or channels, height and width, of the input in pixels
    preset=imagenet               normalisation by name (see `core.preprocessing.PRESETS`); `own`: the architecture's
    mean=0.5/0.5/0.5&std=...      normalisation by numbers, one per channel, for pixels in [0, 1]
    names=cat/dog                 class names; `imagenet`; `file:PATH`, or `list:DIGEST` of an uploaded list
    name=mine                     how figures call it
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, unquote

KINDS = ("demo", "torchvision", "timm", "hf-hub", "robustbench", "module", "upload", "untrained")
OPTIONS = ("arch", "weights", "size", "preset", "mean", "std", "names", "name")
UNTRAINED = "untrained"
DIGEST_LENGTH = 32  # hexadecimal digits of a SHA-256, 128 bits: no two files meet by chance
MOST_CLASSES = 100_000  # more than any public data set has

_OPTIONS_AT_THE_END = re.compile(rf"\?((?:{'|'.join(OPTIONS)})=[^?]*)$")
_SEEDED = re.compile(r"[0-9]{1,9}:")
_SAFE = "/:.-_+"  # signs that a value keeps; commas go, since a link joins its models with them


class CheckpointError(ValueError):
    """A checkpoint cannot be used: one sentence says what was expected, what came and what to do."""


@dataclass(frozen=True)
class Source:
    """What a line of text says about a model.

    Attributes:
        kind: one of `KINDS`, or "file".
        place: what stands after the kind: a name, a path, a digest.
        options: by name, decoded.
    """

    kind: str
    place: str
    options: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str | Path) -> Source:
        """Read a source.

        >>> Source.parse("net.pt?arch=torchvision:resnet18&size=64").options
        {'arch': 'torchvision:resnet18', 'size': '64'}

        Raises:
            CheckpointError: if an option is unknown, said twice or empty.
        """
        text = str(text)
        found = None if _is_there(text) else _OPTIONS_AT_THE_END.search(text)
        place, said = (text, "") if found is None else (text[: found.start()], found[1])
        if found is None and "?" in text and "=" in text.rpartition("?")[2] and not _is_there(text):
            said, place = text.rpartition("?")[2], text.rpartition("?")[0]
        options: dict[str, str] = {}
        for pair in filter(None, said.split("&")):
            name, _, value = pair.partition("=")
            if name not in OPTIONS or name in options or not value:
                raise CheckpointError(
                    f"expected options out of {', '.join(OPTIONS)}, each once, got {pair[:60]!r}; mend the source"
                )
            options[name] = unquote(value)
        kind, colon, rest = place.partition(":")
        if colon and kind in KINDS:
            return cls(kind, rest, options)
        return cls("file", place, options)

    def text(self) -> str:
        """The source as one line; `parse` reads it back.

        >>> Source("upload", "ab12", {"names": "cat, big/dog"}).text()
        'upload:ab12?names=cat%2C%20big/dog'
        """
        place = self.place if self.kind == "file" else f"{self.kind}:{self.place}"
        said = "&".join(f"{name}={quote(value, safe=_SAFE)}" for name, value in self.options.items())
        return f"{place}?{said}" if said else place

    @property
    def runs_code(self) -> bool:
        """Whether loading it can run what somebody wrote into a file of this machine."""
        said = self.trained
        return said.kind == "module" or (said.kind == "file" and said.place.lower().endswith(".pt2"))

    @property
    def trained(self) -> Source:
        """The source whose architecture an untrained one has; itself of any other.

        >>> Source.parse("untrained:1:upload:ab12?size=64").trained.text()
        'upload:ab12?size=64'
        """
        if self.kind != UNTRAINED:
            return self
        inner = self.place.partition(":")[2] if _SEEDED.match(self.place) else self.place
        kind, colon, place = inner.partition(":")
        found = (kind, place) if colon and kind in KINDS else ("file", inner)
        return Source(*found, self.options).trained

    @property
    def seed(self) -> int:
        """Of the weights of an untrained one; 0 where none is said."""
        return int(self.place.partition(":")[0]) if self.kind == UNTRAINED and _SEEDED.match(self.place) else 0

    @property
    def size(self) -> tuple[int | None, int, int] | None:
        """Channels (None where they are not said), height and width; None where no size is said.

        Raises:
            CheckpointError: if the size is none.
        """
        said = self.options.get("size")
        if said is None:
            return None
        try:
            numbers = [int(number) for number in said.split("x")]
        except ValueError:
            numbers = []
        if not 1 <= len(numbers) <= 3 or any(not 1 <= number <= 4096 for number in numbers):
            raise CheckpointError(
                f"expected a size such as 224 or 3x224x224 pixels, got {said[:40]!r}; mend the source"
            )
        if len(numbers) == 1:
            numbers *= 2
        channels = numbers[0] if len(numbers) == 3 else None
        return channels, numbers[-2], numbers[-1]

    def numbers(self, name: str) -> tuple[float, ...] | None:
        """The numbers of `mean` or `std`; None where they are not said.

        Raises:
            CheckpointError: if they are no finite numbers.
        """
        said = self.options.get(name)
        if said is None:
            return None
        try:
            numbers = tuple(float(number) for number in said.split("/"))
        except ValueError:
            numbers = ()
        if not numbers or len(numbers) > 100 or not all(map(math.isfinite, numbers)):
            raise CheckpointError(f"expected numbers of {name} such as 0.5/0.5/0.5, got {said[:40]!r}; mend the source")
        return numbers


def _is_there(text: str) -> bool:
    try:
        return Path(text).exists()
    except (OSError, ValueError):  # a name too long, or with a zero byte
        return False
