"""Shipped figures, one recipe each, and the same question about the chosen model."""

from itertools import groupby

import streamlit as st

from core.errors import RecipeError
from core.recipes.gallery import Exhibit, gallery, on_models
from dashboard.state import links, session
from dashboard.viewer.words import escape_markdown
from dashboard.widgets import page

ACROSS = 3


def go(shown: Exhibit, own: bool) -> None:
    """Open the view of an exhibit, with its models or with the chosen one."""
    try:
        recipe = shown.recipe
        if own:
            source = session.models()[0]
            recipe = on_models(recipe, [source], session.demo_images(source))
        links.restore(recipe)
    except ValueError as error:
        st.session_state["gallery:refused"] = f"{shown.title} cannot be opened: {error}"
        return
    session.go(recipe.definition.view)


def exhibit(shown: Exhibit) -> None:
    """One card: the picture, what it shows, and its two buttons."""
    with st.container(border=True, height="stretch"):
        st.image(shown.picture.read_bytes(), width="stretch")
        st.markdown(f"**{escape_markdown(shown.title)}**  \n{escape_markdown(shown.line)}")
        try:
            models = ", ".join(source.removeprefix("demo:") for source in shown.recipe.models)
        except RecipeError as error:
            st.caption(escape_markdown(str(error)))
            return
        st.caption(escape_markdown(f"{shown.recipe.analysis}; {models}"))
        st.space("stretch")
        with st.container(horizontal=True):
            st.button("Open", key=f"gallery:open:{shown.name}", on_click=go, args=(shown, False), type="primary")
            st.button(
                "Run on my model",
                key=f"gallery:mine:{shown.name}",
                on_click=go,
                args=(shown, True),
                help=f"Asks the same of {escape_markdown(session.models()[0])}, on images that fit it.",
            )


page.heading("Gallery", "What five papers ask, drawn on the demo models: each figure opens with all its settings.")
if "gallery:refused" in st.session_state:
    st.error(escape_markdown(st.session_state.pop("gallery:refused")))
for (title, authors, key), exhibits in groupby(gallery(), key=lambda each: (each.paper, each.authors, each.key)):
    st.subheader(title)
    st.caption(escape_markdown(f"{authors}; {key}" if key not in authors else authors))
    them = list(exhibits)
    for start in range(0, len(them), ACROSS):
        for column, each in zip(st.columns(ACROSS), them[start : start + ACROSS], strict=False):
            with column:
                exhibit(each)
st.caption("On the command line: `python -m core.cli list`, `show NAME`, `run NAME --out FIGURE.pdf`.")
