"""How few pixels change the model's mind about an image?"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import streamlit as st

from core.figures.charts.sparse.sparse import changed, on_plane
from core.figures.drawing.pictures import on_axes
from core.geometry.planes.exact import exact_distance
from core.geometry.planes.slices import Slice
from core.geometry.sparse.at_image import SparseAtImage
from core.geometry.sparse.sparse_perturbation import STATUSES
from dashboard.state import session, speed_estimate
from dashboard.state.session import Outcome
from dashboard.viewer.viewer import plane_view
from dashboard.widgets import controls, exports, page, plane_controls
from dashboard.widgets.showing import showing

ANALYSIS, PIXEL = "sparse", "pixel"
MANY = {  # analyses of the whole set: heading, then label of the button
    "supports": ("Where the pixels lie", "Find the pixels of {count} images"),
    "benchmark": ("Methods", "Compare the methods on {count} images"),
    "transfer": ("Between models and images", "Carry the changes of {count} images over"),
}
SETTINGS = {
    "supports": {"show": "Show", "count": "Images", "bound": "Bound D", "seeds": "Starts", "seed": "Seed"},
    "benchmark": {"compare": "Compare", "count": "Images", "bound": "Bound D", "seed": "Seed"},
    "transfer": {"show": "Show", "count": "Images", "bound": "Bound D", "steps": "Steps", "seed": "Seed"},
}


def verdict(found: SparseAtImage) -> None:
    """The numbers of the first model, and its prediction with the first pixels changed."""
    with controls.card("Found", of_first=True):
        names = session.classifier(made.models[0]).class_names
        source, target, status = int(found.source_class[0]), int(found.target_class[0]), str(found.status[0])
        if not found.found[0]:
            st.badge(status, color="orange")
            st.caption(STATUSES[status])
            return
        st.badge(f"{names[source]} → {names[target]}", color="green")
        specs = ("pixels", "entries", "l2", "linf", "survives_rounding", "amplitude:share of the change needed")
        controls.facts(
            controls.worded(found.quoted(*specs))
            | {
                "pixels, values of the image": f"{found.rank[0].size:,}, {found.image[0].size:,}",
                "DeepFool's boundary point": controls.number_label(distance(found), "ℓ2"),
                "planes, one after another" if found.method == "sparsefool" else "steps": f"{found.loops[0]}",
                "cost": controls.cost_label(found),
            }
        )
        most = int(found.pixels[0])
        used = min(made.figure["used"], most) if made.figure["used"] >= 0 else most
        st.slider(
            "Pixels used",
            0,
            most,
            help="Changes the pixels one after the other, in the order in which they entered.",
            **showing(f"{ANALYSIS}:used", used, lambda chosen: session.change(ANALYSIS, used=chosen)),
        )
        controls.image_card(session.classifier(made.models[0]), changed(found, used)[None])


def distance(found: SparseAtImage) -> float:
    """The ℓ2 distance from the image to DeepFool's boundary point."""
    return float(np.linalg.norm(found.boundary[0].astype(np.float64) - found.image[0]))


def support(found: SparseAtImage) -> None:
    """The pixels in their order, to click on."""
    with controls.card("Order of the pixels", of_first=True):
        chart = made.with_settings(show="support").chart(
            [found], [session.classifier(made.models[0])], session.image_set(made.images)
        )
        place = float(one.parameters["column"]), -float(one.parameters["row"])
        plane_view(
            replace(chart, panels=(on_axes(chart.panels[0]),)),
            key="sparse-support",
            pick=place if PIXEL in session.asked() else None,
            on_pick=choose,
            height=360,
        )
        controls.legend(chart)
        if PIXEL not in session.asked():
            st.caption("Click a pixel to see what the model predicts when it takes other values.")
            return
        st.markdown(f"**Pixel at row {one.parameters['row']}, column {one.parameters['column']}**")
        exports.picture(one, "one pixel")


