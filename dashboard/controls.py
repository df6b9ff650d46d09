"""Widgets that views share: a setting of an analysis, the anchors, progress, and the export menu."""

from __future__ import annotations

import html
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import streamlit as st
from streamlit.delta_generator import DeltaGenerator
from torch import Tensor

from core.analyses import TABLE, thumbnails
from core.checkpoints import demo_models
from core.classifier import Classifier
from core.figures import style
from core.figures.chart import Chart, FieldLayer, Scale
from core.recipe import Recipe
from core.tables import data_bytes
from dashboard import session
from dashboard.session import Outcome
from dashboard.viewer.copy_link import copy_link
from dashboard.viewer.thumbnails import thumbnail_grid
from dashboard.viewer.viewer import Busy

_LETTERS = "ABC"
_MOST_MODELS = 3


def setting(analysis: str, name: str, label: str, choices: Sequence[Any] | None = None) -> Any:
    """The widget of one setting; its unit and line of help come from the table of analyses.

    Args:
        analysis: a name of the table.
        name: of the setting.
        label: in plain words.
        choices: values to offer, where not all are.

    Returns:
        The value in force.
    """
    known = TABLE[analysis]
    entry = next(entry for entry in (*known.parameters, *known.figure_settings) if entry.name == name)
    value = session.settings(analysis).get(name, entry.parse(entry.default))
    key = f"{analysis}:{name}"

    def changed() -> None:
        chosen = st.session_state[key]
        if chosen is None:  # a segment was clicked off: keep what was
            return
        try:
            session.change(analysis, **{name: entry.parse(chosen)})
        except ValueError as error:
            st.toast(str(error))

    words: dict[str, Any] = {
        "label": f"{label} ({entry.unit})" if entry.unit else label,
        "help": entry.help,
        "on_change": changed,
    }
    offered = tuple(choices if choices is not None else entry.choices)
    if entry.kind in ("numbers", "text"):
        # known by its value, because a zoom sets it too: what a browser still holds of an older one is no wish
        key = f"{key}:{entry.text(value)}"
        st.text_input(value=entry.text(value), key=key, **words)
    elif offered and len(offered) <= 5:
        st.session_state[key] = value if value in offered else None
        st.segmented_control(options=offered, key=key, width="stretch", **words)
    elif offered:
        st.session_state[key] = value if value in offered else offered[0]
        st.selectbox(options=offered, key=key, **words)
    else:
        number = int if entry.kind == "integer" else float
        st.session_state[key] = number(value)
        if entry.limits is not None:
            words |= {"min_value": number(entry.limits[0]), "max_value": number(entry.limits[1])}
        st.number_input(key=key, **words)
    return value


def progress_words(outcome: Outcome, what: str) -> Busy | None:
    """The line under a picture while it is computed; None when nothing is under way.

    Args:
        outcome: what is there.
        what: the size of the work, e.g. "512 x 512".
    """
    if not outcome.waiting:
        return None
    job = outcome.waiting[0]
    if job.position:
        return {"text": f"{what}, waiting: {job.position} in the queue", "fraction": 0.0}
    left = job.remaining
    words = f"{what}, {job.fraction:.0%}"
    return {"text": words if left is None else f"{words}, about {max(1, round(left))} s left", "fraction": job.fraction}


def stop_or_resume(outcome: Outcome) -> None:
    """A cancel button while something is computed, and a way to go on after it was stopped."""
    if outcome.waiting:
        st.button("Cancel", key="cancel", on_click=session.cancel, args=(outcome,), type="tertiary")
    elif outcome.cancelled:
        st.button("Stopped here. Go on", key="resume", on_click=session.resume, type="tertiary")


