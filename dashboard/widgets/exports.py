"""The export menu of a chart, and charts that bring one along."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.figures.drawing import style
from core.figures.drawing.chart import LinesLayer
from core.recipes.recipe import Recipe
from core.recipes.run import RecipeRun
from core.recipes.series import SeriesFile, series
from dashboard.state import address, session
from dashboard.state.resources import shelf
from dashboard.state.session import Outcome
from dashboard.uploads.session_uploads import own_loader, own_uploads
from dashboard.viewer.words import escape_markdown
from dashboard.widgets import controls
from dashboard.work import jobs
from dashboard.work.jobs import Job, State
from dashboard.work.unforeseen import user_message

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

    from core.figures.drawing.chart import Chart
    from core.runtime.progress import OnProgress

_POLL_SECONDS = 0.4  # while a series is made


def export(made: Recipe, outcome: Outcome, where: DeltaGenerator | None = None) -> None:
    """The export menu of a chart; every file holds the recipe.

    Args:
        made: the recipe of the picture.
        outcome: its results so far; the menu is disabled until they are complete.
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
            help="Sets the width to a column of a common venue.",
            on_change=lambda: session.change(name, width=style.WIDTHS.get(st.session_state[f"{name}:venue"])),
        )
        left, right = st.columns(2)
        with left:
            controls.setting(name, "width", "Width")
            controls.setting(name, "font", "Typeface")
        with right:
            controls.setting(name, "font_size", "Font size")
            controls.setting(name, "dpi", "PNG sharpness")
        for column, (ending, words) in zip(itertools.cycle(st.columns(2)), _FILES.items(), strict=False):
            column.download_button(
                words,
                data=_file(made, outcome, ending),
                file_name=f"{name}{ending}",
                on_click="ignore",
                key=f"download:{name}{ending}",
                width="stretch",
                help=_KIT if ending == ".zip" else None,
            )
        _series(made)
        st.caption(
            "Each file holds its recipe. Drop it on the home view, or `python -m core.cli run FILE --out FIGURE`."
        )


_KIT = "Figure, caption, a methods paragraph, a LaTeX table of the numbers, BibTeX of what was used, and the recipe."
_FILES = {
    ".pdf": "PDF",
    ".svg": "SVG",
    ".png": "PNG",
    ".html": "Interactive HTML",
    ".npz": "Numbers (NPZ)",
    ".csv": "Numbers (CSV)",
    ".json": "Recipe (JSON)",
    ".zip": "Paper kit (ZIP)",
}


def _file(made: Recipe, outcome: Outcome, ending: str) -> Callable[[], bytes]:
    """Builds one file on demand; the builder runs outside the page and writes no elements."""
    classifiers = [session.classifier(source) for source in made.models]
    images = session.image_set(made.images)

    def build() -> bytes:
        results = [result for result in outcome.results if result is not None]
        return RecipeRun(recipe=made, results=results, classifiers=classifiers, images=images).file(ending)

    return build


def _series(made: Recipe) -> None:
    """A GIF of the picture at every checkpoint, made in the background, if the model belongs to a series."""
    checkpoints = own_uploads().together(made.models[0])
    if len(checkpoints) < 2 or made.definition.joint:
        return
    alone = replace(made, models=made.models[:1])
    key, asked = " ".join((own_uploads().token, alone.json(), *checkpoints)), f"series:{made.analysis}"
    job = cast(Job[SeriesFile] | None, st.session_state.get("series", {}).get(made.analysis))
    if job is None or job.key != key or job.state in (State.FAILED, State.CANCELLED):
        st.button(
            "Make a series (GIF)",
            key=f"{asked}:make",
            on_click=_ask_series,
            args=(alone, checkpoints, key),
            width="stretch",
            help=f"This picture at each of the {len(checkpoints)} checkpoints, on one scale.",
        )
        if job is not None and job.key == key and job.error is not None:
            st.caption(escape_markdown(user_message(job.error)))
        return

    def progress() -> None:
        if job.state.ended:
            address.rerun()
        st.progress(job.fraction, f"{len(checkpoints)} checkpoints, {job.fraction:.0%}")
        st.button("Cancel", key=f"{asked}:cancel", on_click=job.cancel, args=(session.user(),))

    if job.result is None:
        st.fragment(progress, run_every=_POLL_SECONDS)()
        return
    st.download_button(
        "Series (GIF)",
        data=job.result.gif,
        file_name=f"{made.analysis}-series.gif",
        on_click="ignore",
        key=f"download:{asked}",
        width="stretch",
        help=escape_markdown(job.result.words),
    )
    for sentence in job.result.left_out:
        st.caption(escape_markdown(sentence))


