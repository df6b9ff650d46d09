"""What does the model say everywhere on a plane of images?"""

from __future__ import annotations

import numpy as np
import streamlit as st

from core.analyses import TABLE
from core.geometry.slices import Slice
from dashboard import controls, session
from dashboard.session import Outcome
from dashboard.viewer.viewer import plane_view

ANALYSIS = "slice"
ABOUT = """
Each position is an image: a mix of the three anchors. Colour is the predicted class, paleness low confidence, dark
lines are the decision boundary. Both axes are in ℓ2 distance over pixels in [0, 1], so lengths on the picture are
lengths of perturbations. Outside the dashed line some pixel leaves [0, 1].

**What to look for.** Thin slivers and islands between large regions, anchors close to a line, regions that reach
outside the box with high confidence.

**What this cannot show.** It is one plane of thousands of dimensions. Regions that look apart here may be joined
elsewhere, and the nearest boundary of all is at most as far as the nearest one in this plane. *full* asks the model at
every point; *adaptive* can miss islands thinner than 16 grid steps, *careful* those thinner than 8.

Reference: Somepalli et al., CVPR 2022 (arXiv 2203.08124).
"""


def picture(outcome: Outcome) -> None:
    """The slices of all chosen models, side by side, with the progress of what is still computed."""
    results = session.shown(made, outcome)
    columns = st.columns(len(results)) if len(results) > 1 else [st.container()]
    for place, (column, source, result) in enumerate(zip(columns, made.models, results, strict=True)):
        with column:
            if result is None:
                st.caption("The first picture is on its way.")
                continue
            chart = session.chart(made, source, result)
            plane_view(
                chart,
                key=f"slice-{place}",
                view=made.parameters["extent"],
                pick=session.point(),
                busy=controls.progress_words(outcome, f"{made.parameters['resolution']} grid points per side"),
                on_zoom=lambda extent: session.change(ANALYSIS, extent=extent),
                on_pick=session.pick,
                linked="slice",
            )
            controls.stop_or_resume(outcome)
            controls.legend(chart)
            st.caption(cost(result))


def cost(result: Slice) -> str:
    """What the picture took."""
    grid = result.label.size
    undefined = int((result.label < 0).sum())
    words = (
        f"{grid:,} points, {result.forwards:,} forwards ({result.forwards / grid:.1%} of all), {result.seconds:.1f} s"
    )
    return f"{words}; {undefined:,} points with logits that are not finite" if undefined else words


def picked(result: Slice | None) -> None:
    """The image that lies at the picked point."""
    at = session.point()
    with st.container(border=True):
        st.markdown("**Picked point**")
        if at is None or result is None:
            st.caption("Click the picture to see the image that lies there.")
            return
        image = result.plane.to_pixels(np.array([at]))
        controls.image_card(session.classifier(made.models[0]), image)
        corners = image.clamp(0, 1)
        outside = float((image - corners).norm())
        lines = [line for lines in result.boundary_lines().values() for line in lines]
        near = min((distance_to(line, at) for line in lines), default=None)
        controls.facts(
            {
                "nearest boundary in this picture": "none" if near is None else f"{near:.2f} ℓ2",
                "outside the pixel box": f"{outside:.2f} ℓ2",
            }
        )


def distance_to(line: np.ndarray, at: session.Point) -> float:
    """Distance of a point from a polyline."""
    start, step = line[:-1], np.diff(line, axis=0)
    along = ((np.asarray(at) - start) * step).sum(1) / np.maximum((step**2).sum(1), 1e-300)
    foot = start + np.clip(along, 0, 1)[:, None] * step
    return float(np.linalg.norm(foot - np.asarray(at), axis=1).min())


question = TABLE[ANALYSIS].question
controls.heading("Slices", question)
made = session.recipe(ANALYSIS)
left, right = st.columns([640, 380], gap="large")
with left:
    outcome = session.live(made, picture)
controls.export(made, outcome)
with right:
    picked(session.shown(made, outcome)[0])
    with st.container(border=True):
        st.markdown("**Plane**")
        controls.anchors(3)
        controls.setting(ANALYSIS, "shading", "Shading")
        controls.setting(ANALYSIS, "method", "Method")
        controls.setting(ANALYSIS, "resolution", "Resolution", (128, 256, 512, 1024))
        with st.expander("More"):
            controls.setting(ANALYSIS, "extent", "Extent")
            controls.setting(ANALYSIS, "levels", "Contour levels")
            controls.setting(ANALYSIS, "palette", "Palette")
    with st.expander("What am I looking at?", expanded=True):
        st.markdown(ABOUT)
