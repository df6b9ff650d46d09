"""The export menu of a chart, and charts that bring one along."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.figures import style
from core.recipe import Recipe
from core.tables import data_bytes
from dashboard import session
from dashboard.controls import legend, setting
from dashboard.session import Outcome


def export(made: Recipe, outcome: Outcome, where: DeltaGenerator | None = None) -> None:
    """The export menu of a chart; every file holds the recipe.

    Args:
        made: the recipe of the picture.
        outcome: what is there of it; the menu waits until it is complete.
        where: the container to put it in; its place in the frame when not given.
    """
    place = where or st.session_state["frame:right"]
    name = made.analysis
    kind: Any = "tertiary" if where else "primary"
    with place.popover("Export", disabled=not outcome.finished, key=f"export:{name}", type=kind):
        presets = ("its own width below", *style.WIDTHS)
        st.selectbox(
            "Made for",
            presets,
            key=f"{name}:venue",
            help="Column widths of usual venues; sets the width.",
            on_change=lambda: session.change(name, width=style.WIDTHS.get(st.session_state[f"{name}:venue"])),
        )
        left, right = st.columns(2)
        with left:
            setting(name, "width", "Width")
            setting(name, "font", "Typeface")
        with right:
            setting(name, "font_size", "Font size")
            setting(name, "dpi", "PNG sharpness")
        for column, (ending, words) in zip(itertools.cycle(st.columns(2)), _FILES.items(), strict=False):
            single = ending not in (".npz", ".csv") or len(made.models) == 1
            column.download_button(
                words,
                data=_file(made, outcome, ending),
                file_name=f"{name}{ending}",
                on_click="ignore",
                key=f"download:{name}{ending}",
                width="stretch",
                disabled=not single,
                help=None if single else "Choose one model: each has numbers of its own.",
            )
        st.caption(
            "Each file holds its recipe. Drop it on the home view, or `python -m core.cli run FILE --out FIGURE`."
        )


_FILES = {
    ".pdf": "PDF",
    ".svg": "SVG",
    ".png": "PNG",
    ".html": "Interactive HTML",
    ".npz": "Numbers (NPZ)",
    ".csv": "Numbers (CSV)",
    ".json": "Recipe (JSON)",
}


def _file(made: Recipe, outcome: Outcome, ending: str) -> Callable[[], bytes]:
    """What builds one file when it is asked for; it runs outside of the page and writes no elements."""
    classifiers = [session.classifier(source) for source in made.models]
    images = session.image_set(made.images)

    def build() -> bytes:
        results = [result for result in outcome.results if result is not None]
        if ending == ".json":
            return f"{made.json()}\n".encode()
        if ending in (".npz", ".csv"):
            return data_bytes(replace(results[0], recipe=made.mapping()), ending)
        chart = made.chart(results, classifiers, images)
        if ending == ".html":
            from core.figures.screen import page_bytes

            return page_bytes(chart)
        from core.figures.paper import figure_bytes

        return figure_bytes(chart, ending.removeprefix("."), **made.paper())  # type: ignore[arg-type]

    return build


def chart(made: Recipe, outcome: Outcome) -> None:
    """A chart of curves with its export menu, drawn by Plotly.

    Args:
        made: the recipe of the picture.
        outcome: what is there of it.
    """
    from core.figures import screen

    results = [result for result in outcome.results if result is not None]
    if len(results) < len(outcome.results):
        st.caption("On its way.")
        return
    classifiers = [session.classifier(source) for source in made.models]
    drawn = made.chart(results, classifiers, session.image_set(made.images))
    figure = screen.draw(drawn, dark=st.context.theme.type == "dark")
    figure.update_layout(showlegend=False, paper_bgcolor="rgba(0,0,0,0)", plot_bgcolor="rgba(0,0,0,0)")
    figure.update_polars(bgcolor="rgba(0,0,0,0)")
    st.plotly_chart(figure, theme=None, key=f"chart:{drawn.name}", alt=drawn.alt, config={"displayModeBar": False})
    legend(drawn)
    st.caption(drawn.caption)
