"""The uploaded files of one session, models and images, which no other session can access.

An upload is written to a private temporary file and identified by its digest. `upload:DIGEST` has a meaning only in the
session that uploaded it; when its browser disconnects, or forgets the model or the images, the files are deleted.
"""

from __future__ import annotations

import atexit
import os
import re
import shutil
import tempfile
import threading
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from weakref import WeakSet

import streamlit as st

from core.errors import CheckpointError
from core.files import keep_private
from core.models.classifier import Classifier
from core.models.third_party import digest_of
from core.sources.models import Source
from dashboard.uploads import limits
from dashboard.uploads.session_cache import loaded, unload

READ_ONLY = "BOUNDARY_ATLAS_READ_ONLY"  # set by `python -m dashboard --read-only`
MOST_FILES = 6  # of one session; a series of checkpoints counts as one
MOST_CHECKPOINTS = 100  # of one series
MOST_BYTES = limits.current().session_uploads  # of one session, on disk; the server sets it before this is here
LARGEST = limits.current().upload // limits.MB  # MB of one file
_FOLDER = "boundary-atlas-uploads"
_BY_NAME = ("torchvision", "timm")  # libraries that a page may load from
_everybody: WeakSet[Uploads] = WeakSet()


@dataclass(frozen=True)
class Upload:
    """Uploaded files that are one checkpoint, or a list of class names.

    Attributes:
        digest: see `core.models.third_party.digest_of`.
        name: of the first file, as uploaded.
        paths: of the files, with mode 0600.
        size: in bytes.
        series: the name of its series, "" without one.
    """

    digest: str
    name: str
    paths: tuple[Path, ...]
    size: int
    series: str = ""


class Uploads:
    """The uploads of one session, and the models and images made of them."""

    def __init__(self) -> None:
        self.files: dict[str, Upload] = {}
        self.models: list[str] = []
        self.series: dict[str, tuple[str, ...]] = {}  # sources of checkpoints, in their order
        self.images: list[str] = []
        self.token = uuid.uuid4().hex  # identifies this session in caches
        self._folder: Path | None = None
        self._lock = threading.Lock()
        _everybody.add(self)

    @property
    def size(self) -> int:
        """Bytes of its files on disk."""
        return sum(upload.size for upload in list(self.files.values()))

    def add(self, files: Sequence[tuple[str, bytes]]) -> Upload:
        """Keep files; equal ones are kept once.

        Args:
            files: name and content of each.

        Returns:
            The upload.

        Raises:
            CheckpointError: if uploads are switched off, or these are too many or too large.
        """
        self._check_room(sum(len(content) for _, content in files), bool(files))
        return self._keep(files)

    def add_series(self, files: Sequence[tuple[str, Callable[[], bytes]]], series: str) -> list[Upload]:
        """Keep files of one checkpoint each, which count as one upload.

        Args:
            files: name of each, and a function that returns its content.
            series: the name of the series.

        Returns:
            The uploads, in the order of the files; equal files have the same one.

        Raises:
            CheckpointError: if uploads are switched off, or these are too many or too large; then none is kept.
            BaseException: if `read` raises it; then none is kept either.
        """
        if not 1 <= len(files) <= MOST_CHECKPOINTS:
            raise CheckpointError(
                f"expected 1 to {MOST_CHECKPOINTS} checkpoints, got {len(files)}; choose some of them"
            )
        before, found = set(self.files), []
        try:
            self._check_room(0, True)
            for name, read in files:
                content = read()
                self._check_room(len(content), True, series)
                found.append(self._keep([(name, content)], series))
        except BaseException:
            self.delete({each.digest for each in found} - before)
            raise
        return found

    def _check_room(self, size: int, any_files: bool, series: str = "") -> None:
        if read_only():
            raise CheckpointError(
                "expected demo models and images, this server takes no uploads; start your own without --read-only"
            )
        uploads = {upload.series or upload.digest for upload in self.files.values()} - {series}
        if not any_files or self.size + size > MOST_BYTES or len(uploads) >= MOST_FILES:
            raise CheckpointError(
                f"expected at most {MOST_FILES} uploads of {MOST_BYTES >> 20} MB together, got one more; forget another"
            )
        if sum(each.size for each in list(_everybody)) + size > limits.current().all_uploads:
            raise CheckpointError(
                "expected room for one more upload, those of all who use this server fill it; try again later"
            )

    def _keep(self, files: Sequence[tuple[str, bytes]], series: str = "") -> Upload:
        with self._lock:
            inside = Path(tempfile.mkdtemp(dir=self._private()))
            paths = []
            for number, (name, content) in enumerate(files):
                plain = re.sub(r"[^A-Za-z0-9._-]", "_", Path(name).name).lstrip(".")[-80:]
                path = inside / (f"{number}-{plain}" if number else plain or "file")
                with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                    file.write(content)
                paths.append(path)
            digest = digest_of(paths)
            if digest in self.files:
                shutil.rmtree(inside, ignore_errors=True)
            else:
                shown = "".join(sign for sign in files[0][0] if sign.isprintable())[:80]
                size = sum(len(content) for _, content in files)
                self.files[digest] = Upload(digest, shown, tuple(paths), size, series)
            return self.files[digest]

    def paths(self, digest: str) -> tuple[Path, ...]:
        """The files of an upload of this session; empty if it has none of that digest."""
        upload = self.files.get(digest)
        return upload.paths if upload is not None else ()

    def knows(self, source: str) -> bool:
        """Whether this session may load a source other than a demo: its own upload, or a library's model it chose."""
        try:
            parsed = Source.parse(source)
        except CheckpointError:
            return False
        return parsed.place in self.files if parsed.kind == "upload" else source in self.models

    def use(self, source: str) -> None:
        """Offer a model in the frame."""
        if source not in self.models and not self.series_of(source):
            self.models.append(source)

    def use_series(self, name: str, sources: Sequence[str]) -> None:
        """Offer checkpoints in the frame as one entry with a slider."""
        self.series[name] = tuple(sources)

    def series_of(self, source: str) -> str:
        """The name of a checkpoint's series; "" for other models."""
        return next((name for name, sources in self.series.items() if source in sources), "")

    def together(self, source: str) -> tuple[str, ...]:
        """The checkpoints of a model's series; the model alone if it has none."""
        return self.series.get(self.series_of(source), (source,))

    def forget(self, source: str) -> None:
        """Drop a model with its series, and delete files that no other model uses."""
        gone = self.together(source)
        self.series.pop(self.series_of(source), None)
        self.models = [each for each in self.models if each not in gone]
        self._delete_unused(gone)

    def replace(self, source: str, changed: Sequence[str]) -> None:
        """Replace a model, or its series, by a changed one in the same place."""
        gone, series = self.together(source), self.series_of(source)
        if series:
            self.series[series] = tuple(changed)
        else:
            self.models = list(dict.fromkeys(changed[0] if each == source else each for each in self.models))
        self._delete_unused(gone)

    def _delete_unused(self, gone: Iterable[str]) -> None:
        """Delete the files of these sources that no model uses."""
        left = (*self.models, *(each for sources in self.series.values() for each in sources))
        wanted = {digest for each in left for digest in _digests(each)}
        self.delete({digest for each in gone for digest in _digests(each)} - wanted)

    def delete(self, digests: Iterable[str]) -> None:
        """Delete uploaded files."""
        for digest in digests:
            upload = self.files.pop(digest, None)
            if upload is not None:
                shutil.rmtree(upload.paths[0].parent, ignore_errors=True)

    def close(self) -> None:
        """Delete everything."""
        self.files.clear()
        self.models.clear()
        self.series.clear()
        self.images.clear()
        unload(self.token)
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def _private(self) -> Path:
        """This session's folder, which only its owner can open."""
        if self._folder is None:
            root = Path(tempfile.gettempdir()) / f"{_FOLDER}-{os.getuid()}"
            if root.is_symlink() or (root.exists() and root.stat().st_uid != os.getuid()):
                raise CheckpointError("expected a temporary folder of our own, somebody else owns it; set TMPDIR")
            keep_private(root)
            _sweep(root)
            atexit.register(_sweep, root, ended=os.getpid())  # whatever the sessions leave
            self._folder = Path(tempfile.mkdtemp(prefix=f"{os.getpid()}-", dir=root))
        return self._folder


