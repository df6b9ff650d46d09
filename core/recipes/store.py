"""Results cached on disk under the hash of everything they depend on, so that nothing is computed twice.

An entry is written to a temporary file, synced and renamed, and starts with the checksum of the rest: a reader, in this
process or another, sees a whole entry or none. A damaged entry is deleted and computed again. The store is bounded in
bytes; the least recently used entry is deleted first. Only its owner can read it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from core.files import atomic_write, cache_folder
from core.result import Result
from core.runtime.progress import OnProgress, silent

if TYPE_CHECKING:
    from core.images.image_set import ImageSet
    from core.models.classifier import Classifier
    from core.recipes.recipe import Recipe

logger = logging.getLogger(__name__)

DEFAULT_BYTES = 2 << 30
_LEFT_BEHIND = 600  # seconds after which a temporary file is one that a killed process left
_CHECKSUM_BYTES = hashlib.sha256().digest_size
_MOST_DESCRIBED = 256  # choices of rows of a set
_described: WeakKeyDictionary[ImageSet, dict[tuple[int, ...] | None, list[object]]] = WeakKeyDictionary()


class Store:
    """Results by key.

    Args:
        folder: where entries lie; `results` in the cache folder when not given.
        most_bytes: the largest total size of all entries.
    """

    def __init__(self, folder: Path | None = None, most_bytes: int = DEFAULT_BYTES) -> None:
        self.folder = folder or cache_folder() / "results"
        self._private = folder or cache_folder()
        self.most_bytes = most_bytes

    def get(self, key: str) -> Result | None:
        """The result stored under a key; None when there is none, or a damaged one, which is deleted."""
        if not key:
            return None
        path = self._path(key)
        try:
            entry = path.read_bytes()
        except OSError:
            return None
        checksum, data = entry[:_CHECKSUM_BYTES], entry[_CHECKSUM_BYTES:]
        if hashlib.sha256(data).digest() != checksum:
            path.unlink(missing_ok=True)
            return None
        with contextlib.suppress(OSError):  # another process made room meanwhile; what was read is whole
            os.utime(path)
        try:
            return Result.from_bytes(data)
        except ValueError:  # whole, but written by a version whose results had other fields
            path.unlink(missing_ok=True)
            return None

    def put(self, key: str, result: Result) -> None:
        """Store a result, unless the key is empty or the result is larger than the whole store."""
        data = result.to_bytes()
        if not key or len(data) > self.most_bytes:
            return
        try:
            with atomic_write(self._path(key), private=self._private) as file:
                file.write_bytes(hashlib.sha256(data).digest() + data)
            self._make_room()
        except OSError as error:  # a full or read-only disk costs time, not results
            logger.warning("a result could not be kept: %s", error)

    def fetch(
        self,
        recipe: Recipe,
        classifiers: Sequence[Classifier],
        images: ImageSet,
        on_progress: OnProgress = silent,
    ) -> Result:
        """The result of a part of a recipe: from the store, without a single forward, or computed and kept.

        Args:
            recipe: the part, see `Recipe.parts`.
            classifiers: its models, loaded.
            images: the recipe's image set, loaded whole.
            on_progress: called with the fraction done and coarser results.

        Returns:
            The result, with its recipe attached.

        Raises:
            ValueError: what the analysis raises for its input.
        """
        key = key_of(recipe, classifiers, images)
        found = self.get(key)
        if found is None:
            found = recipe.run(classifiers, images, on_progress)
            self.put(key, found)
        return replace(found, recipe=recipe.mapping())  # the first to compute it may have had another figure

    def _path(self, key: str) -> Path:
        return self.folder / key[:2] / f"{key}.entry"

    def _entries(self) -> Iterable[tuple[Path, int, float]]:
        """Path, bytes and time of last use of every entry."""
        for path in self.folder.glob("*/*.entry"):
            try:
                state = path.stat()
            except FileNotFoundError:  # dropped by another process between listing and looking
                continue
            yield path, state.st_size, state.st_mtime

    def _make_room(self) -> None:
        for part in self.folder.glob("*/.*.part"):
            with contextlib.suppress(OSError):
                if time.time() - part.stat().st_mtime > _LEFT_BEHIND:
                    part.unlink(missing_ok=True)
        for path in (*self.folder.glob("*"), *self.folder.glob("*/*.entry")):
            with contextlib.suppress(OSError):
                if (mode := path.stat().st_mode) & 0o077:  # kept by a version that let others read it
                    path.chmod(mode & 0o700)
        entries = sorted(self._entries(), key=lambda entry: entry[2])
        total = sum(size for _, size, _ in entries)
        for path, size, _ in entries:
            if total <= self.most_bytes:
                break
            path.unlink(missing_ok=True)
            total -= size


def key_of(recipe: Recipe, classifiers: Sequence[Classifier], images: ImageSet) -> str:
    """SHA-256 over all that the result of a part depends on; "" where a classifier cannot be fingerprinted.

    Figure settings do not enter: they never cause a computation. The reference and the rest of the image set do only
    where the analysis, at these parameters, looks at them.

    Raises:
        RecipeError: if a chosen row is not in the set.
    """
    analysis = recipe.definition
    recipe.check_rows(images)
    shared = analysis.shared(recipe.parameters)
    models = classifiers if shared or analysis.joint else classifiers[-1:]
    fingerprints = [classifier.fingerprint for classifier in models]
    if not all(fingerprints):
        return ""
    parts = {
        "analysis": analysis.name,
        "version": analysis.version,
        "fingerprints": fingerprints,
        "images": [_words_and_pixels(images, recipe.rows), _words_and_pixels(images) if shared else ""],
        "rows": list(recipe.rows) if shared else [],
        "parameters": {name: list(v) if isinstance(v, tuple) else v for name, v in recipe.parameters.items()},
        "dtype": str(classifiers[-1].dtype),
        "device": classifiers[-1].device.type,
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _words_and_pixels(images: ImageSet, rows: tuple[int, ...] | None = None) -> list[object]:
    """What results depend on of an image set, or of these rows: labels and names enter figures and choose neighbours.

    A page asks for the same key each time it looks for a result, so the list is cached for as long as the set exists.
    """
    described = _described.setdefault(images, {})
    found = described.get(rows)
    if found is None:
        chosen = images if rows is None else images[list(rows)]
        pairs = [list(chosen.partners)] if chosen.partners else []
        found = [chosen.digest, chosen.labels.tolist(), list(chosen.names), list(chosen.class_names), *pairs]
        if len(described) >= _MOST_DESCRIBED:
            described.clear()
        described[rows] = found
    return found
