"""How does the boundary bend near this image, and in which directions?"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import streamlit as st

from core.analyses.table import TABLE
from core.figures.charts.curvature.gallery import number_at, on_plane, shown_numbers
from core.geometry.curvature.at_image import CurvatureAtImage
from core.geometry.curvature.profile import MOST_FULL, STATUSES
from core.geometry.curvature.search import PROBES, STEPS
from core.geometry.curvature.section import CurvatureSection
from core.geometry.planes.exact import exact_distance
from core.result import Context
from dashboard.state import session
from dashboard.state.session import Outcome
from dashboard.viewer.viewer import plane_view
from dashboard.widgets import controls, exports, page, plane_controls

ANALYSIS, SECTION, WALK, SCALE = "curvature", "curvature_section", "curvature_walk", "curvature_scale"
SHARED = (*session.OF_THE_PLANE, "seed", "method", "grey_levels", "sharpness")


def profile(outcome: Outcome) -> None:
    """The curvatures of all models that have results so far, in one picture."""
    controls.progress(outcome, f"{1 + made.parameters['count']} images" if several else "one image")
    known = {source: result for source, result in session.shown_by_model(made, outcome) if result is not None}
    if known:
        exports.chart(replace(made, models=tuple(known)), replace(outcome, results=tuple(known.values())))
    controls.stop_or_resume(outcome)
    if made.parameters["spectrum"] == "ends" and outcome.finished and any(map(shown_numbers, known.values())):
        most = max(int(np.prod(session.classifier(source).input_shape)) for source in made.models)
        words = f"all {most - 1:,} curvatures" if most <= MOST_FULL else "the density of all curvatures"
        more = most if most <= MOST_FULL else PROBES * STEPS
        products, seconds = (sum(getattr(each, name) for each in known.values()) for name in ("products", "seconds"))
        st.button(
            f"Measure {words}",
            key="curvature:all",
            on_click=session.change,
            args=(ANALYSIS,),
            kwargs={"spectrum": "auto"},
            help=f"About {more:,} products more; these took {products:,}, {seconds:.1f} s. Adds how flat the boundary"
            " is, the mean and the balance of both sides.",
        )


def tiles(result: CurvatureAtImage) -> dict[str, str]:
    """The numbers of the image that are known so far, their accuracy, and their cost."""
    specs = [
        "relatively_flat_fraction:share of directions below 5 % of the largest curvature",
        "angle:angle to the normal:°",
        "offset:distance off the boundary:ℓ2",
        "focal:focal test, 1 + k × distance",
    ]
    if result.method == "differences":
        specs += ["scale:step h of differences:ℓ2", "asymmetry_ratio:asymmetry of the matrix"]
    if result.method == "softplus":
        specs += ["sharpness:sharpness of kinks", "agreement:share of images that keep their class"]
    lines = controls.worded((*result.key_numbers(Context()), *result.quoted(*specs)), first=True)
    for end, product in (("positive", result.unit_free[0, 0]), ("negative", result.unit_free[0, -1])):
        lines[f"most {end} × distance"] = controls.number_label(product)
    if result.residual.shape[1]:
        largest = np.abs(result.curvatures[0]).max() or math.nan
        lines["largest residual / largest |k|"] = controls.number_label(result.residual[0].max() / largest)
    return lines | {
        "tangent directions": f"{result.dimension:,}",
        "products with directions": f"{result.products:,}",
        "second derivatives by": result.backend,
        "cost": controls.cost_label(result),
    }


def summary(result: CurvatureAtImage) -> None:
    """The two classes at the boundary, which of them is convex, and all numbers."""
    with controls.card("At the boundary", of_first=True):
        names = session.classifier(made.models[0]).class_names
        source, target, status = int(result.source_class[0]), int(result.target_class[0]), str(result.status[0])
        if source < 0 or target < 0:
            st.badge(status, color="orange")
            st.caption(STATUSES[status])
            return
        st.badge(f"{names[source]} | {names[target]}", color="green" if status == "nearest" else "orange")
        if status != "nearest":
            st.caption(f"{status.capitalize()}. {STATUSES[status]}")
        balance = float(result.asymmetry[0])
        if not math.isnan(balance):
            convex, other = (source, target) if balance < -1 else (target, source)
            whose = "the class of the image" if balance < -1 else "the other class"
            st.caption(
                f"On balance {names[convex]}, {whose}, is the convex one: the boundary curls away from {names[other]}."
            )
        controls.facts(tiles(result))


def numbers(outcome: Outcome) -> None:
    """The numbers of the first model, updated while the search runs."""
    result = session.shown(made, outcome)[0]
    if isinstance(result, CurvatureAtImage) and not np.isnan(result.curvatures).all():
        summary(result)


def gallery(results: list[tuple[str, CurvatureAtImage]]) -> None:
    """The directions at both ends of the spectrum as images to click on."""
    st.subheader("Principal directions")
    pictures = made.with_settings(show="gallery", marked=section.parameters["number"])

    def draw(place: int, source: str, result: CurvatureAtImage) -> str:
        def choose(point: tuple[float, float]) -> None:
            clicked = number_at(result, *point)
            if clicked:
                session.change(SECTION, number=clicked)

        chart = session.chart(pictures, source, result, [result])
        plane_view(on_plane(chart), key=f"curvature-gallery-{place}", on_pick=choose, height=560)
        return chart.caption

    st.caption(f"{controls.per_model(results, draw)[-1]} Click one to cut and to walk along it.")


def sections(outcome: Outcome) -> None:
    """The slices along the chosen direction, of all models side by side."""
    size = "{resolution} x {resolution}".format(**section.parameters)

    def draw(place: int, source: str, result: CurvatureSection) -> None:
        chart = session.chart(section, source, result, [result])
        busy = controls.progress_words(outcome, size)
        plane_view(chart, key=f"curvature-section-{place}", busy=busy, height=560)
        controls.legend(chart)
        st.caption(chart.caption)
        specs = ["curvature", "normal_curvature", "unit_free:curvature × distance"]
        if result.tilt:
            specs += ["factor:Meusnier's factor, 1 / cos tilt", "curve_curvature"]
        specs.append("radius:radius of the osculating circle:ℓ2")
        controls.facts(controls.worded(result.quoted(*specs)))

    controls.side_by_side(outcome, size, session.shown_by_model(section, outcome), draw, f":{SECTION}")


def scale(kinked: bool) -> None:
    """Curvature against scale: at once for networks of kinks, where curvature has a scale, otherwise on demand."""
    against = session.another(SCALE, **{name: made.parameters[name] for name in (*session.OF_THE_PLANE, "seed")})
    title = "Curvature against scale"
    if not kinked:
        exports.on_demand(against, title, "Measure at six scales", {"knob": "Scale", "count": "Others of the set"})
        return
    st.subheader(title, help=against.definition.question)
    controls.setting(SCALE, "knob", "Scale")
    exports.picture(against, "six scales", patience=0.0)


made, left, right = page.lens(ANALYSIS)
if made.parameters["spectrum"] == "ends":  # both ends have no density
    made = made.with_settings(show="profile")
several = made.parameters["count"] > 0
section = session.another(SECTION, **{name: made.parameters[name] for name in SHARED})
along = {name: section.parameters[name] for name in (*SHARED, "number", "reach")}
walk = session.another(WALK, **along)
with left:
    outcome = exports.picture(made, draw=profile, main=True)
    results = [
        (source, result)
        for source, result in session.shown_by_model(made, outcome)
        if isinstance(result, CurvatureAtImage)
    ]
    if outcome.finished and len(results) > 1:
        columns = {session.classifier(source).name: tiles(result) for source, result in results}
        rows = list(dict.fromkeys(row for column in columns.values() for row in column))
        st.dataframe(
            {"": rows, **{name: [column.get(row, "") for row in rows] for name, column in columns.items()}},
            hide_index=True,
            height="content",
        )
    found = [(source, result) for source, result in results if shown_numbers(result)]
    if found and not outcome.error:
        gallery(found)
        st.subheader("Along one direction", help=TABLE[SECTION].question)
        exports.picture(section, draw=sections)
        exports.on_demand(walk, "Walk along it", "Walk along this direction", {"show": "Show", "steps": "Stops"})
        scale(any(result.method != "exact" for _, result in found))
with right:
    if not outcome.error:
        session.live(made, numbers, patience=0.0, urgent=True)
    controls.on_paper(
        "nearest boundary",
        {
            source: (float(result.distance[0]), exact_distance(session.classifier(source), result.image[0]))
            for source, result in results
        },
    )
    with controls.card("Image"):
        plane_controls.image_asked(made)
        controls.setting(ANALYSIS, "count", "Others of the set")
    with controls.card("Picture"):
        if made.parameters["spectrum"] != "ends":
            controls.setting(ANALYSIS, "show", "Show", ("profile", "density"))
        controls.settings(ANALYSIS, {"values": "Values", "ranks": "Ranks", "positive": "Positive: convex"})
    with controls.card("Direction"):
        controls.setting(SECTION, "number", "Number, from either end")
        controls.slider(SECTION, "tilt", "Tilt of the slice", 5.0)
        controls.setting(SECTION, "reach", "Reach")
        st.markdown("**Measured by**")
        controls.setting(ANALYSIS, "method", "Second derivatives")
        if made.parameters["method"] == "softplus":
            controls.setting(ANALYSIS, "sharpness", "Sharpness")
        else:
            controls.setting(ANALYSIS, "grey_levels", "Step of differences")
        with st.expander("More"):
            controls.settings(ANALYSIS, {"spectrum": "Spectrum", "keep": "Directions kept"})
            controls.settings(SECTION, {"resolution": "Resolution of the slice", "palette": "Palette"})
            controls.setting(ANALYSIS, "seed", "Seed")
