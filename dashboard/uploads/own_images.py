"""The images of one session: files that no other session can access, read at the input size of a model."""

from __future__ import annotations

import io
import zipfile
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import PurePosixPath

import numpy as np

from core.errors import ImageError
from core.images import collections
from core.images.collections import Gathered, gather
from core.images.files import SUFFIXES, ending_of
from core.images.image_set import ImageSet
from core.images.listing import ARRAYS
from core.images.tables import TABLES
from core.sources.images import ImageSource
from dashboard.uploads.session_cache import loaded, unload
from dashboard.uploads.session_uploads import Upload, own_uploads

MOST_FILES = 5000  # dropped at once
MOST_VALUES = 2**26  # of one set on a server: 256 MB as float32
_ALONE = (".zip", *ARRAYS)
ENDINGS = (*sorted(SUFFIXES), *_ALONE, *TABLES)
_FIXED = (1980, 1, 1, 0, 0, 0)  # the same files give the same bundle at any time


def bundle(files: Sequence[tuple[str, bytes]]) -> tuple[str, bytes]:
    """Files as one: a single file as it is, several as a zip that is the same whatever their order.

    Files of one name, from several folders, are numbered: `1.png`, `1 (2).png`.

    Args:
        files: name and content of each.

    Returns:
        Name and content.

    Raises:
        ImageError: if there are none, or too many, or several of a kind that stands alone, or a table among files of
            one name, which would be ambiguous.
    """
    if not 1 <= len(files) <= MOST_FILES:
        raise ImageError(f"expected 1 to {MOST_FILES:,} files at once, got {len(files):,}; pack them into a zip")
    if len(files) == 1:
        name = files[0][0]
        if ending_of(name) in TABLES:
            raise ImageError(
                f"expected pictures, got the table {name[:80]!a} alone; drop it with the pictures it names"
            )
        return files[0]
    alone = next((name for name, _ in files if ending_of(name) in _ALONE), None)
    if alone is not None:
        raise ImageError(f"expected {alone[:80]!a} alone, got {len(files) - 1} more files; drop them one after another")
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as made:
        for name, content in _numbered([(PurePosixPath(name).name, content) for name, content in files]):
            made.writestr(zipfile.ZipInfo(name, _FIXED), content)
    return f"{len(files)} files.zip", buffer.getvalue()


def _numbered(files: Sequence[tuple[str, bytes]]) -> list[tuple[str, bytes]]:
    """Files in order, each with its own name.

    Raises:
        ImageError: if a table is among files of one name.
    """
    counts = Counter(name for name, _ in files)
    twice = next((name for name, count in counts.items() if count > 1), None)
    if twice is not None and any(ending_of(name) in TABLES for name in counts):
        raise ImageError(
            f"expected every name once beside a table, got {twice[:80]!a} twice; drop a zip of their folders instead"
        )
    made: list[tuple[str, bytes]] = []
    taken, last = set(counts), ""
    for name, content in sorted(files):
        own, number = name, 2
        path = PurePosixPath(name)
        while name == last and own in taken:
            own, number = f"{path.stem} ({number}){path.suffix}", number + 1
        taken.add(own)
        made.append((own, content))
        last = name
    return made


def bring(files: Sequence[tuple[str, bytes]]) -> Upload:
    """Keep dropped files; see `bundle`.

    Raises:
        ImageError: see `bundle`.
        CheckpointError: if uploads are switched off, or these are too many or too large.
    """
    return own_uploads().add([bundle(files)])


def knows(source: str) -> bool:
    """Whether a source is this session's own upload."""
    try:
        parsed = ImageSource.parse(source)
    except ImageError:
        return False
    return parsed.kind == "upload" and parsed.place in own_uploads().files


def gathered(source: str, on_progress: Callable[[float], None] = lambda fraction: None) -> Gathered:
    """A set of images of this session, with what was done to each; read-only.

    Args:
        source: of the set.
        on_progress: called with the fraction done when the file is read for the first time.

    Returns:
        The set.

    Raises:
        ImageError: if this session has no such file, or nothing of it can be used.
        BaseException: if `on_progress` raises it.
    """
    uploads, parsed = own_uploads(), ImageSource.parse(source)
    if parsed.kind != "upload":
        raise ImageError(f"expected a demo set or images of yours, got {source[:80]!a}; bring them on the Images view")
    bare = parsed.changed(classes=None, labels="none").text()

    def read() -> Gathered:
        if parsed.text() == bare:
            return gather(source, uploads=uploads.paths, most_values=MOST_VALUES, on_progress=on_progress)
        return gathered(bare, on_progress).classed(parsed)

    return loaded(uploads.token, f"images {source}", read, lambda found: found.images.pixels.nbytes)


def own_images(source: str) -> ImageSet:
    """The images of such a set.

    Raises:
        ImageError: see `gathered`.
    """
    return gathered(source).images


def previews(source: str, rows: Sequence[int]) -> list[np.ndarray]:
    """Small previews of images of such a set as their files hold them, with a frame around the part that is kept.

    Args:
        source: of the set.
        rows: of the images.

    Returns:
        (height, width, 3) uint8 each.

    Raises:
        ImageError: see `gathered`.
    """
    notes, uploads = gathered(source).notes, own_uploads()

    def make() -> list[np.ndarray]:
        return collections.previews(source, [notes[row] for row in rows], uploads=uploads.paths)

    name = f"previews {source} {','.join(map(str, rows))}"
    return loaded(uploads.token, name, make, lambda made: sum(each.nbytes for each in made))


def offered() -> tuple[str, ...]:
    """The sets that this session offers to its views."""
    return tuple(own_uploads().images)


def offer(source: str) -> None:
    """Offer a set in the frame, replacing the same files read otherwise."""
    digest, uploads = ImageSource.parse(source).place, own_uploads()
    uploads.images = [each for each in uploads.images if ImageSource.parse(each).place != digest] + [source]


def forget(source: str) -> None:
    """Drop a set, and delete its file."""
    uploads, digest = own_uploads(), ImageSource.parse(source).place
    uploads.images = [each for each in uploads.images if ImageSource.parse(each).place != digest]
    uploads.delete([digest])
    unload(uploads.token)


def fitted(source: str, shape: Sequence[int], num_classes: int | None = None) -> str:
    """The source of the same files read for another model.

    Args:
        source: of a set of this session.
        shape: of the model's input (c, h, w).
        num_classes: of the model; if the pictures have more, their classes are left out.

    Returns:
        The source.
    """
    channels, height, width = shape
    size = str(height) if height == width else f"{height}x{width}"
    parsed = ImageSource.parse(source).changed(size=size, channels=str(channels) if channels in (1, 3) else None)
    if num_classes is not None and len(own_images(parsed.text()).class_names) > num_classes:
        parsed = parsed.changed(labels="none")
    return parsed.text()


def name_of(source: str) -> str:
    """The name of a set of this session in the frame."""
    upload = own_uploads().files.get(ImageSource.parse(source).place)
    return upload.name if upload is not None else source[:40]
