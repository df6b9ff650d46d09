"""Which images does the model find alike, and what would it say between them?"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import streamlit as st

from core.analyses.analysis import thumbnails
from core.analyses.table import TABLE
from core.analyses.table.maps import MOST_ROWS, OF_THE_MAP
from core.figures.charts.maps import map_chart, path_words
from core.figures.drawing.glyphs import with_known_letters
from core.geometry.corruptions.corruptions import CORRUPTIONS
from core.geometry.maps.background import STATUSES, DecisionMap
from core.geometry.maps.curvature import CurvedMap
from core.geometry.maps.maps import EmbeddingMap
from core.geometry.maps.paths import MapPaths
from dashboard.state import address, session
from dashboard.state.session import Outcome
from dashboard.viewer.scatter import apart, scatter_view
from dashboard.viewer.thumbnails import thumbnail_grid
from dashboard.viewer.viewer import Busy
from dashboard.widgets import controls, exports, page

ANALYSIS, PATH = "map", "map_path"
FIRST_CURVED = 60  # images: some seconds


def maps(outcome: Outcome) -> None:
    """The maps of all chosen models, side by side."""
    results = session.shown_by_model(base, outcome)
    known = [result for _, result in results if result is not None]
    followed = overlaid() if PATH in session.asked() else (None,) * len(results)
    size = f"map of {len(images)} images"

    def draw(place: int, source: str, result: EmbeddingMap) -> None:
        scatter(place, source, result, followed[place], known, controls.progress_words(outcome, size))

    controls.side_by_side(outcome, size, results, draw)


def scatter(
    place: int, source: str, found: EmbeddingMap, paths: MapPaths | None, known: list[EmbeddingMap], busy: Busy | None
) -> None:
    """The map of one model."""
    classifier = session.classifier(source)
    figure = {name: made.figure[name] for name in ("colour", "background", "palette")}
    chart = session.memo(
        ("map", source, made.rows, *figure.values()),
        [found, *known, *([paths] if paths else [])],
        lambda: with_known_letters(
            map_chart(
                found, class_names=classifier.class_names, marked=made.rows, paths=paths, shared_scale=known, **figure
            )
        ),
    )
    rows = found.row.tolist()
    scatter_view(
        chart,
        session.memo("map:pictures", [found], lambda: thumbnails(images[rows])),
        key=f"map-{place}",
        positions=found.positions,
        rows=rows,
        words=session.memo(("map:words", source), [found], lambda: words(found, classifier.class_names)),
        busy=busy,
        on_choose=choose,
        on_lasso=lasso,
        height=680,
    )
    controls.legend(chart)
    if paths is not None:
        st.caption(path_words(paths))
    st.caption(chart.caption)


def words(found: EmbeddingMap, names: tuple[str, ...]) -> list[str]:
    """The label of each image."""
    texts = []
    for number, row in enumerate(found.row.tolist()):
        predicted, label = int(found.predicted[number]), int(found.label[number])
        text = f"image {row}" + (f": {images.class_names[label]}" if label >= 0 else "")
        text += f"\npredicted {names[predicted]}, {found.confidence[number]:.0%}" if predicted >= 0 else "\nno class"
        text += f"\nmargin {found.margin[number]:.2f} logits"
        if isinstance(found, CurvedMap) and np.isfinite(found.curvature[number]):
            text += f"\ncurvature times distance {found.curvature[number]:.2g}"
        texts.append(text)
    return texts


def choose(row: int) -> None:
    """Put the clicked image into the next slot; one that has a slot already changes places."""
    rows = list((*session.rows(), *made.rows)[:3])
    slot = min(st.session_state.get("map:slot", 0), 2)
    if row in rows:
        rows[rows.index(row)] = rows[slot]
    rows[slot] = row
    st.session_state["map:slot"] = (slot + 1) % 3
    session.choose(rows=rows)


def lasso(rows: list[int]) -> None:
    """Choose the images inside a line; the first three lie apart, since other views show those."""
    found = next((one for one in session.shown(base, outcome) if one is not None), None)
    if found is None:
        return
    inside = np.flatnonzero(np.isin(found.row, rows))
    ordered = inside[apart(found.positions[inside], 3)]
    session.choose(rows=found.row[ordered][:MOST_ROWS].tolist())


def towards_slices() -> None:
    """Open Slices on the plane through the three images."""
    session.choose(rows=session.rows()[:3])
    session.open_view("slice", plane="images")


def overlaid() -> tuple[MapPaths | None, ...]:
    """The paths on the maps of all models, None where not computed yet."""
    outcome = session.compute(path)
    st.session_state["map:unfinished"] = bool(outcome.waiting)
    if outcome.error:
        st.error(outcome.error)
    return outcome.results  # type: ignore[return-value]


def overlay() -> None:
    """Choose the path that is drawn across the map."""
    if PATH not in session.asked():
        st.caption("How an image moves over the map under a corruption, an attack or a walk; or where a slice lies.")
        st.button("Draw a path", key="map:path", on_click=session.ask, args=(PATH,), width="stretch")
        return
    controls.setting(PATH, "kind", "Path")
    kind = path.parameters["kind"]
    if kind == "corruption":
        controls.setting(PATH, "corruption", "Corruption", tuple(CORRUPTIONS))
    elif kind == "attack":
        controls.setting(PATH, "length", "Length")
    elif kind == "slice":
        plane = "through A, B and C"
        if path.parameters["slice_plane"] != "images":
            plane = "at A along {slice_u} and {slice_v}".format(**path.parameters)
        part = "" if path.parameters["extent"] is None else ", the part that Slices was zoomed to"
        st.caption(f"The plane {plane}{part}.")
        st.button(
            "Take the plane of Slices",
            key="map:plane",
            on_click=take_slice,
            help="Draws the current plane of Slices.",
            width="stretch",
        )
    if kind != "walk":
        controls.setting(PATH, "steps", "Steps")
    if kind == "line":
        st.caption("From image A to image B.")
    if kind == "walk":
        words = "From image A towards image B: {walk_mode}, delta {walk_delta:g}, at most {walk_steps} steps."
        st.caption(words.format(**path.parameters))
        st.button(
            "Take the walk of Level sets",
            key="map:walk",
            on_click=take_walk,
            help="Walks with the current settings of Level sets.",
            width="stretch",
        )


def take_slice() -> None:
    """Draw the plane of Slices, in its current extent."""
    now = session.another("slice").parameters
    session.change(PATH, slice_plane=now["plane"], slice_u=now["u"], slice_v=now["v"], extent=now["extent"])


def take_walk() -> None:
    """Walk with the settings of Level sets."""
    now = session.another("level_set").parameters
    session.change(PATH, **{f"walk_{name}": now[name] for name in ("mode", "delta", "steps")})


def measured(found: EmbeddingMap) -> dict[str, tuple[str, str]]:
    """The numbers of a map, each with that of a random map, which invents and tears apart about half its neighbours."""
    shares: dict[str, tuple[float, float]] = {}
    for kind, agreement in (("true", found.label_agreement), ("predicted", found.predicted_agreement)):
        on_map, within, chance = agreement
        shares |= {
            f"neighbours of one {kind} class, on the map": (on_map, chance),
            f"neighbours of one {kind} class, in the space": (within, chance),
        }
    if isinstance(found, DecisionMap):
        shares["background that agrees with the model"] = (found.background_agreement, found.background_chance)
    shares["neighbours kept between seeds"] = (found.seed_agreement, found.chance)
    percent = partial(controls.percent_label, digits=1)
    return {
        "neighbours kept": (percent(found.neighbour_agreement), percent(found.chance)),
        "trustworthiness: 1, none invented": (f"{found.trustworthiness:.3f}", "0.5"),
        "continuity: 1, none torn apart": (f"{found.continuity:.3f}", "0.5"),
        "correlation of distances (Spearman)": (f"{found.correlation:.2f}", "0"),
        **{name: (percent(share), percent(chance)) for name, (share, chance) in shares.items()},
    }


def curvatures() -> None:
    """Choose how many curvatures are measured; a button starts the first ones, because they take a while."""
    if made.parameters["curved"]:
        controls.setting(ANALYSIS, "curved", "Curvature near")
        return
    count = min(FIRST_CURVED, len(images), made.parameters["count"])
    st.button(
        f"Measure the curvature near {count} images",
        key="map:measure",
        on_click=session.change,
        args=(ANALYSIS,),
        kwargs={"curved": count},
        help="Finds the nearest boundary point of each and its largest curvature; takes about 0.1 s per image.",
        width="stretch",
    )


images = session.image_set(session.images())
made, left, right = page.lens(ANALYSIS, one=680)
base = replace(made, rows=(0, 1))  # the map does not depend on the chosen images
path = session.another(PATH, **{entry.name: made.parameters[entry.name] for entry in OF_THE_MAP})
with left:
    outcome = session.live(base, maps, urgent=True)
    known = [result for result in session.shown(base, outcome) if isinstance(result, EmbeddingMap)]
    if known and not outcome.error:
        st.subheader("How faithful is this map?" if len(known) == 1 else "How faithful are these maps?")
        names = [session.classifier(source).name for source in made.models] if len(known) > 1 else ["value"]
        first, tables = known[0], [measured(found) for found in known]
        shown = {name: [value for value, _ in table.values()] for name, table in zip(names, tables, strict=False)}
        by_chance = [chance for _, chance in tables[0].values()]
        st.dataframe(
            {"of 10 neighbours, or of all pairs": list(tables[0]), **shown, "by chance": by_chance}, hide_index=True
        )
        cost = "; ".join(
            f"{found.forwards:,} forwards, {found.seconds:.1f} s, laid out by {found.engine}" for found in known
        )
        if first.all_pairs:
            cost += f". The published scheme, for all pairs, takes {first.all_pairs:,} forwards"
        if isinstance(first, DecisionMap) and first.status != "measured":
            cost += f". {STATUSES[first.status].removesuffix('.')}"
        st.caption(f"{cost}.")
    if PATH in session.asked():
        with st.expander("The path alone"):
            following = exports.picture(path, "the path", patience=0.0)
        if st.session_state.pop("map:unfinished", False) and not following.waiting:
            address.rerun()  # it arrived after the map was drawn
exports.export(made, outcome)
with right:
    with controls.card():
        rows = session.rows()
        st.markdown("**Chosen images**")
        slot = "ABC"[min(st.session_state.get("map:slot", 0), 2)]
        st.caption(f"Click an image of the map to put it in place {slot}, or draw around several.")
        thumbnail_grid(
            thumbnails(images[list(rows)]),
            key="map:chosen",
            rows=rows,
            labels=images[list(rows)].words,
            marks=dict(zip(rows[:3], "ABC", strict=False)),
            height=190,
        )
        if len(rows) > 3:
            st.caption(f"{len(rows)} images; other views show the first three, which lie apart.")
        to_slice, back = st.columns(2)
        to_slice.button(
            "Slice A, B, C",
            key="map:slice",
            on_click=towards_slices,
            disabled=len(set(rows[:3])) < 3,
            help="Opens the plane of pixels through these three images: there, lengths are true.",
            width="stretch",
        )
        back.button(
            "As at first",
            key="map:default",
            on_click=session.choose,
            kwargs={"rows": (3, 17, 42)},
            help="Chooses the images of a new session again.",
            width="stretch",
        )
    with controls.card("Path across the map"):
        overlay()
    with controls.card("Map"):
        controls.setting(
            ANALYSIS, "space", "Compare images by", ("features", "pixels", "logits", "probabilities", "divergence")
        )
        colours = TABLE[ANALYSIS].setting("colour").choices
        colours = colours if made.parameters["seeds"] > 1 else tuple(name for name in colours if name != "spread")
        controls.setting(ANALYSIS, "colour", "Colour", colours)
        if made.figure["colour"] == "curvature":
            curvatures()
        controls.setting(ANALYSIS, "background", "Background")
        with st.expander("More"):
            controls.setting(ANALYSIS, "neighbours", "Neighbours")
            controls.slider(ANALYSIS, "min_dist", "Least distance", 0.05)
            if made.parameters["space"] == "features":
                controls.setting(ANALYSIS, "layer", "Layer")
            controls.settings(
                ANALYSIS,
                {"seeds": "Seeds", "seed": "Seed", "count": "Images", "resolution": "Background", "palette": "Palette"},
            )
