"""How does the boundary bend near this image, and in which directions?"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
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
from dashboard.state import session
from dashboard.state.session import Outcome
from dashboard.viewer.viewer import plane_view
from dashboard.widgets import controls, exports, nulls, page, plane_controls

ANALYSIS, SECTION, WALK, SCALE = "curvature", "curvature_section", "curvature_walk", "curvature_scale"
SHARED = (*session.OF_THE_PLANE, "seed", "method", "grey_levels", "sharpness")


def profile(outcome: Outcome) -> None:
    """The curvatures of all models that have some by now, in one picture."""
    controls.progress(outcome, f"{1 + made.parameters['count']} images" if several else "one image")
    known = {source: result for source, result in session.shown_by_model(made, outcome) if result is not None}
    if known:
        exports.chart(replace(made, models=tuple(known)), replace(outcome, results=tuple(known.values())))
    controls.stop_or_resume(outcome)
    if made.parameters["spectrum"] == "ends" and outcome.finished and any(map(shown_numbers, known.values())):
        most = max(int(np.prod(session.classifier(source).input_shape)) for source in made.models)
        words = f"all {most - 1:,} curvatures" if most <= MOST_FULL else "the density of all curvatures"
        more = most if most <= MOST_FULL else PROBES * STEPS
        st.button(
            f"Measure {words}",
            key="curvature:all",
            on_click=session.change,
            args=(ANALYSIS,),
            kwargs={"spectrum": "auto"},
            help=f"About {more:,} products more; these took {spent(known)}. Adds how flat the boundary is, the mean and"
            " the balance of both sides.",
        )


def spent(known: Mapping[str, CurvatureAtImage]) -> str:
    """What both ends took, of all models together."""
    products, seconds = (sum(getattr(each, name) for each in known.values()) for name in ("products", "seconds"))
    return f"{products:,}, {seconds:.1f} s"


def tiles(result: CurvatureAtImage) -> dict[str, str]:
    """What the curvatures of the image come to, how well they are known, and what they took."""
    first, last, distance = result.curvatures[0, 0], result.curvatures[0, -1], result.distance[0]
    largest = max(abs(first), abs(last)) or math.nan
    of_all = {
        "flat: |k| × distance < 0.1": percent(result.flat_fraction[0]),
        "flat: |k| < 5 % of the largest": percent(result.relatively_flat_fraction[0]),
        "directions that share it": f"{number(result.participation[0])} of {result.dimension:,}",
        "sum of negative / sum of positive": number(result.asymmetry[0]),
        "mean curvature": number(result.mean[0], "1/ℓ2"),
    }
    lines = {} if math.isnan(result.mean[0]) else of_all
    lines |= {
        "most positive": number(first, "1/ℓ2"),
        "most positive × distance": number(first * distance),
        "most negative": number(last, "1/ℓ2"),
        "most negative × distance": number(last * distance),
        "distance to the boundary": number(distance, "ℓ2"),
        "angle to the normal": number(result.angle[0], "°"),
        "off the boundary": number(result.offset[0], "ℓ2"),
        "focal test, 1 + k × distance": number(result.focal[0]),
    }
    if result.residual.shape[1]:
        lines["largest residual / largest |k|"] = number(float(result.residual[0].max() / largest))
    if result.method == "differences":
        lines |= {
            "step h of differences": number(result.scale, "ℓ2"),
            "asymmetry of the matrix": number(result.asymmetry_ratio[0]),
        }
    if result.method == "softplus":
        lines |= {
            "sharpness of kinks": number(result.sharpness),
            "images that keep their class": percent(result.agreement),
        }
    return lines | {
        "products with directions": f"{result.products:,}",
        "forwards, gradients": f"{result.forwards:,}, {result.gradients:,}",
        "second derivatives by": result.backend,
        "time": f"{result.seconds:.1f} s",
    }


def number(value: float, unit: str = "") -> str:
    """A number with its unit; words where it is not known, or not yet."""
    return f"{value:.3g} {unit}".rstrip() if not math.isnan(value) else "not known"


def percent(share: float) -> str:
    """A share in percent."""
    return f"{share:.1%}" if not math.isnan(share) else "not known"


def summary(result: CurvatureAtImage) -> None:
    """Between which classes the boundary is, which of them is convex, and all numbers."""
    controls.card_title("At the boundary")
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
    """All numbers of the first model as far as they are known, renewed while the search goes on."""
    result = session.shown(made, outcome)[0]
    if isinstance(result, CurvatureAtImage) and not np.isnan(result.curvatures).all():
        with st.container(border=True):
            summary(result)


def compared(results: list[tuple[str, CurvatureAtImage]]) -> None:
    """The numbers of several models side by side."""
    columns = {session.classifier(source).name: tiles(result) for source, result in results}
    rows = list(dict.fromkeys(row for column in columns.values() for row in column))
    st.dataframe(
        {"": rows, **{name: [column.get(row, "") for row in rows] for name, column in columns.items()}},
        hide_index=True,
        height="content",
    )


def gallery(results: list[tuple[str, CurvatureAtImage]]) -> None:
    """The directions of both ends as images, to be clicked."""
    st.subheader("Principal directions")
    pictures = made.with_settings(show="gallery", marked=section.parameters["number"])

    def draw(place: int, source: str, result: CurvatureAtImage) -> str:
        chart = session.chart(pictures, source, result, [result])
        plane_view(on_plane(chart), key=f"curvature-gallery-{place}", on_pick=choose(result), height=560)
        return chart.caption

    st.caption(f"{controls.per_model(results, draw)[-1]} Click one to cut along it, and to walk along it.")


def choose(result: CurvatureAtImage) -> Callable[[tuple[float, float]], None]:
    """What a click on the gallery does: it takes the direction that was clicked."""

    def chosen(point: tuple[float, float]) -> None:
        clicked = number_at(result, *point)
        if clicked:
            session.change(SECTION, number=clicked)

    return chosen


def sections(outcome: Outcome) -> None:
    """The slices along the chosen direction, of all models side by side."""
    size = "{resolution} x {resolution}".format(**section.parameters)

    def draw(place: int, source: str, result: CurvatureSection) -> None:
        chart = session.chart(section, source, result, [result])
        busy = controls.progress_words(outcome, size)
        plane_view(chart, key=f"curvature-section-{place}", busy=busy, height=560)
        controls.legend(chart)
        st.caption(chart.caption)
        measured(result)

    controls.side_by_side(outcome, size, session.shown_by_model(section, outcome), draw, f":{SECTION}")


def measured(cut: CurvatureSection) -> None:
    """The numbers of a section."""
    lines = {
        "curvature, as the search found it": number(cut.curvature, "1/ℓ2"),
        "measured along the direction": number(cut.normal_curvature, "1/ℓ2"),
        "× distance": number(cut.unit_free),
    }
    if cut.tilt:
        lines["Meusnier's factor, 1 / cos tilt"] = number(cut.factor)
        lines["curvature of the curve on this plane"] = number(cut.curve_curvature, "1/ℓ2")
    controls.facts(lines | {"radius of the osculating circle": number(cut.radius, "ℓ2")})


def image_asked() -> None:
    """Choose the image."""
    plane_controls.image_asked(made)
    controls.setting(ANALYSIS, "count", "Others of the set")


def picture() -> None:
    """What the first picture shows."""
    st.markdown("**Picture**")
    if made.parameters["spectrum"] != "ends":
        controls.setting(ANALYSIS, "show", "Show", ("profile", "density"))
    controls.settings(ANALYSIS, {"values": "Values", "ranks": "Ranks", "positive": "Positive: convex"})


def measurement() -> None:
    """How curvatures are measured, and along which direction the slice goes."""
    st.markdown("**Direction**")
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


def scale(kinked: bool) -> None:
    """Curvature against scale: by itself where kinks make it the only result, else on demand."""
    against = session.another(SCALE, **{name: made.parameters[name] for name in AT})
    title = "Curvature against scale"
    if not kinked:
        settings = {"knob": "Scale", "count": "Others of the set"}
        exports.on_demand(against, title, "Measure at six scales", settings)
        return
    st.subheader(title, help=against.definition.question)
    controls.setting(SCALE, "knob", "Scale")
    exports.picture(against, "six scales", patience=0.0)


AT = (*session.OF_THE_PLANE, "seed")
made, left, right = page.lens(ANALYSIS)
if made.parameters["spectrum"] == "ends":  # which have no density
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
        compared(results)
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
    nulls.on_paper(
        "nearest boundary",
        {
            source: (float(result.distance[0]), exact_distance(session.classifier(source), result.image[0]))
            for source, result in results
        },
    )
    page.cards(image_asked, picture, measurement)
