"""Trust: the models that may be loaded for a recipe, a link or a file from anybody.

The list is short: demo models, uploads, architectures of torchvision and timm by their exact names with the libraries'
own weights, weights of the hub, and files of weights. Our own reader reads all of these, and runs nothing. Any other
model may run code that comes with it, and is loaded only if a user names it on the command line or in Python, or adds
`--trust`.

Among images, the torchvision data sets need trust, since that library reads them itself; among class names, those in
files of this machine.

A file is judged by its content, at the resolved path; its name and the spelling of the path do not matter.
"""

from __future__ import annotations

import re
from pathlib import Path

from core.errors import CheckpointError
from core.models.tensor_files import WEIGHTS
from core.runtime.sandbox import Limits, isolated
from core.sources.models import Source

NAMED = ("torchvision", "timm")  # libraries whose architectures and weights are named
_NAME = re.compile(r"[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)?(:[A-Za-z0-9_]+)?")
_PROGRAMS = (".pt2", ".onnx")  # endings of files that are run when loaded, if they are trusted


def require_trust(source: str | Source) -> None:
    """Raise if a model needs trust.

    Args:
        source: of the model; a null is judged by the model that it is made from.

    Raises:
        CheckpointError: if loading it may run code, or the source is not valid.
    """
    whole = Source.parse(source) if isinstance(source, str) else source
    require_trusted_images(whole.options.get("images", ""))
    trained = whole.trained
    if trained.options.get("names", "").startswith("file:"):
        raise CheckpointError(
            f"expected class names in the source itself, got {trained.options['names'][:80]}, a file of this machine; "
            "look at it, then add --trust"
        )
    match trained.kind:
        case "demo" | "upload" | "hf-hub":
            return
        case "torchvision" | "timm" if _NAME.fullmatch(trained.place):
            return
        case "file" if not _runs(Path(trained.place)):
            return
    raise CheckpointError(
        f"expected weights, got a model that runs code by {trained.text()[:80]}; look at it, then add --trust"
    )


def require_trusted_images(source: str) -> None:
    """Raise if a set of images is not read by our own readers.

    Args:
        source: of the images; "" for none.

    Raises:
        CheckpointError: if torchvision reads it, some of whose data sets are pickles.
    """
    if source.startswith("torchvision:"):
        raise CheckpointError(
            f"expected images that are read here, got {source[:80]}, which torchvision reads itself, pickles among them"
            "; look at it, then add --trust"
        )


def is_program(path: Path) -> bool:
    """Whether a file's ending says that it is run when loaded."""
    return path.suffix.lower() in _PROGRAMS


def _runs(path: Path) -> bool:
    """Whether a file is anything but weights; a missing file or a folder of shards is not run."""
    try:
        place = path.resolve()
        if not place.is_file() or place.name.endswith(".json"):
            return False
        size = place.stat().st_size
    except (OSError, RuntimeError, ValueError):  # a loop of links, a name that no file can have
        return False
    found = isolated(
        "core.models.tensor_files:kind",
        name=place.name[:80],
        limits=Limits.of(size),
        refusal=CheckpointError,
        path=str(place),
    )
    return found not in WEIGHTS
