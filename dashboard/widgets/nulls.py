"""Null models to compare with: the kinds, and the widgets that add one."""

from __future__ import annotations

from collections.abc import Sequence

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


def words(null: str, model: str) -> str:
    """The name of a null model in the frame, given the name of its model."""
    parsed = Source.parse(null)
    if parsed.kind == UNTRAINED:
        return f"{model}, untrained" + (f" {parsed.seed}" if parsed.seed else "")
    if parsed.kind == LINEARISED:
        return f"{model} linearised at image {parsed.row}"
    return KINDS[f"{ANALYTIC}:{parsed.analytic_kind}"][0]


def choose(chosen: Sequence[str]) -> None:
    """The widgets that add a null model to the chosen models."""
    kind = st.radio(
        "Null model",
        list(KINDS),
        key="frame:null-kind",
        format_func=lambda kind: KINDS[kind][0],
        captions=[line for _, line in KINDS.values()],
        help="Made from the first model at the first chosen image, and follows both; on every lens. All but the"
        " untrained are known on paper: Slices and Curvature draw the exact answer, dashed in red; Slices, Sparse,"
        " Margins and Curvature give the exact distance next to the computed one.",
    )
    source = Source.parse(chosen[0]).null(kind).at(session.images(), session.rows()[0]).text()
    st.button(
        "Put it beside",
        key="frame:null",
        disabled=source in chosen or len(chosen) >= session.MOST_MODELS,
        help=f"At most {session.MOST_MODELS} models stand side by side; take one away under compare.",
        on_click=lambda: session.choose(models=(*session.models(), source)),
    )
