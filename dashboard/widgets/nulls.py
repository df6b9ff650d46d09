"""Null models to compare with: the kinds, and the widgets that add one."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence

import streamlit as st

from core.sources.models import ANALYTIC, LINEARISED, NULLS, UNTRAINED, Source
from dashboard.state import session

# source, name and one line of each kind
KINDS = {
    UNTRAINED: ("untrained", "the same architecture, weights drawn anew: what it shows too was not learned"),
    LINEARISED: ("linearised at the image", "the affine map of first order there: what it shows too bends nowhere"),
    f"{ANALYTIC}:hyperplane": (
        "hyperplane",
        "halfway between the means of the image's class and the nearest other one",
    ),
    f"{ANALYTIC}:voronoi": ("Voronoi cells", "the class whose mean is nearest"),
    f"{ANALYTIC}:ball": ("ball", "around the mean image, with half of the images inside"),
}


def is_null(source: str) -> bool:
    """Whether a source is that of a null model."""
    return source.partition(":")[0] in NULLS


def of_another(null: str, source: str) -> str:
    """The same null of another model."""
    return Source.parse(null).of(Source.parse(source)).text()


def words(null: str, model: str) -> str:
    """How the frame calls a null of a model of this name."""
    parsed = Source.parse(null)
    if parsed.kind == UNTRAINED:
        return f"{model}, untrained" + (f" {parsed.seed}" if parsed.seed else "")
    if parsed.kind == LINEARISED:
        return f"{model} linearised at image {parsed.row}"
    return KINDS[f"{ANALYTIC}:{parsed.analytic_kind}"][0]


def choose(chosen: Sequence[str]) -> None:
    """The widgets that add a null model to the chosen ones."""
    kind = st.radio(
        "Null model",
        list(KINDS),
        key="frame:null-kind",
        format_func=lambda kind: KINDS[kind][0],
        captions=[line for _, line in KINDS.values()],
        help="Of the first model and at the first chosen image, which it follows; on every lens. All but the untrained"
        " are known on paper: Slices and Curvature draw the exact answer, dashed in red; Slices, Sparse, Margins and"
        " Curvature give the exact distance beside the computed one.",
    )
    source = Source.parse(chosen[0]).null(kind).at(session.images(), session.rows()[0]).text()
    st.button(
        "Put it beside",
        key="frame:null",
        disabled=source in chosen or len(chosen) >= session.MOST_MODELS,
        help=f"At most {session.MOST_MODELS} models stand side by side; take one away under compare.",
        on_click=lambda: session.choose(models=(*session.models(), source)),
    )


def on_paper(what: str, readings: Mapping[str, tuple[float, float | None]]) -> None:
    """A card that compares computed with exact distances, for the models whose geometry is known in closed form.

    Args:
        what: is measured.
        readings: by model, the computed ℓ2 length, NaN where none was found, and the exact one, None where not known.
    """
    lines = {source: pair for source, pair in readings.items() if pair[1] is not None}
    if not lines:
        return
    with st.container(border=True):
        st.markdown("**Known on paper**")
        for source, (computed, exact) in lines.items():
            rows = {"computed": _length(computed), "exact": _length(exact)}
            st.caption(f"{session.classifier(source).name}: {what}")
            st.html(
                "".join(
                    f"<div class='fact'><span>{name}</span><b>{html.escape(length)}</b></div>"
                    for name, length in rows.items()
                )
            )


def _length(value: float | None) -> str:
    if value is None or math.isnan(value):
        return "not found"
    return "nowhere" if math.isinf(value) else f"{value:.5g} ℓ2"
