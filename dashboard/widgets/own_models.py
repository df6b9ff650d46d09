"""The models and series that this session brought: use the draft, choose one, forget one."""

from __future__ import annotations

import streamlit as st

from core.models.demo import demo_models
from core.models.preprocessing import OWN
from core.sources.models import Source
from dashboard.state import drafts, session
from dashboard.uploads.session_uploads import name_of, own_uploads
from dashboard.viewer.words import escape_markdown
from dashboard.widgets import controls
from dashboard.widgets.frame import listed_name


def take_draft() -> None:
    """Use the draft as it is at the click, under a name that no other model has."""
    found = drafts.draft()
    if found is None:
        return
    before = found.get("editing", "")
    if "series" not in found:
        taken = {name_of(each) for each in own_uploads().models if each not in (before, drafts.source_of(found))}
        found = {**found, "name": drafts.unused(found["name"], taken)}
    sources = drafts.sources_of(found)
    if before:
        own_uploads().replace(before, sources)
        st.session_state.pop("series", None)  # the files made of it
    elif "series" in found:
        own_uploads().use_series(found["name"], sources)
    st.session_state.pop("draft", None)
    take(sources[-1])


def take(source: str) -> None:
    """Choose a model of this session, and open Slices."""
    own_uploads().use(source)
    session.choose(models=(source,))
    session.go("slices")


def mine() -> None:
    """The models that this session brought, each with buttons to use, edit and forget it."""
    with controls.card("Your models"):
        offered = (*own_uploads().models, *(sources[-1] for sources in own_uploads().series.values()))
        if not offered:
            st.caption("None yet.")
        for place, source in enumerate(offered):
            parsed = Source.parse(source)
            st.markdown(f"{escape_markdown(listed_name(source))}  \n:small[{escape_markdown(_about(parsed))}]")
            look, change, drop = st.columns(3)
            look.button("Use", key=f"model:look:{place}", on_click=take, args=(source,), width="stretch")
            change.button(
                "Edit",
                key=f"model:edit:{place}",
                on_click=drafts.edit,
                args=(source,),
                disabled=parsed.kind != "upload" or "arch" not in parsed.options,
                help="Changes its architecture, preprocessing or class names without another upload. A library's own"
                " weights keep the library's.",
                width="stretch",
            )
            drop.button(
                "Forget",
                key=f"model:forget:{place}",
                on_click=forget,
                args=(source,),
                help="Takes it out of memory and deletes its files.",
                width="stretch",
            )


def _about(parsed: Source) -> str:
    """Architecture, input size and normalisation in words.

    >>> _about(Source.parse("upload:ab?arch=timm:resnet18&size=1x28x28&preset=bytes"))
    'timm:resnet18, 28 x 28, 1 channel, normalisation: bytes'
    """
    words = [parsed.options.get("arch", parsed.place)]
    if "size" in parsed.options:
        *channels, side = parsed.options["size"].split("x")
        words.append(f"{side} x {side}")
        words += [f"{channels[0]} channel{'s' if channels[0] != '1' else ''}"] if channels else []
    preset = parsed.options.get("preset", "mean and std of your own" if "mean" in parsed.options else "")
    library = words[0].partition(":")[0]
    words += [f"normalisation: {f'as {library} has it' if preset == OWN else preset}"] if preset else []
    return ", ".join(words)


def forget(source: str) -> None:
    """Forget a model of this session, or a series."""
    gone = own_uploads().together(source)
    if set(gone) & set(session.models()):
        left = [each for each in session.models() if each not in gone]
        session.choose(models=left or demo_models()[:1])
    own_uploads().forget(source)
    st.session_state.pop("series", None)  # the files made of it
    drafts.let_go()
