"""Parse and write one line of text that names a model or images: its kind, place and options.

`net.pt?arch=torchvision:resnet18&size=64` is a file with two options.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, unquote

UploadFinder = Callable[[str], Sequence[Path]]  # the files of an upload, by its digest

_SAFE = "/:.-_+"  # characters of a value that are not encoded; commas are, since a link joins its models with them


@dataclass(frozen=True)
class NamedSource:
    """A parsed line of text that names a model or a set of images.

    Attributes:
        kind: one of the known kinds, or "file".
        place: what follows the kind: a name, a path, a digest.
        options: values by name, decoded.
    """

    kind: str
    place: str
    options: Mapping[str, str] = field(default_factory=dict)

    def text(self) -> str:
        """The source as one line; `parse` reads it back."""
        place = self.place if self.kind == "file" else f"{self.kind}:{self.place}"
        options = "&".join(f"{name}={quote(value, safe=_SAFE)}" for name, value in self.options.items())
        return f"{place}?{options}" if options else place


def split_options(text: str) -> tuple[str, str]:
    """A source without its options, and the options; the path of an existing file may contain a question mark.

    >>> split_options("net.pt?size=64"), split_options("what?.png")
    (('net.pt', 'size=64'), ('what?.png', ''))
    """
    place, mark, options = text.rpartition("?")
    return (place, options) if mark and "=" in options and not is_there(text) else (text, "")


def split_kind(text: str, kinds: Sequence[str]) -> tuple[str, str]:
    """The kind of a source without options ("file" where it starts with none of `kinds`), and what follows it."""
    kind, colon, place = text.partition(":")
    return (kind, place) if colon and kind in kinds else ("file", text)


def read_options(text: str, allowed: Sequence[str], refusal: type[ValueError]) -> dict[str, str]:
    """The options of a source, by name.

    >>> read_options("size=64&names=cat%2C%20dog", ("size", "names"), ValueError)
    {'size': '64', 'names': 'cat, dog'}

    Args:
        text: what follows the question mark.
        allowed: the known names.
        refusal: the error to raise if an option is unknown, given twice or empty.
    """
    options: dict[str, str] = {}
    for pair in filter(None, text.split("&")):
        name, _, value = pair.partition("=")
        if name not in allowed or name in options or not value:
            raise refusal(
                f"expected options out of {', '.join(allowed)}, each once, got {pair[:60]!a}; mend the source"
            )
        options[name] = unquote(value)
    return options


def is_there(text: str) -> bool:
    """Whether a text is the path of an existing file or folder."""
    return os.path.exists(text)  # noqa: PTH110 - `Path` raises for a name that is too long
