"""The models that a session brought: taken from the draft, chosen, forgotten; a series is one of them."""

from __future__ import annotations

import streamlit as st

from core.sources import Source
from dashboard import controls, drafts, session
from dashboard.brought import brought, name_of
from dashboard.words import literal


def take_draft() -> None:
    """Use the model as it is chosen at the click, under a name that no other has."""
    found = drafts.draft()
    if found is None:
        return
    if "series" in found:
        sources = drafts.sources_of(found)
        brought().use_series(found["name"], sources)
        st.session_state.pop("draft", None)
        take(sources[-1])
        return
    taken = {name_of(each) for each in brought().models if each != drafts.source_of(found)}
    names = (found["name"], *(f"{found['name']} {number}" for number in range(2, 100)))
    drafts.choose(name=next(name for name in names if name not in taken))
    source = drafts.source_of(drafts.draft() or found)
    st.session_state.pop("draft", None)
    take(source)


def take(source: str) -> None:
    """Choose a model of this session, and show it."""
    brought().use(source)
    session.choose(models=(source,))
    session.go("slices")


def mine() -> None:
    """The models that this session brought, each with a way to forget it."""
    st.markdown("**Your models**")
    offered = (*brought().models, *(sources[-1] for sources in brought().series.values()))
    if not offered:
        st.caption("None yet.")
    for place, source in enumerate(offered):
        name, look, drop = st.columns([3, 1.2, 1.4], vertical_alignment="center")
        said = Source.parse(source)
        options = [said.options.get(each, "") for each in ("size", "preset")]
        about = " ".join(filter(None, [said.options.get("arch", said.place), *options]))
        name.markdown(f"{literal(controls.listed(source))}  \n:small[{literal(about)}]")
        look.button("Use", key=f"model:look:{place}", on_click=take, args=(source,), width="stretch")
        drop.button(
            "Forget",
            key=f"model:forget:{place}",
            on_click=forget,
            args=(source,),
            help="Takes it out of memory and deletes its files.",
            width="stretch",
        )


def forget(source: str) -> None:
    """Drop a model of this session, or a series."""
    gone = brought().together(source)
    if set(gone) & set(session.models()):
        left = [each for each in session.models() if each not in gone]
        session.choose(models=left or session.demo_models()[:1])
    brought().forget(source)
    st.session_state.pop("series", None)  # the files that were made of it
    drafts.let_go()
