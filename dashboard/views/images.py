"""Bring your own images: what their files hold, what is done to them, and their classes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import streamlit as st

from core.analyses.analysis import thumbnails
from core.images.archives import Refused
from core.images.collections import Gathered
from core.images.reading import Note
from core.sources.images import ImageSource
from dashboard.state import address, session
from dashboard.state.uploader import dropped
from dashboard.uploads import own_images
from dashboard.uploads.reading import watched
from dashboard.uploads.session_uploads import own_uploads, read_only
from dashboard.viewer.words import escape_markdown
from dashboard.widgets import controls, page
from dashboard.work.unforeseen import user_message

SHOWN, ABREAST = 6, 3  # pictures shown next to the model's input, and how many of them per row
MOST_ROWS = 500  # of a table or a list
_FEW = 6  # lines of a list that is shown whole
_NAME = 24  # letters of a file's name under its picture
_LONGEST = 300  # characters of class names that a link carries
FITS = {"crop": "its middle", "stretch": "all of it, stretched"}
NONE, FOLDERS, BY_NAME = "none", "as in the files", "by the model's names"


def bring() -> None:
    """Where the images come from."""
    if read_only():
        st.info("This server takes no uploads. Start your own without --read-only to bring images.")
        return
    files = dropped(
        "Pictures",
        "images",
        more=f"Files, a zip, or an NPZ; at most {own_images.MOST_FILES:,} at once. A CSV beside them may name classes.",
    )
    if not files:
        return
    try:
        upload = own_images.bring(files)
        st.session_state["images:draft"] = upload.digest
        st.session_state["images:several"] = len(files) > 1
        st.session_state["images:refused"] = ""
        for name in ("images:fit", "images:labels"):
            st.session_state.pop(name, None)
    except Exception as error:  # noqa: BLE001 - also unexpected errors
        st.session_state["images:refused"] = user_message(error)
    address.rerun()


def draft() -> ImageSource | None:
    """The upload on view, fitted to the first model; None without one."""
    digest = st.session_state.get("images:draft")
    if digest not in own_uploads().files:
        return None
    shape = session.classifier(session.models()[0]).input_shape
    return ImageSource.parse(own_images.fitted(f"upload:{digest}", shape))


def read(source: ImageSource) -> Gathered | None:
    """What is in the file; None if nothing can be used: then the page says so and the file is deleted."""
    try:
        key = f"images:cancel:{source.text()}"
        with watched(key, "the pictures", partial(cancel, source.text())) as progress:
            return own_images.gathered(source.text(), progress)
    except Exception as error:  # noqa: BLE001 - also unexpected errors
        own_images.forget(source.text())
        st.session_state["images:refused"] = user_message(error)
        address.rerun()
        return None


def cancel(source: str) -> None:
    """Look at a set no longer, and delete its file unless it is in use."""
    st.session_state.pop("images:draft", None)
    if ImageSource.parse(source).place not in {ImageSource.parse(each).place for each in own_images.offered()}:
        own_images.forget(source)


def fit(source: ImageSource) -> ImageSource:
    """Choose how pictures of another shape are fitted to the model's."""
    how = st.segmented_control(
        "Of a picture of another shape",
        list(FITS),
        default="crop",
        key="images:fit",
        format_func=FITS.__getitem__,
        help="Crop about the centre to the model's aspect ratio, or stretch to it.",
    )
    return source.changed(fit=how if how == "stretch" else None)


def classes(source: ImageSource, found: Gathered) -> ImageSource:
    """Choose the classes of the pictures."""
    own, model = found.images.class_names, session.classifier(session.models()[0])
    if not own:
        st.caption("No classes: the files are in no subfolders, and no table or array names any.")
        return source
    fitting = own == model.class_names or (own[0].startswith("class ") and len(own) <= model.num_classes)
    known = set(own) <= set(model.class_names) and len("/".join(model.class_names)) <= _LONGEST
    offered = [NONE, *([FOLDERS] if len(own) <= model.num_classes else []), *([BY_NAME] if known else [])]
    if st.session_state.get("images:labels") not in offered:
        st.session_state["images:labels"] = BY_NAME if known else FOLDERS if fitting else NONE
    how = st.segmented_control(
        "Classes",
        offered,
        key="images:labels",
        help="As in the files: the first class in order is the model's first, and so on.",
    )
    words = ", ".join(f"{number}: {name}" for number, name in enumerate(own[:10]))
    st.caption(escape_markdown(f"In the files: {words}{' and more' if len(own) > 10 else ''}. {len(own)} classes."))
    if how == FOLDERS and not fitting:
        st.warning(
            "The names are not the model's. Use them only where the model counts its classes in this very order: its"
            f" first is {escape_markdown(model.class_names[0])}, theirs is {escape_markdown(own[0])}."
        )
    if how == BY_NAME:
        return source.changed(classes="/".join(model.class_names))
    return source if how == FOLDERS else source.changed(labels="none")


