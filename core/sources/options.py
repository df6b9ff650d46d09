"""The options at the end of a source, as `net.pt?arch=torchvision:resnet18&size=64` has them: read and written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import quote, unquote

_SAFE = "/:.-_+"  # signs that a value keeps; commas go, since a link joins its models with them


def read_options(said: str, allowed: Sequence[str], refusal: type[ValueError]) -> dict[str, str]:
    """The options of a source, by name.

    >>> read_options("size=64&names=cat%2C%20dog", ("size", "names"), ValueError)
    {'size': '64', 'names': 'cat, dog'}

    Args:
        said: what stands after the question mark.
        allowed: the names that there are.
        refusal: raised with one sentence if an option is unknown, said twice or empty.
    """
    options: dict[str, str] = {}
    for pair in filter(None, said.split("&")):
        name, _, value = pair.partition("=")
        if name not in allowed or name in options or not value:
            raise refusal(
                f"expected options out of {', '.join(allowed)}, each once, got {pair[:60]!a}; mend the source"
            )
        options[name] = unquote(value)
    return options


def with_options(place: str, options: Mapping[str, str]) -> str:
    """A source as one line, which `read_options` reads back from its end."""
    said = "&".join(f"{name}={quote(value, safe=_SAFE)}" for name, value in options.items())
    return f"{place}?{said}" if said else place


def is_there(text: str) -> bool:
    """Whether a text is the path of a file or folder, whose name may hold a question mark."""
    try:
        return Path(text).exists()
    except (OSError, ValueError):  # a name too long, or with a zero byte
        return False
