"""How robust can any classifier be on images of this format, and how robust is this one on all of them?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import streamlit as st

from core.analyses.table import TABLE
from core.figures.charts.limits.enumeration import on_dark
from core.geometry.limits.bounds import BOUNDS, RobustnessBound, size_at
from core.geometry.limits.painting import NAMED, PaintedClass, painted_words
from core.geometry.limits.survival import Survival
from core.recipes.recipe import Recipe
from dashboard.state import session
from dashboard.state.session import Outcome
from dashboard.viewer.viewer import plane_view
from dashboard.widgets import controls, exports, page, plane_controls
from dashboard.widgets.showing import showing

ANALYSIS, FOUND, PAINTING, EVERY, OVERLAY = "limits", "survival", "painting", "enumeration", "overlay"
SIDES = (0, 4, 8, 16, 28, 32, 64, 128, 224, 256, 512, 1024)


def adjusted(label: str, name: str, widget: Callable[..., Any], **options: Any) -> None:
    """A slider of a setting of the bound."""
    entry, value = TABLE[ANALYSIS].setting(name), made.parameters[name]
    widget(
        f"{label} ({entry.unit})",
        help=entry.help,
        **showing(f"{ANALYSIS}:{name}:slider", value, lambda chosen: session.change(ANALYSIS, **{name: chosen})),
        **options,
    )


def read_off(bound: RobustnessBound) -> None:
    """The sizes at which the bounds leave half, one in a hundred and one in a million."""
    with controls.card("No class keeps more than"):
        share = (float(bound.share[0]), float(bound.share[1])) if bound.share[0] > 0 else None
        size_of = partial(size_at, bound.side, bound.channels, bound.bits, bound.norm, share)
        lines = {}
        for left, words in ((0.5, "half of it"), (0.01, "1 %"), (1e-6, "one in a million")):
            sizes = [size_of(survivors=left, bound=name) for name in BOUNDS]
            least = size_of(survivors=left)
            by = BOUNDS[int(np.argmin(sizes))] if np.isfinite(sizes).any() else "the whole range"
            value = f"{least:,.0f} values" if bound.norm == 0 else f"{least:.3g}"
            lines[words] = f"{value}, {by}"
        lines["all values"] = f"{bound.values:,}"
        if bound.norm == 2:
            lines["diagonal of the box"] = f"{np.sqrt(bound.values):.3g} ℓ2"
        controls.facts(lines)


def board(outcome: Outcome) -> None:
    """All images of the tiny format; a click adds one to the class, or removes it."""
    [found] = outcome.results
    if not isinstance(found, PaintedClass):
        controls.progress(outcome, "all images")
        controls.stop_or_resume(outcome, f":{PAINTING}")
        return
    shown = painting.with_settings(show="board").chart([found], [one], images)
    dark = st.context.theme.type == "dark"
    plain = [replace(panel, x=replace(panel.x, label=""), y=replace(panel.y, label="")) for panel in shown.panels]
    shown = replace(shown, panels=tuple(map(on_dark, plain) if dark else plain))
    plane_view(shown, key=f"limits-board-{found.side}", on_pick=partial(toggle, found), height=560)
    controls.legend(shown)


def toggle(found: PaintedClass, at: tuple[float, float]) -> None:
    """Add the image at a point of the board to the class, or remove it."""
    rows, columns = found.board.shape
    column, row = int(np.floor(at[0])), int(np.floor(at[1] * rows / columns))
    if 0 <= row < rows and 0 <= column < columns:
        inside = found.inside.copy()
        inside[found.board[row, column]] ^= True
        session.change(PAINTING, painted=painted_words(inside))


def paint() -> None:
    """A class painted by hand on the images of a tiny format."""
    st.subheader("Paint a class", help=TABLE[PAINTING].question)
    left, right = st.columns([640, 380], gap="large")
    with right:
        controls.setting(PAINTING, "side", "Pixels per side")
        most = int(painting.parameters["side"]) ** 2
        st.slider(
            "Radius (pixels that may change)",
            0,
            most,
            help=TABLE[PAINTING].setting("radius").help,
            **showing(
                f"{PAINTING}:radius:slider",
                min(painting.figure["radius"], most),
                lambda radius: session.change(PAINTING, radius=radius),
            ),
        )
        st.caption("Click an image to add it to the class, or to remove it. Or start from one of these:")
        for column, name in zip(st.columns(len(NAMED)), NAMED, strict=True):
            column.button(
                name,
                key=f"{PAINTING}:{name}",
                on_click=session.change,
                args=(PAINTING,),
                kwargs={"painted": name},
                width="stretch",
            )
        controls.settings(PAINTING, {"painted": "Class"}, under="As digits")
    with left:
        painted = session.live(painting, board)
    with right:
        exports.chart(painting.with_settings(show="curve"), painted)
        exports.export(painting, painted, st.container())


def overlay(drawn: Recipe) -> None:
    """Choose two images, and how much of the second is painted over the first."""
    with controls.card("Two images"):
        st.caption("A is painted over with pixels of B.")
        plane_controls.anchors(drawn.rows, 2)
        side = max(one.input_shape[1:])
        st.slider(
            "Overlay (sides of the image)",
            0.0,
            float(side),
            step=0.25,
            help=f"Painted pixels, in multiples of the side of {side} pixels: a fixed multiple is O(n).",
            **showing(
                f"{OVERLAY}:times:slider",
                drawn.figure["times"],
                lambda times: session.change(OVERLAY, times=times),
            ),
        )
        controls.settings(OVERLAY, {"orders": "Random orders", "seed": "Seed"}, under="More")


def witnesses() -> None:
    """Drawn images, each with the nearest image found that has another label."""
    if FOUND not in session.asked():
        return
    found = session.compute(measured, patience=0.0).results[0]
    if not isinstance(found, Survival) or not len(found.start):
        return
    st.caption(
        "Witnesses of the first model: a drawn image, a near image with another label, and where they differ (white: by"
        " the whole range)."
    )
    columns = st.columns(3 * len(found.start))
    for place, (start, witness) in enumerate(zip(found.start, found.witness, strict=True)):
        change = np.abs(witness - start)
        count = int((change > 1e-9).sum())
        words = (f"{count} value{'s' if count != 1 else ''}", "other label", "change")
        for column, picture, label in zip(columns[3 * place :], (start, witness, change), words, strict=False):
            column.image(controls.picture_of(picture, 96), width="stretch", caption=label)


hand = session.settings(PAINTING)
digits = str(hand.get("painted", NAMED[0]))
if digits not in NAMED and 4 * len(digits) != 2 ** int(hand.get("side", 2)) ** 2:
    session.change(PAINTING, painted=None)  # a class of images of another side
made, left, right = page.lens(ANALYSIS, several=640, explained=False)
one, images = session.classifier(made.models[0]), session.image_set(made.images)
made = replace(made, models=made.models[:1])  # the bound depends on the format, which all models share
painting = replace(session.another(PAINTING), models=made.models)
measured = session.another(FOUND, rows=(0,))
with left:
    outcome = exports.picture(made, "the bounds", main=True, patience=1.0)
    exports.on_demand(
        measured,
        "Measured on noise",
        "Search {count} uniformly drawn images",
        {
            "norm": "Norm",
            "partition": "Classes",
            "bits": "Bit depth",
            "count": "Images",
            "draws": "Draws",
            "walks": "Walks",
            "seed": "Seed",
        },
    )
    witnesses()
with right:
    with controls.card("Format"):
        adjusted(
            "Resolution",
            "side",
            st.select_slider,
            options=sorted({*SIDES, made.parameters["side"]}),
            format_func=lambda side: f"the model's {one.input_shape[2]}" if side == 0 else str(side),
        )
        adjusted("Bit depth", "bits", st.slider, min_value=1, max_value=16, step=1)
        st.markdown("**Changes and class**")
        controls.setting(ANALYSIS, "norm", "Norm")
        controls.slider(ANALYSIS, "share", "Share of the class", 0.005)
        controls.settings(ANALYSIS, {"channels": "Channels", "marked": "Read off at"}, under="More")
    if isinstance(outcome.results[0], RobustnessBound):
        read_off(outcome.results[0])
paint()
exports.on_demand(
    session.another(EVERY, rows=(0,)),
    "Every small image",
    "Ask about every black-and-white image of {pixels} x {pixels} pixels",
    {"pixels": "Side", "palette": "Palette"},
)
st.subheader("What people see", help=TABLE[OVERLAY].question)
drawn = session.another(OVERLAY)
left, right = st.columns([640, 380] if len(drawn.models) == 1 else [1040, 380], gap="large")
with left:
    exports.picture(drawn, "two images")
with right:
    overlay(drawn)
    page.about("limits")