def choose(point: tuple[float, float]) -> None:
    """Show the profile of the clicked pixel of the support map."""
    height, width = session.image_set(made.images).pixels.shape[2:]
    column, row = round(point[0]), round(-point[1])
    if 0 <= row < height and 0 <= column < width:
        session.change(PIXEL, row=row, column=column)
        session.ask(PIXEL)


def plane_of(found: SparseAtImage) -> dict[str, Any] | None:
    """Settings of the slice along the dense and the sparse direction; None if no recipe can name it."""
    if dict(made.parameters) != dict(session.make(ANALYSIS, {}).parameters):
        return None
    change = (found.adversarial[0] - found.image[0]).astype(np.float64)
    along = float((change * found.dense[0]).sum())
    across = float(np.sqrt(max(0.0, (change**2).sum() - along**2)))
    half = round(0.65 * max(abs(along), across), 2)
    x, y = round(along / 2, 2), round(across / 2, 2)
    return {
        "plane": "directions",
        "u": "adversarial",
        "v": "sparse",
        "extent": (x - half, x + half, y - half, y + half),
        "resolution": speed_estimate.beside(256),
    }


def plane(found: SparseAtImage) -> None:
    """The slice spanned by the dense and the sparse direction, with both points and the plane at the dense one."""
    if not found.found[0]:
        return
    st.subheader("Dense against sparse")
    chosen = plane_of(found)
    if chosen is None:
        st.caption("Drawn for the default search at an image of the set: other searches span a plane without a name.")
        return
    cut = replace(session.make("slice", chosen), models=made.models[:1], rows=made.rows[:1])
    size = "{0} x {0}".format(chosen["resolution"])

    def draw(outcome: Outcome) -> None:
        result = outcome.results[0]
        if isinstance(result, Slice):
            drawn = on_plane(session.chart(cut, cut.models[0], result, [result]), result, found)
            plane_view(drawn, key="sparse-plane", busy=controls.progress_words(outcome, size), height=560)
            controls.legend(drawn)
        else:
            controls.progress(outcome, size)
        controls.stop_or_resume(outcome, ":plane")

    session.live(cut, draw)
    st.caption(
        "Across: towards the nearest boundary. Up: the part of the sparse change orthogonal to that. Dense: DeepFool's"
        " boundary point, which need not be the nearest, with its distance from this plane. Dashed: the plane at right"
        " angles to the normal there, the target of SparseFool's first loop. Where the boundary leaves it, more loops"
        " are needed."
    )
    st.button(
        "Open this plane in Slices",
        key="sparse:slices",
        on_click=session.open_view,
        args=("slice",),
        kwargs=chosen,
    )


made, left, right = page.lens(ANALYSIS)
one = session.another(PIXEL, **{name: made.parameters[name] for name in session.OF_THE_PLANE})
with left:
    outcome = exports.picture(made, "one image", main=True)
    first = session.shown(made, outcome)[0]
    if isinstance(first, SparseAtImage) and not outcome.error:
        plane(first)
    for name, (title, words) in MANY.items():
        if name == "transfer" and len(made.models) == 1:
            st.subheader(title)
            st.caption("Choose another model above, under compare: what fools one model is then tried on the others.")
            continue
        # rows: the result does not depend on the chosen images
        exports.on_demand(session.another(name, rows=(0,)), title, words, SETTINGS[name])
with right:
    if isinstance(first, SparseAtImage):
        verdict(first)
        readings = {
            source: (distance(found), exact_distance(session.classifier(source), found.image[0]))
            for source, found in session.shown_by_model(made, outcome)
            if found is not None
        }
        controls.on_paper("DeepFool's boundary point", readings)
        if first.found[0]:
            support(first)
    with controls.card("Image"):
        plane_controls.image_asked(made)
    with controls.card("Search"):
        controls.setting(ANALYSIS, "method", "Method")
        if made.parameters["method"] == "sparsefool":
            controls.setting(ANALYSIS, "order", "Fewest")
        controls.slider(ANALYSIS, "bound", "Bound D", 0.05)
        controls.settings(
            ANALYSIS,
            {"show": "Show", "target_rule": "Target", "lambdas": "Multipliers", "prune": "Prune", "seed": "Seed"},
            under="More",
        )
