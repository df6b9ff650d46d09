"""How much may an image change towards another one while the model stays as sure as before?"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from typing import Any, cast

import numpy as np
import streamlit as st

from core.analyses.prepare.directions import walk_direction
from core.analyses.prepare.level_sets import confidence_on, perceptual_distances
from core.analyses.table import TABLE
from core.analyses.table.level_sets import MOST_TARGETS, words_of
from core.figures.charts.level_sets.triangles import level_plane_chart
from core.geometry.level_sets.at_image import LevelSetAtImage
from core.geometry.level_sets.image_distances import ImageDistances, perceptual_missing
from core.geometry.level_sets.star import LevelStar
from core.geometry.level_sets.traverse import STATUSES
from core.geometry.planes.slices import Slice
from core.result import Context
from dashboard.state import session, speed_estimate
from dashboard.state.session import Outcome, Point
from dashboard.viewer.viewer import plane_view
from dashboard.widgets import controls, exports, page, plane_controls
from dashboard.widgets.showing import showing

ANALYSIS, TRIANGLE, STAR = "level_set", "level_triangle", "level_star"
WALK = ("mode", "delta", "steps")
SHARED = (*session.OF_THE_PLANE, *WALK)
_SIDE = 192  # points of the plane along each side


def ends(outcome: Outcome, results: list[LevelSetAtImage]) -> None:
    """Where the walks ended: pictures, and distances next to those of the source."""
    st.subheader("Where the walks ended")
    exports.chart(made.with_settings(show="ends", joined="none"), outcome)
    words = words_of(session.image_set(made.images), made.rows[1:])
    columns: dict[str, list[str]] = {}
    for source, result in zip(made.models, results, strict=True):
        seen = None if perceptual_missing() else perceived(source, result)
        for place in range(len(words)):
            whose = f"{session.classifier(source).name} → " if len(results) > 1 else ""
            lines = _line(result, place, seen)
            columns.setdefault("walk towards", list(lines))
            columns[f"{whose}{words[place]}"] = list(lines.values())
    st.dataframe(columns, hide_index=True, height="content")
    st.caption(
        "Distances from source to target, then from end to target, over pixels in [0, 1]; η is"
        f" {results[0].eta:.3g} a step. In 8 bits: whether the end is still allowed as an image of 256 grey levels."
    )
    for status in dict.fromkeys(str(word) for result in results for word in result.status):
        st.caption(f"*{status}*: {STATUSES[status]}")


def perceived(source: str, result: LevelSetAtImage) -> ImageDistances:
    """LPIPS of the ends of one model's walks."""
    images = session.image_set(made.images)
    return session.memo(("perceived", source), [result], lambda: perceptual_distances(result, images))


def _line(result: LevelSetAtImage, place: int, seen: ImageDistances | None) -> dict[str, str]:
    """The numbers of one walk, by name."""
    names = session.classifier(made.models[0]).class_names
    walked = math.isfinite(result.rmse[place])
    lines = {
        "status": f"{result.status[place]}, {result.taken[place]} steps",
        "confidence": f"{result.source_confidence[place]:.3f} → {result.end_confidence[place]:.3f}",
        "class at the end": names[int(result.end_class[place])],
        "root mean square": f"{result.start_rmse[place]:.3f} → {result.rmse[place]:.3f}",
        "left of the way": f"{result.ratio[place]:.0%}; floor {result.floor[place]:.0%}",
        "l-infinity": f"{result.start_largest[place]:.2f} → {result.largest[place]:.2f}",
        "SSIM": f"{result.start_ssim[place]:.2f} → {result.ssim[place]:.2f}",
        **({"LPIPS": f"{seen.start_lpips[place]:.3f} → {seen.lpips[place]:.3f}"} if seen else {}),
        "least on the straight way": f"{result.straight[place]:.3f}",
        "in 8 bits": "allowed" if result.survives_rounding[place] else "no longer",
    }
    return lines if walked else {name: str(result.status[place]) if name == "status" else "" for name in lines}


def directions() -> tuple[str, str] | None:
    """The plane's two directions; None if no recipe can name it."""
    if made.parameters["at"] is not None:
        return None
    walk = [made.parameters[name] for name in WALK]
    u = walk_direction(made.rows[1], *walk)
    ends = triangle.figure["through"] == "ends" and len(made.rows) > 2
    v = walk_direction(made.rows[2], *walk) if ends else f"image:{made.rows[1]}"
    return (u, v) if u and v else None


