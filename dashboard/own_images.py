"""The images that one session brought: files that nobody else can name, read to the size of a model."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from pathlib import PurePosixPath

import numpy as np

from core.errors import ImageError
from core.image_collections import Gathered, gather, upright
from core.image_files import SUFFIXES
from core.image_previews import preview
from core.image_sources import ImageSource
from core.images import ImageSet
from dashboard.brought import Upload, brought
from dashboard.held import held

MOST_FILES = 5000  # dropped at once
MOST_VALUES = 2**26  # of one set on a server: 256 MB as float32
ENDINGS = (*sorted(SUFFIXES), ".zip", ".npz", ".npy", ".csv")
_FIXED = (1980, 1, 1, 0, 0, 0)  # the same files give the same bundle, whenever they were made


def bundle(files: Sequence[tuple[str, bytes]]) -> tuple[str, bytes]:
    """Files as one: a single file as it is, several as a zip that is the same whatever their order.

    Args:
        files: name and content of each.

    Returns:
        Name and content.

    Raises:
        ImageError: if there are none, or too many, or several of a kind that stands alone.
    """
    if not 1 <= len(files) <= MOST_FILES:
        raise ImageError(f"expected 1 to {MOST_FILES:,} files at once, got {len(files):,}; pack them into a zip")
    if len(files) == 1:
        return files[0]
    alone = next((name for name, _ in files if PurePosixPath(name).suffix.lower() in (".zip", ".npz", ".npy")), None)
    if alone is not None:
        raise ImageError(f"expected {alone[:80]!a} alone, got {len(files) - 1} more files; drop them one after another")
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as made:
        for name, content in dict(sorted(files)).items():
            made.writestr(zipfile.ZipInfo(PurePosixPath(name).name, _FIXED), content)
    return f"{len(files)} files.zip", buffer.getvalue()


def bring(files: Sequence[tuple[str, bytes]]) -> Upload:
    """Keep files that were dropped; see `bundle`.

    Raises:
        ImageError: see `bundle`.
        CheckpointError: if uploads are switched off, or these are too many or too large.
    """
    return brought().add([bundle(files)])


def knows(source: str) -> bool:
    """Whether this session may read a source: its own upload."""
    try:
        said = ImageSource.parse(source)
    except ImageError:
        return False
    return said.kind == "upload" and said.place in brought().files


def gathered(source: str) -> Gathered:
    """A set of images that this session brought, with what was done to them; read-only.

    Raises:
        ImageError: if this session brought no such file, or nothing of it can be used.
    """
    kept, said = brought(), ImageSource.parse(source)
    if said.kind != "upload":
        raise ImageError(f"expected a demo set or images of yours, got {source[:80]!a}; bring them on the Images view")
    return held().get(
        kept.token,
        f"images {source}",
        lambda: gather(source, uploads=kept.paths, most_values=MOST_VALUES),
        lambda found: found.images.pixels.nbytes,
    )


def own_images(source: str) -> ImageSet:
    """The images of such a set.

    Raises:
        ImageError: see `gathered`.
    """
    return gathered(source).images


def previews(source: str, rows: Sequence[int]) -> list[np.ndarray]:
    """Some images of such a set as their files hold them, small, with what is kept of each framed.

    Args:
        source: of the set.
        rows: of the images.

    Returns:
        (height, width, 3) uint8 each.

    Raises:
        ImageError: see `gathered`.
    """
    notes, kept = gathered(source).notes, brought()
    few = [notes[row] for row in rows]

    def make() -> list[np.ndarray]:
        pictures = upright(source, [note.name for note in few], uploads=kept.paths)
        return [preview(picture.pixels, note.box) for picture, note in zip(pictures, few, strict=True)]

    name = f"previews {source} {','.join(map(str, rows))}"
    return held().get(kept.token, name, make, lambda made: sum(each.nbytes for each in made))


def offered() -> tuple[str, ...]:
    """The sets that this session offers to its views."""
    return tuple(brought().images)


def offer(source: str) -> None:
    """Offer a set in the frame, in place of the same files read otherwise."""
    digest, kept = ImageSource.parse(source).place, brought()
    kept.images = [each for each in kept.images if ImageSource.parse(each).place != digest] + [source]


def forget(source: str) -> None:
    """Drop a set, and delete its file."""
    kept, digest = brought(), ImageSource.parse(source).place
    kept.images = [each for each in kept.images if ImageSource.parse(each).place != digest]
    kept.delete([digest])
    held().drop(kept.token)


def fitted(source: str, shape: Sequence[int], num_classes: int | None = None) -> str:
    """The source of the same files read for another model.

    Args:
        source: of a set of this session.
        shape: of the model's input (c, h, w).
        num_classes: of the model; where the pictures have more, theirs are left out.

    Returns:
        The source.
    """
    channels, height, width = shape
    size = str(height) if height == width else f"{height}x{width}"
    said = ImageSource.parse(source).changed(size=size, channels=str(channels) if channels in (1, 3) else None)
    if num_classes is not None and len(own_images(said.text()).class_names) > num_classes:
        said = said.changed(labels="none")
    return said.text()


def name_of(source: str) -> str:
    """How the frame calls a set of this session."""
    upload = brought().files.get(ImageSource.parse(source).place)
    return upload.name if upload is not None else source[:40]