def anchors(count: int) -> None:
    """Choose the images that span the plane: a slot, a class, then a thumbnail.

    Args:
        count: how many there are.
    """
    images = session.image_set(session.images())
    chosen = list(session.rows()[:count])
    with st.popover("Anchors", width="stretch"):
        st.segmented_control(
            "Replace",
            [f"{_LETTERS[place]}" for place in range(count)],
            default="A",
            key="anchors:slot",
            help="A lies at the origin, B on the x axis, C above it.",
        )
        names = ("all", *images.class_names)
        kind = st.selectbox("Class", names, key="anchors:class", help="Show only images of this class.")
        labels = images.labels.tolist()
        rows = [row for row, k in enumerate(labels) if kind == "all" or images.class_names[k] == kind][:180]

        def choose(row: int) -> None:
            changed = list(chosen)
            changed[_LETTERS.index(st.session_state["anchors:slot"] or "A")] = row
            session.choose(rows=changed)

        thumbnail_grid(
            thumbnails(images[rows]),
            key="anchors:grid",
            rows=rows,
            labels=[images.class_names[labels[row]] for row in rows],
            marks={row: _LETTERS[place] for place, row in enumerate(chosen)},
            on_choose=choose,
            height=300,
        )
    for place, (column, row) in enumerate(zip(st.columns(count), chosen, strict=True)):
        column.image(_enlarged(thumbnails(images[[row]])[0], 64), width=64)
        column.caption(f"{_LETTERS[place]}: {images.class_names[labels[row]]} {row}")


