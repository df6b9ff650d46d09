"""In which frequencies, or parts of the picture, is the boundary near?"""

from __future__ import annotations

import numpy as np
import streamlit as st

from core.geometry.planes.exact import exact_block_distance, exact_distance
from core.geometry.subspaces.subspace_distances import STATUSES, SubspaceDistances
from dashboard.state import session
from dashboard.state.session import Outcome
from dashboard.viewer.viewer import plane_view
from dashboard.widgets import controls, exports, page, plane_controls

ANALYSIS, CURVE = "margins", "margin_curve"
SHARED = ("count", "slides", "seed")


def maps(outcome: Outcome) -> None:
    """The maps of all chosen models, side by side, on one scale."""
    results = session.shown_by_model(made, outcome)
    known = [result for _, result in results if result is not None]
    size = f"{made.parameters['count'] + 1} images"
    if made.figure["colour"] == "ratio":  # to the first model, which then has no map of its own
        (_, first), *others = results
        results = others if first is not None else [(source, None) for source, _ in others]

    def draw(place: int, source: str, result: SubspaceDistances) -> str:
        chart = session.chart(made, source, result, known)
        busy = controls.progress_words(outcome, size)
        plane_view(chart, key=f"margins-{place}", busy=busy, on_pick=choose, linked="margins", height=560)
        controls.legend(chart)
        images, blocks = result.distance.shape
        st.caption(f"{images} images in {blocks} subspaces: {controls.cost_label(result)}")
        return chart.caption

    explained = controls.side_by_side(outcome, size, results, draw)
    if explained:
        st.caption(explained[-1])


def choose(point: tuple[float, float]) -> None:
    """Mark the block of a map that was clicked."""
    result = next((one for one in session.shown(made, outcome) if one is not None), None)
    if result is not None:
        block = block_at(result, *point)
        session.change(ANALYSIS, marked=None if block == made.figure["marked"] else block)


def block_at(result: SubspaceDistances, x: float, y: float) -> int:
    """The number of the block at a point of its map; -1 outside."""
    across, down = round(x), round(y)
    if result.kind == "patches":  # the map has the top of the picture at its top
        down = int(result.bounds[:, 1].max()) - 1 - down
    top, bottom, left, right = result.bounds.T
    inside = np.flatnonzero((top <= down) & (down < bottom) & (left <= across) & (across < right))
    return int(inside[0]) if len(inside) else -1


def chosen_block(result: SubspaceDistances | None) -> None:
    """The smallest change of the image inside the chosen block that reaches another class."""
    block = made.figure["marked"]
    if result is None or not 0 <= block < len(result.labels):
        st.caption("Click a block of the map to see the smallest change inside it that reaches another class.")
        return
    model = session.classifier(made.models[0])
    lines = {"model": model.name} if len(made.models) > 1 else {}
    lines |= {
        "patch" if result.kind == "patches" else "frequencies": result.labels[block],
        "dimension": f"{result.dimension[block]} of {result.space}",
    }
    if result.found[0, block]:
        change = result.perturbation[0, block]
        pixels = session.image_set(made.images).pixels[made.rows[0]].numpy()
        largest = float(np.abs(change).max()) or 1.0
        pictures = {
            f"image {made.rows[0]}": pixels,
            f"change: grey is 0, white +{largest:.2g}": 0.5 + 0.5 * change / largest,
            "image + change": pixels + change,
        }
        for column, (words, picture) in zip(st.columns(3), pictures.items(), strict=True):
            column.image(controls.picture_of(picture, 96), width="stretch", caption=words)
        lines |= {
            "from": model.class_names[result.source_class[0]],
            "reaches": model.class_names[result.target_class[0, block]],
            "distance": controls.number_label(result.distance[0, block], "ℓ2"),
            "without a preferred direction": controls.number_label(result.isotropic[0, block], "ℓ2"),
            "outside the pixel box": controls.number_label(result.outside[0, block], "ℓ2"),
        }
    controls.facts(lines)
    st.caption(f"{result.status[0, block].capitalize()}. {STATUSES[result.status[0, block]]}")


def on_paper() -> None:
    """Distances inside the chosen block, or over all changes, next to the exact ones, for models that have them."""
    block, readings, inside = made.figure["marked"], {}, False
    image = session.image_set(made.images)[[made.rows[0]]].pixels[0]
    for source, result in zip(made.models, session.shown(made, outcome), strict=True):
        if result is None:
            continue
        inside = 0 <= block < len(result.labels)
        computed = float(result.distance[0, block] if inside else result.full_distance[0])
        model = session.classifier(source)
        exact = exact_block_distance(model, image, result, block) if inside else exact_distance(model, image)
        readings[source] = (computed, exact)
    controls.on_paper("inside the chosen block" if inside else "nearest boundary of all", readings)


def bands(result: SubspaceDistances | None) -> None:
    """A button that opens the plane of the image along two bands: the lowest one, and the chosen block."""
    block = made.figure["marked"]
    if result is None or result.kind != "frequencies" or not 0 <= block < len(result.labels):
        return
    top, _, left, _ = (int(each) for each in result.bounds[block])
    if made.parameters["block"] == 8:  # the bands that slices offer as directions
        low, high = ("band:0,0" if (top, left) != (0, 0) else "band:0,8"), f"band:{top},{left}"
        words = "Slice along the lowest band and this one"
    else:
        down, across = (int(np.ceil(each)) for each in result.frequency[block])
        low, high = ("dct:0,1" if (down, across) != (0, 1) else "dct:1,0"), f"dct:{down},{across}"
        words = f"Slice along frequencies {low.removeprefix('dct:')} and {down},{across}"
    st.button(
        words,
        key="margins:slice",
        on_click=session.open_view,
        args=("slice",),
        kwargs={"plane": "directions", "u": low, "v": high},
        help="Opens the plane of this image along the lowest frequencies and those of the chosen block: for blocks of 8"
        " towards the nearest boundary inside each, otherwise along one frequency of each.",
        width="stretch",
    )


made, left, right = page.lens(ANALYSIS)
if len(made.models) == 1 and made.figure["colour"] == "ratio":  # the other model was removed
    made = made.with_settings(colour="distance")
curve = session.another(CURVE, **{name: made.parameters[name] for name in SHARED})
with left:
    outcome = exports.picture(made, draw=maps, main=True)
    results = [result for result in session.shown(made, outcome) if result is not None]
    if outcome.finished and len(results) > 1 and made.figure["colour"] != "ratio":
        st.subheader("Ratio of distances")
        exports.chart(made.with_settings(colour="ratio"), outcome)
    st.subheader("From low to high")
    exports.picture(curve, "the windows")
with right:
    with controls.card("Chosen block"):
        chosen_block(results[0] if results else None)
        bands(results[0] if results else None)
    on_paper()
    with controls.card("Subspaces"):
        controls.setting(ANALYSIS, "over", "Map over")
        controls.setting(ANALYSIS, "block", "Block", (4, 8, 16))
        colours = ("distance", "chance", "share") + (("ratio",) if len(made.models) > 1 else ())
        controls.setting(ANALYSIS, "colour", "Colour", colours)
        controls.setting(CURVE, "along", "Curve along")
        st.markdown("**Images**")
        plane_controls.anchors(made.rows, 1)
        controls.setting(ANALYSIS, "count", "Others of the set")
        with st.expander("More"):
            controls.settings(ANALYSIS, {"slides": "Slides", "seed": "Seed"})
            controls.settings(CURVE, {"block": "Window", "stride": "Stride", "palette": "Palette"})
