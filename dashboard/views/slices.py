"""What does the model say everywhere on a plane of images?"""

from __future__ import annotations

import contextlib

import numpy as np
import streamlit as st

from core.figures.charts.planes.slices import path_words
from core.geometry.planes.agreement import agreement
from core.geometry.planes.boundary_profile import BoundaryProfile
from core.geometry.planes.exact import exact_distance
from core.geometry.planes.fragmentation import region_statistics
from core.geometry.planes.slices import Slice
from dashboard.state import session, speed_estimate
from dashboard.state.session import Outcome
from dashboard.viewer.viewer import Extent, plane_view
from dashboard.widgets import controls, exports, page, plane_controls

ANALYSIS = "slice"
FRAGMENTATION = "fragmentation"
PLANES = {
    "planes": "Planes",
    "resolution": "Resolution",
    "seed": "Seed",
    "finer": "Check at twice the resolution",
}
FROM_HERE = {  # further analyses of a picked point: label and help of the button
    "sparse": ("Find few pixels here", "Opens this point in the view Sparse, put back into the pixel box"),
    "curvature": ("Curvature here", "Opens the boundary point nearest to this one in the view Curvature"),
    "path": ("Path from here", "Opens paths from this point inside the region of its class in the view Regions"),
    "level_set": (
        "Walks from here",
        "Opens walks on the level set of this point, put back into the pixel box, in the view Level sets",
    ),
    "local": ("Small changes here", "Opens this point in the view Local, put back into the pixel box"),
}


def pictures(outcome: Outcome) -> None:
    """The slices of all chosen models, side by side, with progress while they are computed."""
    results = session.shown_by_model(made, outcome)
    known = [result for _, result in results if result is not None]

    def draw(place: int, source: str, result: Slice) -> None:
        chart = session.chart(made, source, result, known)
        plane_view(
            chart,
            key=f"slice-{place}",
            view=made.parameters["extent"] or result.home,
            home=result.home,
            pick=session.point(),
            busy=controls.progress_words(outcome, SIZE),
            on_zoom=zoom,
            on_pick=session.pick,
            linked="slice",
        )
        controls.legend(chart)
        walked = path_words(result)
        st.caption(cost(result) + (f".{walked}" if walked else ""))

    controls.side_by_side(outcome, SIZE, results, draw)


def zoom(extent: Extent | None) -> None:
    """Show another square of the plane; extents out of range are ignored."""
    with contextlib.suppress(ValueError):
        session.change(ANALYSIS, extent=extent)


def cost(result: Slice) -> str:
    """What the picture took, and what is unusual about it."""
    grid, undefined = result.label.size, int((result.label < 0).sum())
    words = (
        f"{grid:,} points, {result.forwards:,} forwards ({result.forwards / grid:.1%} of all), {result.seconds:.1f} s"
    )
    words += f", computed in {result.precision}" if result.precision != "float32" else ""
    return words + (f", {undefined:,} points with logits that are not finite" if undefined else "")


def picked(result: Slice | None) -> None:
    """The image at the picked point."""
    with controls.card("Picked point", of_first=True):
        at = session.point()
        if at is None or result is None:
            st.caption("Click the picture to see the image that lies there.")
            return
        image = result.plane.to_pixels(np.array([at]))
        controls.image_card(session.classifier(made.models[0]), image)
        outcome = session.compute(around, patience=0.0)
        profile = outcome.results[0]
        near = "on its way" if outcome.waiting else "not known"
        if isinstance(profile, BoundaryProfile):
            crossing = profile.nearest_boundary
            near = f"{crossing.distance:.2f} ℓ2" if np.isfinite(crossing.distance) else "none found"
        outside = float((image - image.clamp(0, 1)).norm())
        controls.facts({"nearest boundary in this plane": near, "outside the pixel box": f"{outside:.2f} ℓ2"})
        for analysis, (label, words) in FROM_HERE.items():
            st.button(label, on_click=ask_there, args=(analysis,), help=f"{words}.")


def on_paper(result: Slice, outcome: Outcome) -> None:
    """The computed and the exact distance in this plane, from the picked point or the first image."""
    image = result.plane.to_pixels(np.array([session.point() or (0.0, 0.0)]))[0]
    readings = {
        source: (
            float(profile.nearest_boundary.distance) if isinstance(profile, BoundaryProfile) else np.nan,
            exact_distance(session.classifier(source), image, result.plane),
        )
        for source, profile in zip(around.models, outcome.results, strict=True)
    }
    controls.on_paper("nearest boundary in this plane", readings)


def ask_there(analysis: str) -> None:
    """Open the view of another analysis at the picked point."""
    at = session.point()
    session.open_view(analysis, **shared, at=at)
    session.pick(at)


