"""Are two images joined by a path on which the model never changes its mind?"""

from __future__ import annotations

import streamlit as st

from core.figures.charts.regions.paths import path_words
from core.figures.charts.regions.region_graph import graph_words, on_plane
from core.geometry.regions.at_image import PathAtImage
from core.geometry.regions.connect import STATUSES
from core.geometry.regions.region_graph import OUTCOMES, RegionGraph
from dashboard.state import session
from dashboard.state.session import Outcome
from dashboard.viewer.viewer import plane_view
from dashboard.widgets import controls, exports, page, plane_controls

ANALYSIS, GRAPH = "path", "region_graph"
_MISSING = OUTCOMES.index("not found")


def verdict(found: PathAtImage) -> None:
    """The path that was found for one model, and its resolution."""
    with controls.card("Path", of_first=True):
        status = str(found.status[0])
        words = "two classes" if status == "other class" else str(found.verdict[0])
        st.badge(words, color="green" if found.found[0] else "orange")
        if status == "other class":
            other_class(found)
            return
        st.caption(STATUSES[status])
        specs = ["distance", "straight_share:share of the straight segment in the region"]
        if found.found[0]:
            specs += ["length_ratio", "segments", "min_margin", "resolution", "headroom:headroom", "outside"]
        if found.moved > 0:
            specs.append("moved:end moved for its class:ℓ2")
        controls.facts(controls.worded(found.quoted(*specs)) | {"cost": controls.cost_label(found)})
        if found.found[0]:
            st.caption("Headroom above 1: to vanish between samples, the margin would have to fall faster than it did.")


def other_class(found: PathAtImage) -> None:
    """Two images of two classes: one sentence, and two buttons to go on."""
    names = session.classifier(made.models[0]).class_names
    name = names[int(found.source_class[0])]
    st.markdown(path_words(found, names))
    if found.nearest_row >= 0:
        st.button(
            f"Take the nearest {name}, row {found.nearest_row}",
            key="regions:nearest",
            on_click=end_at,
            args=(made.rows[0], found.nearest_row),
            help="The image of the set nearest to the first in ℓ2 among those that the model puts in its class.",
            width="stretch",
        )
    st.button(
        f"Move the second image until it is {name}",
        key="regions:relabel",
        on_click=session.change,
        args=(ANALYSIS,),
        kwargs={"end": "relabelled"},
        help="By the small step of DeepFool: an adversarial example of it, in the region of the first.",
        width="stretch",
    )


def end_at(first: int, second: int) -> None:
    """Choose a pair of images of the set."""
    at, plane = made.parameters["at"], {name: made.parameters[name] for name in ("plane", "u", "v")}
    session.choose(rows=(first, second, *(session.rows()[2:] or ())))
    keep = at if plane["plane"] == "directions" and first == made.rows[0] else None
    session.change(ANALYSIS, **plane, end="image", at=keep)


def pairs() -> None:
    """The pair matrix and the component graph, filled in while they are computed."""
    size = "{count} images, pair by pair".format(**many.parameters)

    def draw(outcome: Outcome) -> None:
        for place, (source, result) in enumerate(session.shown_by_model(many, outcome)):
            if isinstance(result, RegionGraph):
                one_graph(source, result, place, outcome)
            else:
                controls.progress(outcome, size)
        controls.stop_or_resume(outcome, f":{GRAPH}")

    asked = session.classifier(made.models[0]).class_names[many.parameters["of_class"]]
    exports.on_demand(
        many,
        "Components",
        f"Join {{count}} images of {'every class' if many.parameters['among'] == 'all classes' else asked},"
        " pair by pair",
        {"among": "Among", "count": "Images", "search": "Search", "seed": "Seed", "palette": "Palette"},
        draw,
    )


def one_graph(source: str, graph: RegionGraph, place: int, outcome: Outcome) -> None:
    """The matrix of one model, to click on, and its graph."""
    controls.model_name(source)
    matrix, net = st.columns(2)
    with matrix:
        chart = session.chart(many.with_settings(show="matrix"), source, graph, [graph])
        plane_view(
            chart,
            key=f"regions-{place}",
            pick=pair_shown(graph),
            busy=controls.progress_words(outcome, f"{graph.pairs} pairs"),
            on_pick=lambda point: choose_pair(graph, point),
            height=420,
        )
    with net:
        graph_chart = session.chart(many.with_settings(show="graph"), source, graph, [graph])
        plane_view(on_plane(graph_chart), key=f"regions-net-{place}", height=420)
    controls.legend(chart)
    words = graph_words(graph, session.classifier(source).class_names)
    st.caption(
        f"{words} Click a cell to see its path. Components are an upper bound of connected regions: a pair without a"
        f" path so far proves no separation. {controls.cost_label(graph)}."
    )


def choose_pair(graph: RegionGraph, point: tuple[float, float]) -> None:
    """Show the path of the clicked cell."""
    size = len(graph.row)
    column, row = round(point[0]), size - 1 - round(point[1])
    if 0 <= column < size and 0 <= row < size and column != row and graph.outcome[row, column] <= _MISSING:
        end_at(int(graph.row[row]), int(graph.row[column]))


def pair_shown(graph: RegionGraph) -> tuple[float, float] | None:
    """The matrix cell of the pair whose path is shown."""
    rows = graph.row.tolist()
    first, second = made.rows[0], made.rows[min(1, len(made.rows) - 1)]
    if made.parameters["end"] != "image" or first not in rows or second not in rows:
        return None
    return float(rows.index(second)), float(len(rows) - 1 - rows.index(first))


made, left, right = page.lens(ANALYSIS)
of_class = session.settings(GRAPH).get("of_class", -1)
if of_class < 0:
    of_class = int(session.predictions(made.models[0], made.images).label[made.rows[0]])
many = session.another(GRAPH, rows=(0,), of_class=of_class)  # the same for every image of the class
with left:
    outcome = exports.picture(made, "one pair", main=True)
    first = session.shown(made, outcome)[0]
    pairs()
with right:
    if isinstance(first, PathAtImage) and not outcome.error:
        verdict(first)
    with controls.card("Images"):
        both = made.parameters["end"] in ("image", "relabelled")
        plane_controls.image_asked(made, 2 if both else 1)
        controls.setting(ANALYSIS, "end", "Path to")
        controls.settings(
            ANALYSIS, {"show": "Show", "step": "Step", "search": "Search", "seed": "Seed"}, under="Construction"
        )
