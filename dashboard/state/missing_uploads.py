"""Missing files: an upload belongs to one session, so another session that needs it asks for the file."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from core.errors import CheckpointError, RecipeError
from core.recipes.recipe import source_in
from core.sources.images import ImageSource
from core.sources.models import NULLS, Source
from core.wording import abbreviated
from dashboard.state import address
from dashboard.state.uploader import dropped
from dashboard.uploads import own_images
from dashboard.uploads.session_uploads import own_uploads, read_only
from dashboard.viewer.words import escape_markdown

FORGOTTEN = "uploads are forgotten when a page is reloaded, closed, or loses its connection"


class MissingUploadError(RecipeError):
    """A link or recipe names a file, by its `digest`, that this session did not upload."""

    def __init__(self, digest: str) -> None:
        super().__init__(
            f"expected the file that it was made with, whose digest begins with {digest[:8]}, it is not here; "
            f"drop it below, and the rest comes back with it ({FORGOTTEN}; whoever made a link has its file)"
        )
        self.digest = digest


def ask_for_file() -> None:
    """An uploader for the missing file of a link or recipe, if there is one."""
    wanted = st.session_state.get("wanted")
    if not wanted or read_only():
        return
    digest, go_on = wanted
    files = dropped(
        f"The file whose digest begins with {digest[:8]}",
        f"wanted:{digest}",
        more="Its weights or pictures, and nothing else, are read; other people who use this server cannot see it. All"
        " shards at once, where there are several.",
    )
    if not files:
        about, sentence = st.session_state.get("wanted:refused", ("", ""))
        if about == digest:
            st.error(escape_markdown(sentence))
        return
    st.session_state["wanted:refused"] = digest, _brought(digest, files)
    if st.session_state["wanted:refused"][1]:
        address.rerun()
    try:
        go_on()
    except ValueError as error:  # it asks for another file as well
        st.session_state["refused"] = str(error)
    address.rerun()


def _brought(digest: str, files: Sequence[tuple[str, bytes]]) -> str:
    """Keep files that are those of a digest; else why they are not kept, in one sentence."""
    try:
        upload = own_uploads().add(files)
        if upload.digest != digest and len(files) > 1:  # pictures that were dropped together are kept as one file
            own_uploads().delete([upload.digest])
            upload = own_images.bring(files)
    except ValueError as error:  # too many, or too large
        return str(error)
    if upload.digest == digest:
        return ""
    own_uploads().delete([upload.digest])
    return f"expected the file {digest[:8]}, got {upload.name} ({upload.digest[:8]}); it is another one"


def is_here(source: str) -> bool:
    """Whether a model, with all that it is made of, is a demo model or this session's own."""
    if source.partition(":")[0] in NULLS:
        try:
            parsed = Source.parse(source)
            images = parsed.options.get("images", "demo:")
            if not images.startswith("demo:") and not own_images.knows(images):
                return False
            source = parsed.trained.text()
        except CheckpointError:
            return False
    return source.startswith("demo:") or own_uploads().knows(source)


def check_here(sources: Sequence[str]) -> None:
    """Raise unless every model is a demo model or one of this session's own.

    Raises:
        MissingUploadError: if one is an upload, whose file can be asked for.
        RecipeError: if one is something else, or its name is too long.
    """
    for each in sources:
        source_in(each)  # a name that no recipe takes would make every picture of this session fail
    source = next((source for source in sources if not is_here(source)), None)
    if source is None:
        return
    try:
        parsed = Source.parse(source).trained
    except CheckpointError as error:
        raise RecipeError(str(error)) from error
    if parsed.kind == "upload" and not own_uploads().knows(parsed.text()):
        raise MissingUploadError(parsed.place)
    check_images(Source.parse(source).options.get("images", "demo:"))
    if parsed.kind in ("torchvision", "timm"):
        raise RecipeError(
            f"expected a model that is here, got {abbreviated(source)}; bring it by name on the Model view"
        )
    raise RecipeError(f"expected demo models and images, got {abbreviated(source)}; open it on the command line")


def check_images(source: str) -> None:
    """Raise unless a source of images is one of the demo sets, or this session's own.

    Raises:
        MissingUploadError: if it is an upload, whose file can be asked for.
        RecipeError: if it is something else, or its name is too long.
    """
    source_in(source)
    if source.startswith("demo:") or own_images.knows(source):
        return
    if source.startswith("upload:"):
        raise MissingUploadError(ImageSource.parse(source).place)
    raise RecipeError(f"expected demo models and images, got {abbreviated(source)}; open it on the command line")