def _sweep(root: Path, ended: int = 0) -> None:
    """Delete the folders of servers that were killed, or of one that ends."""
    for folder in root.iterdir() if root.is_dir() else ():
        process = folder.name.partition("-")[0]
        gone = process.isdecimal() and not Path(f"/proc/{process}").exists() and Path("/proc/self").exists()
        if gone or process == str(ended):
            shutil.rmtree(folder, ignore_errors=True)


def _digests(source: str) -> list[str]:
    """The digests that a source names: of its weights and its list of class names."""
    parsed = Source.parse(source)
    found = [parsed.place] if parsed.kind == "upload" else []
    names = parsed.options.get("names", "")
    return [*found, names.removeprefix("list:")] if names.startswith("list:") else found


def read_only() -> bool:
    """Whether this server accepts no uploads."""
    return bool(os.environ.get(READ_ONLY))


@st.cache_resource(scope="session", show_spinner=False, on_release=lambda uploads: uploads.close())
def own_uploads() -> Uploads:
    """The uploads of this session; deleted when its browser disconnects."""
    return Uploads()


def own_classifier(source: str) -> Classifier:
    """A model of this session; read-only.

    Raises:
        CheckpointError: if this session has no such model, or it cannot be loaded.
    """
    return own_loader()(source)


def own_loader() -> Callable[[str], Classifier]:
    """A function that loads models of this session, also on a worker, where Streamlit has no session."""
    from core.models.load import load_classifier

    uploads = own_uploads()

    def load(source: str) -> Classifier:
        parsed = Source.parse(source)
        if parsed.kind != "upload" and (parsed.kind not in _BY_NAME or source not in uploads.models):
            raise CheckpointError(
                f"expected a demo model or one of yours, got {source[:80]!a}; bring it on the Model view"
            )
        return loaded(
            uploads.token,
            f"model {source}",
            lambda: load_classifier(source, uploads=uploads.paths, trust=False),
            bytes_of,
        )

    return load


def bytes_of(classifier: Classifier) -> int:
    """Bytes of a model's weights and buffers."""
    state = (*classifier.module.parameters(), *classifier.module.buffers())
    return sum(tensor.numel() * tensor.element_size() for tensor in state)


def name_of(source: str) -> str:
    """The name of a model of this session in the frame."""
    parsed = Source.parse(source)
    if "name" in parsed.options:
        return parsed.options["name"]
    upload = own_uploads().files.get(parsed.place)
    return upload.name if upload is not None else parsed.place