def shown(found: Gathered) -> None:
    """A few pictures as uploaded, next to the model's input, and a table of what is done to each."""
    few = list(dict.fromkeys(np.linspace(0, len(found.images) - 1, SHOWN).round().astype(int).tolist()))
    sample = found.images[few]
    pairs = list(zip(own_images.previews(sample.source, few), thumbnails(sample), few, strict=True))
    for start in range(0, len(pairs), ABREAST):
        for (original, picture, row), column in zip(pairs[start:], st.columns(ABREAST, gap="medium"), strict=False):
            before, after = column.columns(2, gap="small", vertical_alignment="center")
            before.image(original, width="stretch")
            after.image(controls.enlarged(picture, 128), width="stretch")
            column.caption(escape_markdown(_became(found.notes[row])))
    height, width = found.images.pixels.shape[2:]
    cut = any(_kept(note) != "all" for note in found.notes)
    st.caption(
        f"Left the picture as it came{', with what is kept of it framed' if cut else ''}; right what the model sees,"
        f" {width} x {height} pixels, resized bilinearly with antialiasing."
    )
    notes = found.notes[:MOST_ROWS]
    st.dataframe(
        {
            "row": list(range(len(notes))),
            "file": [note.name for note in notes],
            "in it": [note.came for note in notes],
            "kept": [_kept(note) for note in notes],
            "done": [", ".join(note.done) or "nothing" for note in notes],
            "class": list(found.images[: len(notes)].words) if found.images.class_names else [""] * len(notes),
        },
        hide_index=True,
        height=min(46 + 35 * len(notes), 260),
    )


def _became(note: Note) -> str:
    """What is done to a picture, in one line."""
    name = note.name.rpartition("/")[2]
    name = name if len(name) <= _NAME else f"{name[: _NAME // 2]}…{name[-_NAME // 2 :]}"
    return f"{name}: {note.came}; {', '.join(note.done) or 'taken as it is'}"


def _kept(note: Note) -> str:
    """The part of the upright picture that is kept."""
    left, top, right, bottom = note.box
    share = (right - left) * (bottom - top) / (note.size[0] * note.size[1])
    return "all" if share > 0.999 else f"middle {share:.0%}"


def refused(found: Gathered) -> None:
    """The files and parts of files that are left out, each with its reason."""
    if found.refused:
        count = len(found.refused)
        listed(f"Left out: {count} of {count + len(found.images)} files. The rest is kept.", found.refused)
    if found.left:
        listed("Something in the files that are used was left aside, or is not clear.", found.left)


def listed(what: str, each: Sequence[Refused]) -> None:
    """A warning, followed by the files and the full reasons."""
    st.warning(what)
    lines = [f"- **{escape_markdown(one.name)}**: {escape_markdown(one.reason)}" for one in each[:MOST_ROWS]]
    more = [f"- and {len(each) - MOST_ROWS:,} more"] if len(each) > MOST_ROWS else []
    with st.container(height=220 if len(lines) > _FEW else "content", border=False):
        st.markdown("\n".join(lines + more))


def take(source: str) -> None:
    """Choose the images, and open Slices."""
    own_images.offer(source)
    session.choose(images=source)
    if len(session.image_set(source)) < 3:  # too few to span a plane
        session.change("slice", plane="directions")
    session.go("slices")


def delete(source: str) -> None:
    """Delete a set of this session."""
    if ImageSource.parse(session.images()).place == ImageSource.parse(source).place:
        session.choose(images=session.demo_images(session.models()[0]))
    own_images.forget(source)


def look(source: str) -> None:
    """Show a set on this page again."""
    st.session_state["images:draft"] = ImageSource.parse(source).place
    st.session_state["images:refused"] = ""


def mine() -> None:
    """The sets that this session brought, each with buttons to view and delete it."""
    with controls.card("Your images"):
        if not own_images.offered():
            st.caption("None yet.")
        for place, source in enumerate(own_images.offered()):
            name, again, drop = st.columns([3, 1.2, 1.4], vertical_alignment="center")
            name.markdown(
                f"{escape_markdown(own_images.name_of(source))}  \n:small[digest {ImageSource.parse(source).place[:8]}]"
            )
            again.button("Look", key=f"images:look:{place}", on_click=look, args=(source,), width="stretch")
            drop.button(
                "Delete",
                key=f"images:delete:{place}",
                on_click=delete,
                args=(source,),
                help="Takes it out of memory and deletes its file.",
                width="stretch",
            )


page.heading("Images", "What do your own pictures become before the model sees them?")
left, right = st.columns([640, 380], gap="large")
with right:
    mine()
    page.about("images")
with left:
    bring()
    if st.session_state.get("images:refused"):
        st.error(escape_markdown(st.session_state["images:refused"]))
    source = draft()
    found = read(source) if source is not None else None
    if source is not None and found is not None:
        upload = own_uploads().files[source.place]
        st.subheader("In the file")
        controls.facts(
            {
                "file": f"{upload.name}, {upload.size / 1e6:,.1f} MB",
                "digest": upload.digest[:16],
                "pictures": f"{len(found.images)}, {len(found.refused)} left out",
                **(
                    {"pairs": f"{sum(each >= 0 for each in found.images.partners) // 2}"}
                    if found.images.partners
                    else {}
                ),
            }
        )
        if st.session_state.get("images:several"):
            st.download_button(
                "Keep as one file",
                upload.paths[0].read_bytes,
                file_name="images.zip",
                key="images:keep",
                on_click="ignore",
                help="The file that a link to your figures asks for: all that you dropped, in one zip.",
            )
        refused(found)
        st.subheader("What the model sees")
        chosen = fit(source)
        fitted = read(chosen)
        if fitted is None:
            st.stop()
        shown(fitted)
        st.subheader("Classes")
        chosen = classes(chosen, found)
        st.button(
            "Use these images",
            type="primary",
            key="images:use",
            on_click=take,
            args=(chosen.text(),),
            help="Chooses them, offers them in the frame of every view, and opens Slices.",
        )