def _enlarged(image: np.ndarray, size: int) -> np.ndarray:
    """An image with every pixel repeated, at least `size` wide, so that browsers do not blur it."""
    factor = -(-size // image.shape[1])
    return image.repeat(factor, 0).repeat(factor, 1)


def image_card(classifier: Classifier, image: Tensor) -> None:
    """One image with the model's four likeliest classes and their probabilities."""
    said = classifier.predict(image.float())
    likeliest = np.argsort(-said.probabilities[0])[:4]
    pixels = (image[0].clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()
    pixels = np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else pixels
    picture, bars = st.columns([96, 230], vertical_alignment="center")
    picture.image(_enlarged(pixels, 192), width=96)
    rows = "".join(
        f"<div class='bar'><span>{html.escape(classifier.class_names[k])}</span>"
        f"<div><i style='width:{said.probabilities[0, k]:.1%};background:{style.class_colour(int(k))}'></i></div>"
        f"<b>{said.probabilities[0, k]:.3f}</b></div>"
        for k in likeliest
    )
    bars.html(rows)


def facts(lines: Mapping[str, str]) -> None:
    """Names with values, one line each."""
    st.html(
        "".join(
            f"<div class='fact'><span>{html.escape(k)}</span><b>{html.escape(v)}</b></div>" for k, v in lines.items()
        )
    )


def legend(chart: Chart) -> None:
    """The chart's colours with their meaning and share; numbers as a ramp of colours."""
    fields = [layer for panel in chart.panels for layer in panel.layers if isinstance(layer, FieldLayer)]
    ramps = [_ramp(field.scale) for field in fields if field.scale and field.scale.palette != "paleness"]
    entries = [
        "<span class='key'>"
        + (f"<i style='background:{entry.colour}'></i>" if entry.colour else "")
        + html.escape(entry.label)
        + ("" if entry.share is None else f"<b>{_percent(entry.share)}</b>")
        + "</span>"
        for entry in chart.legend
    ]
    st.html(f"<div class='legend'>{''.join(ramps + entries)}</div>")


def _ramp(scale: Scale) -> str:
    low, high = scale.limits
    colours = style.scale_colours(np.linspace(low, high, 9)[None], scale.palette, scale.limits)[0]
    stops = ", ".join(f"rgb({red},{green},{blue})" for red, green, blue in colours)
    return (
        f"<span class='ramp'>{html.escape(scale.title)}<b>{low:g}</b>"
        f"<i style='background:linear-gradient(90deg, {stops})'></i><b>{high:g}</b></span>"
    )


def _percent(share: float) -> str:
    return f"{share:.0%}" if share >= 0.005 else "<1%"


# -- the frame --------------------------------------------------------------------------------------------------------


def frame() -> None:
    """The line above every view: models, images, the picked point."""
    chosen = session.models()
    with st.container(horizontal=True, vertical_alignment="center", key="frame"):
        with st.popover(f"model **{_short(chosen[0])}**"):
            st.radio(
                "Model",
                demo_models(),
                index=demo_models().index(chosen[0]) if chosen[0] in demo_models() else None,
                key="frame:model",
                format_func=_short,
                on_change=lambda: session.choose(models=_with_first(st.session_state["frame:model"])),
            )
        others = [source for source in demo_models() if source != chosen[0] and _alike(source, chosen[0])]
        if others:
            compared = ", ".join(_short(source) for source in chosen[1:])
            with st.popover(f"compare with **{compared}**" if compared else "+ compare"):
                st.multiselect(
                    "Compare with",
                    others,
                    [source for source in chosen[1:] if source in others],
                    key="frame:compare",
                    format_func=_short,
                    max_selections=_MOST_MODELS - 1,
                    help="Models drawn side by side, on the same plane and in the same colours.",
                    on_change=lambda: session.choose(models=(session.models()[0], *st.session_state["frame:compare"])),
                )
        images = session.image_set(session.images())
        with st.popover(f"images **{len(session.rows())} of {len(images)}**"):
            st.caption(f"From {session.images()}. Choose the anchors in the view itself.")
        point = session.point()
        if point is not None:
            st.button(
                f"point **{point[0]:.2f}, {point[1]:.2f}**",
                on_click=session.pick,
                args=(None,),
                help="Drop this point.",
            )
        st.space("stretch")
        with st.container(horizontal=True, width="content", key="frame-right", vertical_alignment="center"):
            copy_link("frame:link")
            st.session_state["frame:right"] = st.container(horizontal=True, width="content")


def _with_first(source: str) -> list[str]:
    """The chosen models with another first one; those that see other images are dropped."""
    return [source, *(other for other in session.models()[1:] if other != source and _alike(other, source))]


def _alike(source: str, other: str) -> bool:
    """Whether two demo models see the same images."""
    return session.own_images(source) == session.own_images(other)


def _short(source: str) -> str:
    return source.removeprefix("demo:").replace("/", " / ")


def heading(title: str, question: str) -> None:
    """A view's name and the question it answers."""
    st.title(title)
    st.caption(question)


# -- export -----------------------------------------------------------------------------------------------------------


def export(made: Recipe, outcome: Outcome, where: DeltaGenerator | None = None) -> None:
    """The export menu of a chart; every file holds the recipe.

    Args:
        made: the recipe of the picture.
        outcome: what is there of it; the menu waits until it is complete.
        where: the container to put it in; its place in the frame when not given.
    """
    place = where or st.session_state["frame:right"]
    name = made.analysis
    kind: Any = "tertiary" if where else "primary"
    with place.popover("Export", disabled=not outcome.finished, key=f"export:{name}", type=kind):
        presets = ("its own width below", *style.WIDTHS)
        st.selectbox(
            "Made for",
            presets,
            key=f"{name}:venue",
            help="Column widths of usual venues; sets the width.",
            on_change=lambda: session.change(name, width=style.WIDTHS.get(st.session_state[f"{name}:venue"])),
        )
        left, right = st.columns(2)
        with left:
            setting(name, "width", "Width")
            setting(name, "font", "Typeface")
        with right:
            setting(name, "font_size", "Font size")
            setting(name, "dpi", "PNG sharpness")
        for column, (ending, words) in zip(itertools.cycle(st.columns(2)), _FILES.items(), strict=False):
            single = ending not in (".npz", ".csv") or len(made.models) == 1
            column.download_button(
                words,
                data=_file(made, outcome, ending),
                file_name=f"{name}{ending}",
                on_click="ignore",
                key=f"download:{name}{ending}",
                width="stretch",
                disabled=not single,
                help=None if single else "Choose one model: each has numbers of its own.",
            )
        st.caption(
            "Each file holds its recipe. Drop it on the home view, or `python -m core.cli run FILE --out FIGURE`."
        )


_FILES = {
    ".pdf": "PDF",
    ".svg": "SVG",
    ".png": "PNG",
    ".html": "Interactive HTML",
    ".npz": "Numbers (NPZ)",
    ".csv": "Numbers (CSV)",
    ".json": "Recipe (JSON)",
}


def _file(made: Recipe, outcome: Outcome, ending: str) -> Callable[[], bytes]:
    """What builds one file when it is asked for; it runs outside of the page and writes no elements."""
    classifiers = [session.classifier(source) for source in made.models]
    images = session.image_set(made.images)

    def build() -> bytes:
        results = [result for result in outcome.results if result is not None]
        if ending == ".json":
            return f"{made.json()}\n".encode()
        if ending in (".npz", ".csv"):
            return data_bytes(replace(results[0], recipe=made.mapping()), ending)
        chart = made.chart(results, classifiers, images)
        if ending == ".html":
            from core.figures.screen import page_bytes

            return page_bytes(chart)
        from core.figures.paper import figure_bytes

        return figure_bytes(chart, ending.removeprefix("."), **made.paper())  # type: ignore[arg-type]

    return build


def chart(made: Recipe, outcome: Outcome) -> None:
    """A chart of curves with its export menu, drawn by Plotly.

    Args:
        made: the recipe of the picture.
        outcome: what is there of it.
    """
    from core.figures import screen

    results = [result for result in outcome.results if result is not None]
    if len(results) < len(made.models):
        st.caption("On its way.")
        return
    classifiers = [session.classifier(source) for source in made.models]
    drawn = made.chart(results, classifiers, session.image_set(made.images))
    figure = screen.draw(drawn, dark=st.context.theme.type == "dark")
    st.plotly_chart(figure, theme=None, key=f"chart:{made.analysis}", alt=drawn.alt, config={"displayModeBar": False})
    st.caption(drawn.caption)


# -- directions -------------------------------------------------------------------------------------------------------

_KINDS = {
    "gradient": "gradient of the margin",
    "random": "random",
    "image": "towards an image",
    "mean": "class-mean difference",
    "pca": "principal direction of its neighbours",
    "dct": "frequency (DCT atom)",
}


_RUNNER_UP = -1  # in place of a class


def direction(analysis: str, name: str, label: str) -> None:
    """The widgets of one spanning direction: its kind, then what that kind needs.

    Args:
        analysis: a name of the table with directions.
        name: of the setting.
        label: in plain words.
    """
    entry = next(entry for entry in TABLE[analysis].parameters if entry.name == name)
    kind, _, rest = str(session.settings(analysis).get(name, entry.default)).partition(":")
    numbers = [int(part) for part in rest.split(",")] if rest else []
    classes = session.classifier(session.models()[0]).class_names
    key = f"{analysis}:{name}"
    defaults = {"gradient": "", "random": ":0", "image": ":1", "mean": ":0", "pca": ":1", "dct": ":0,4"}

    def chosen() -> None:
        picked = st.session_state[f"{key}:kind"]
        session.change(analysis, **{name: picked + defaults[picked]})

    def numbered() -> None:
        values = [st.session_state[f"{key}:{place}"] for place in range(len(numbers) or 1)]
        words = "" if values[0] in (None, _RUNNER_UP) else ":" + ",".join(str(int(value)) for value in values)
        session.change(analysis, **{name: kind + words})

    st.session_state[f"{key}:kind"] = kind
    first, second = st.columns([3, 2])
    first.selectbox(
        label, list(_KINDS), format_func=_KINDS.__getitem__, key=f"{key}:kind", help=entry.help, on_change=chosen
    )
    with second:
        if kind in ("gradient", "mean"):
            options = [*([_RUNNER_UP] if kind == "gradient" else []), *range(len(classes))]
            st.session_state[f"{key}:0"] = numbers[0] if numbers else _RUNNER_UP
            st.selectbox(
                "towards class",
                options,
                format_func=lambda k: "runner-up" if k == _RUNNER_UP else classes[k],
                key=f"{key}:0",
                on_change=numbered,
                help="The class whose side the direction leads to.",
            )
        else:
            words = {"random": ("seed",), "image": ("row",), "pca": ("number",), "dct": ("down", "across")}[kind]
            for place, (column, word) in enumerate(zip(st.columns(len(words)), words, strict=True)):
                st.session_state[f"{key}:{place}"] = numbers[place]
                least = 1 if kind == "pca" else 0
                column.number_input(
                    word, min_value=least, max_value=10**6, step=1, key=f"{key}:{place}", on_change=numbered
                )