def _ask_series(alone: Recipe, checkpoints: Sequence[str], key: str) -> None:
    """Start a job that draws the picture at all checkpoints; stored results are not computed again."""
    load, images, (store, _) = own_loader(), session.image_set(alone.images), shelf()
    device = str(session.classifier(alone.models[0]).device)

    def work(on_progress: OnProgress) -> SeriesFile:
        reference = alone.models[0]
        return series(alone, checkpoints, load, images, store, reference=reference, on_progress=on_progress).file()

    job = jobs.shared().submit(session.user(), key, work, device=device, slot="series")
    st.session_state["series"] = {**st.session_state.get("series", {}), alone.analysis: job}


def chart(made: Recipe, outcome: Outcome) -> None:
    """A chart of curves with its export menu, drawn by Plotly.

    Args:
        made: the recipe of the picture.
        outcome: its results so far; nothing is drawn until all are outcome.
    """
    from core.figures.drawing import screen

    results = [result for result in outcome.results if result is not None]
    if len(results) < len(outcome.results):
        return
    classifiers = [session.classifier(source) for source in made.models]
    dark = st.context.theme.type == "dark"

    def make() -> tuple[Chart, Figure]:
        drawn = made.chart(results, classifiers, session.image_set(made.images))
        figure = screen.draw(drawn, dark=dark, legend=False)
        figure.update_layout(paper_bgcolor="rgba(0,0,0,0)", plot_bgcolor="rgba(0,0,0,0)")
        figure.update_polars(bgcolor="rgba(0,0,0,0)")
        return drawn, figure

    drawn, figure = session.memo(("figure", dark, made.json()), results, make)
    st.plotly_chart(figure, theme=None, key=f"chart:{drawn.name}", alt=drawn.alt, config={"displayModeBar": False})
    controls.legend(drawn, ramps=False)
    st.caption(drawn.caption)
    lines = any(isinstance(layer, LinesLayer) for panel in drawn.panels for layer in panel.layers)
    if made.definition.lines and len(made.models) > 1 and lines:
        controls.setting(made.analysis, "joined", "Models as one line")


def picture(
    made: Recipe,
    what: str = "",
    draw: Callable[[Outcome], None] | None = None,
    *,
    shown: Recipe | None = None,
    main: bool = False,
    patience: float = session.PATIENCE_SECONDS,
) -> Outcome:
    """Compute a recipe, and show its picture with progress, a cancel button, and the export menu.

    Args:
        made: the recipe that the menu exports.
        what: the size of the work, e.g. "one image".
        draw: draws the results so far; a chart of curves when not given.
        shown: the recipe that is drawn, if its figure settings differ.
        main: whether this is the view's main picture: it is computed before others, and its menu is in the frame.
        patience: see `session.compute`.

    Returns:
        The outcome that was drawn first.
    """
    drawn = shown or made

    def curves(outcome: Outcome) -> None:
        controls.progress(outcome, what)
        chart(drawn, outcome)
        controls.stop_or_resume(outcome, "" if main else f":{made.analysis}")

    outcome = session.live(drawn, draw or curves, patience=patience, urgent=main)
    export(made, outcome, None if main else st.container())
    return outcome


def on_demand(
    made: Recipe,
    title: str,
    words: str,
    settings: Mapping[str, str],
    draw: Callable[[Outcome], None] | None = None,
    *,
    above: Mapping[str, str] | None = None,
) -> None:
    """A slow analysis under its own heading: a button that starts it, then the chart.

    Args:
        made: the recipe.
        title: the heading.
        words: the label of the button; parameters of the recipe in braces are filled in.
        settings: labels of the settings below the chart, by name.
        draw: see `picture`.
        above: labels of the settings above the chart, by name.
    """
    name, label = made.analysis, words.format(**made.parameters)
    st.subheader(title, help=made.definition.question)
    if name not in session.asked():
        st.button(label, key=f"ask:{name}", on_click=session.ask, args=(name,))
        return
    for column, entry in zip(st.columns(3, gap="large"), (above or {}).items(), strict=False):
        with column:
            controls.setting(name, *entry)
    picture(made, label, draw, patience=0.0)
    controls.settings(name, settings, under="Settings")