def plane(results: list[LevelSetAtImage]) -> Slice | None:
    """The slice through the source and the ends of the first model's walks, shaded by the source's class.

    Returns:
        The slice of the first model, None before it is computed.
    """
    st.subheader("The plane of the walks")
    along = directions()
    if along is None:
        which = "with a delta of whole percents" if made.parameters["at"] is None else "from an image of the set"
        st.caption(f"Drawn for walks {which}: others have no name that a link could hold.")
        return None
    if len(made.rows) > 2:
        controls.setting(TRIANGLE, "through", "Through the source and")
    side = speed_estimate.beside(_SIDE)
    size, extent = f"{side} x {side}", triangle.figure["extent"]
    chosen = {"plane": "directions", "u": along[0], "v": along[1], "resolution": side, "shading": "entropy"}
    cut = replace(session.make("slice", {**chosen, "extent": extent}), rows=made.rows[:1])

    def draw(outcome: Outcome) -> None:
        captions = controls.side_by_side(
            outcome, size, session.shown_by_model(cut, outcome), partial(one_plane, outcome), ":plane"
        )
        if captions:
            st.caption(captions[0])

    def one_plane(outcome: Outcome, place: int, source: str, shown: Slice) -> str:
        result = results[place]
        base = session.chart(cut, source, shown, [shown])
        chart = session.memo(
            ("level-plane", source, cut.json()),
            [shown, result],
            lambda: level_plane_chart(
                base, shown, confidence_on(shown, int(result.source_class[0])), float(result.source_confidence[0])
            ),
        )
        plane_view(
            chart,
            key=f"level-plane-{place}",
            view=extent or shown.home,
            home=shown.home,
            pick=session.point() if _same_plane(along) else None,
            busy=controls.progress_words(outcome, size),
            on_zoom=lambda extent: session.change(TRIANGLE, extent=extent),
            on_pick=partial(pick, along),
            linked="level-plane",
            height=560,
        )
        controls.legend(chart)
        return chart.caption

    outcome = session.live(cut, draw)
    st.button(
        "Open this plane in Slices",
        key="level_sets:slices",
        on_click=towards_slices,
        args=(along,),
        help="The same plane by classes, with the path of the walk drawn in it.",
    )
    return cast(Slice | None, session.shown(cut, outcome)[0])


def _same_plane(along: tuple[str, str]) -> bool:
    """Whether this is the plane of Slices, to which the picked point belongs."""
    chosen = session.settings("slice")
    return (chosen.get("plane"), chosen.get("u"), chosen.get("v")) == ("directions", *along)


def pick(along: tuple[str, str], at: Point) -> None:
    """Choose the mixed image at a point of the plane, which becomes the plane of Slices."""
    take_plane(along)
    session.pick(at)


def take_plane(along: tuple[str, str]) -> None:
    """Set Slices to this plane; keep a picked point of the same plane."""
    if not _same_plane(along):
        session.change("slice", plane="directions", u=along[0], v=along[1])


def towards_slices(along: tuple[str, str]) -> None:
    """Open this plane in Slices."""
    take_plane(along)
    session.go("slices")


def star() -> None:
    """The ends of many walks around the source, on demand."""
    walked = {name: made.parameters[name] for name in SHARED}
    if walked["mode"] == "superlevel":  # its walks end where no confidence is left to lose
        walked["mode"] = "equality"
    asked = session.another(STAR, **walked)

    def draw(outcome: Outcome) -> None:
        controls.progress(outcome, "{count} walks, their segments and widths".format(**asked.parameters))
        exports.chart(asked, outcome)
        lines = [
            {
                "model": session.classifier(source).name,
                "ends": str(len(one.spoke_reach)),
                **controls.worded(one.key_numbers(Context())),
                "chords inside": f"{float(np.mean(one.chord_reach == 1)):.0%}" if len(one.chord_reach) else "none",
                "walks that never began": str(one.skipped),
            }
            for source, one in zip(asked.models, outcome.results, strict=True)
            if isinstance(one, LevelStar)
        ]
        if lines:
            st.dataframe(lines, hide_index=True)
        controls.stop_or_resume(outcome, f":{STAR}")

    exports.on_demand(
        asked,
        "A star of blind spots",
        "Walk to {count} images of other classes",
        {"count": "Targets", "within": "May lose", "directions": "Directions", "seed": "Seed"},
        draw,
    )


