"""torchvision data sets that are on disk; nothing is downloaded."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from core.errors import ImageError
from core.images.listing import Listed, Named, fitting
from core.sources.images import ImageSource, rows_of

# Each data set with its parts, and torchvision's arguments for them; the first part is the default
_TRAIN = {"test": {"train": False}, "train": {"train": True}}
_SPLITS: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    **dict.fromkeys(("CIFAR10", "CIFAR100", "MNIST", "FashionMNIST", "KMNIST", "USPS"), _TRAIN),
    **{
        name: {part: {"split": part} for part in parts}
        for name, parts in {
            "Country211": ("test", "valid", "train"),
            "DTD": ("test", "val", "train"),
            "FGVCAircraft": ("test", "val", "train"),
            "Flowers102": ("test", "val", "train"),
            "Food101": ("test", "train"),
            "GTSRB": ("test", "train"),
            "ImageNet": ("val", "train"),
            "Imagenette": ("val", "train"),
            "OxfordIIITPet": ("test", "trainval"),
            "PCAM": ("test", "val", "train"),
            "StanfordCars": ("test", "train"),
            "STL10": ("test", "train"),
            "SVHN": ("test", "train"),
        }.items()
    },
}


def dataset_pictures(source: ImageSource) -> Listed:
    """The pictures of a data set that a source names, with their classes.

    Args:
        source: a source of the kind `torchvision`; `root` is torchvision's folder of the data set.

    Raises:
        ImageError: if the data set or its part is unknown, not on disk or too large.
    """
    from torchvision import datasets

    name, root = source.place, source.options.get("root", "")
    if name not in _SPLITS:
        raise ImageError(f"expected a data set out of {', '.join(sorted(_SPLITS))}, got {name[:40]!a}; choose one")
    parts = _SPLITS[name]
    part = source.options.get("split", next(iter(parts)))
    if part not in parts or not root:
        raise ImageError(
            f"expected torchvision:{name}?root=FOLDER&split=PART with a part out of {', '.join(parts)},"
            f" got {source.text()[:80]!a}; mend the source"
        )
    try:
        found = getattr(datasets, name)(root, **parts[part])
        count = len(found)
    except (RuntimeError, OSError, ValueError, TypeError, LookupError, ImportError, EOFError) as error:
        raise ImageError(
            f"expected {name} in {root[-60:]!a} as torchvision keeps it, it is not there or damaged; "
            f"fetch it with torchvision.datasets.{name}(root, download=True)"
        ) from error
    classes = [each if isinstance(each, str) else each[0] for each in getattr(found, "classes", None) or ()]
    width, labels = len(str(count - 1)), _labels(found)
    pictures = [
        Named(
            f"{name} {part} {row:0{width}d}",
            str(labels[row] if labels else int(found[row][1])),
            fitting(_reader(found, row)),
        )
        for row in rows_of(count, source.most, name)
    ]
    return Listed(pictures, class_names=tuple(classes))


def _labels(found: Any) -> list[int]:
    """The classes of a data set that keeps them in one list; else empty."""
    labels = next((getattr(found, name) for name in ("targets", "labels", "_labels") if hasattr(found, name)), None)
    return [] if labels is None or len(labels) != len(found) else [int(label) for label in labels]


def _reader(found: Any, row: int) -> Callable[[], np.ndarray]:
    def read() -> np.ndarray:
        image = found[row][0]
        return np.asarray(image if image.mode in ("L", "RGB") else image.convert("RGB"))

    return read