def region_table(result: Slice) -> None:
    """The regions of each class on this slice."""
    found = session.memo("regions", [result], lambda: region_statistics(result))
    names = session.classifier(made.models[0]).class_names
    order = np.argsort(-found.class_area)
    specks = [int(found.unresolved[found.region_class == k].sum()) for k in found.classes]
    st.dataframe(
        {
            "class": [names[found.classes[k]] for k in order],
            "regions": [int(found.class_regions[k]) - specks[k] for k in order],
            "touching the frame": [
                int(found.touches_frame[found.region_class == found.classes[k]].sum()) for k in order
            ],
            "specks": [specks[k] for k in order],
            "area (ℓ2²)": [round(float(found.class_area[k]), 3) for k in order],
            "share": [f"{found.class_share[k]:.1%}" for k in order],
        },
        hide_index=True,
    )
    st.caption(
        "Regions are joined along edges, not corners; specks are those below 4 points. Counts depend on the"
        f" resolution: {found.resolution} points per side, {found.step:.3g} ℓ2 apart."
    )


def compared(results: tuple[Slice, ...]) -> None:
    """How far the other models agree with the first on this plane, overall and class by class."""
    first, *others = (session.classifier(source) for source in made.models)
    scores = session.memo("agreement", results, lambda: [agreement(results[0], other) for other in results[1:]])
    st.dataframe(
        {
            f"against {first.name}": [other.name for other in others],
            "agreement": [f"{score.overall:.1%}" for score in scores],
            "in the pixel box": [f"{score.in_box:.1%}" for score in scores],
            "near a boundary": [f"{score.in_band:.1%}" for score in scores],
            "by chance": [f"{score.chance:.1%}" for score in scores],
            "mean IoU": [f"{score.macro_iou:.2f}" for score in scores],
            "boundary apart, mean (ℓ2)": [f"{score.overall_boundary_mean:.2f}" for score in scores],
            "most (ℓ2)": [f"{score.overall_boundary_hausdorff:.2f}" for score in scores],
        },
        hide_index=True,
    )
    st.caption("Near a boundary: where a margin is below 1 logit. One number can hide a region that moved: see IoU.")
    with st.expander("Class by class"):
        for other, score in zip(others, scores, strict=True):
            order = np.argsort(-score.area_a)
            st.dataframe(
                {
                    f"{other.name} against {first.name}": [first.class_names[score.classes[k]] for k in order],
                    "IoU": [f"{score.iou[k]:.2f}" for k in order],
                    "gained (ℓ2²)": [f"{score.gained[k]:.2f}" for k in order],
                    "lost (ℓ2²)": [f"{score.lost[k]:.2f}" for k in order],
                    "boundary apart, mean (ℓ2)": [f"{score.boundary_mean[k]:.2f}" for k in order],
                    "most (ℓ2)": [f"{score.boundary_hausdorff[k]:.2f}" for k in order],
                },
                hide_index=True,
            )


speed_estimate.begin()
made, left, right = page.lens(ANALYSIS)
SIZE = "{resolution} x {resolution}".format(**made.parameters)
shared = {name: made.parameters[name] for name in ("plane", "u", "v")}
around = session.another("profile", **shared, at=session.point() or (0.0, 0.0))
# its planes are drawn from the whole set: the result does not depend on the chosen images
counted = session.another(FRAGMENTATION, rows=(0,))
with left:
    outcome = exports.picture(made, draw=pictures, patience=0.25, main=True)
    slices = tuple(result for result in session.shown(made, outcome) if result is not None)
    if outcome.finished and len(slices) > 1:
        compared(slices)
    if slices and not outcome.error:
        st.subheader("Nearest boundary, all round")
        exports.picture(around, f"{around.parameters['rays']} rays", patience=0.0)
        st.subheader("Regions" + (f" of {session.classifier(made.models[0]).name}" if len(slices) > 1 else ""))
        region_table(slices[0])
        exports.on_demand(counted, "Regions on random planes", "Count regions on {planes} random planes", PLANES)
with right:
    picked(slices[0] if slices else None)
    if slices:
        on_paper(slices[0], session.compute(around, patience=0.0))
    with controls.card("Plane"):
        kind = controls.setting(ANALYSIS, "plane", "Spanned by")
        plane_controls.anchors(made.rows, 3 if kind == "images" else 1)
        if kind == "directions":
            plane_controls.direction(ANALYSIS, "u", "Across")
            plane_controls.direction(ANALYSIS, "v", "Up")
    with controls.card("Picture"):
        controls.settings(ANALYSIS, {"shading": "Shading", "method": "Method"})
        slow = speed_estimate.words(max(map(speed_estimate.of, made.models)))
        controls.setting(ANALYSIS, "resolution", "Resolution", (*((64,) if slow else ()), 128, 256, 512, 1024))
        if slow:
            st.caption(slow)
        with st.expander("More"):
            controls.settings(ANALYSIS, {"extent": "Extent", "levels": "Contour levels", "palette": "Palette"})
            controls.setting("profile", "rays", "Rays of the profile")