def moment(results: list[LevelSetAtImage]) -> None:
    """The image at one step of the walk, and each model's prediction of its own."""
    with controls.card("At one step"):
        pair = min(made.figure["shown"], len(results[0].status)) - 1
        steps = [int(at) for at in results[0].frames]
        step = min(steps, key=lambda at: abs(at - made.figure["step"]))
        st.select_slider(
            "Step",
            steps,
            help="An image on the way; a line marks its step in the curves.",
            **showing(f"{ANALYSIS}:step:slider", step, lambda chosen: session.change(ANALYSIS, step=chosen)),
        )
        place = steps.index(step)
        for source, result in zip(made.models, results, strict=True):
            controls.model_name(source)
            ended = not np.isfinite(result.snapshots[pair, place]).all()
            image = result.endpoints[pair] if ended else result.snapshots[pair, place]
            if not np.isfinite(image).all():
                st.caption(STATUSES[str(result.status[pair])])
                continue
            controls.image_card(session.classifier(source), image[None])
            if ended:
                st.caption(f"The walk ended after {result.taken[pair]} steps: {result.status[pair]}.")


def mixed(cut: Slice | None) -> None:
    """The image at the picked point of the first model's plane."""
    along, at = directions(), session.point()
    if cut is None or along is None or at is None or not _same_plane(along):
        return
    with controls.card("Picked point of the plane"):
        controls.image_card(session.classifier(made.models[0]), cut.plane.to_pixels(np.array([at])))


def aim(rows: tuple[int, ...]) -> None:
    """Walk to other targets; keep a picked source if its plane stays."""
    session.choose(rows=rows)
    if made.parameters["plane"] == "directions" or rows[:3] == made.rows[:3]:
        session.change(ANALYSIS, at=made.parameters["at"])


made, left, right = page.lens(ANALYSIS)
triangle = session.another(TRIANGLE, **{name: made.parameters[name] for name in SHARED})
if len(made.rows) > 2:  # one target makes no triangle
    triangle = replace(triangle, rows=made.rows[:3])
size = f"{len(made.rows) - 1} walks of {made.parameters['steps']} steps"
with left:
    outcome = exports.picture(made, size, shown=made.with_settings(show="film"), main=True, patience=0.25)
    results = [result for result in outcome.results if isinstance(result, LevelSetAtImage)]
    seen = None
    complete = outcome.finished and len(results) == len(made.models)
    if complete:
        ends(outcome, results)
        if all(np.isfinite(result.endpoints[:2]).all() for result in results):
            seen = plane(results)
            if len(made.rows) > 2:
                st.subheader("The triangle between the ends")
                # with one model, the plane shows the rest
                shows_rest = len(made.models) == 1 and directions() is not None
                shown = triangle.with_settings(show="shares") if shows_rest else triangle
                exports.picture(triangle, "the triangle", shown=shown, patience=1.0)
        star()
with right:
    with controls.card("Source"):
        plane_controls.image_asked(made, how=", put back into the pixel box")
        st.markdown("**Targets**")
        plane_controls.targets(made.rows, MOST_TARGETS, aim)
        words = words_of(session.image_set(made.images), made.rows[1:])
        chooser: Any = st.segmented_control if len(words) <= 4 else st.selectbox
        chooser(
            "Film towards",
            list(range(1, len(words) + 1)),
            format_func=lambda number: words[number - 1],
            help=TABLE[ANALYSIS].setting("shown").help,
            width="stretch",
            **showing(
                f"{ANALYSIS}:shown",
                min(made.figure["shown"], len(words)),
                lambda chosen: session.change(ANALYSIS, shown=chosen or made.figure["shown"]),
            ),
        )
        st.markdown("**Walk**")
        controls.settings(ANALYSIS, {"mode": "Mode", "delta": "Delta", "steps": "Steps"})
        with st.expander("More"):
            controls.setting(TRIANGLE, "resolution", "Lattice of the triangle")
            controls.setting(STAR, "palette", "Palette of the star")
    if complete:
        moment(results)
        mixed(seen)
