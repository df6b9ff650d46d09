"""Widgets that views share: a setting of an analysis, progress, cards and legends, and the frame above every view."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import streamlit as st
import torch
from torch import Tensor

from core.analyses.table import TABLE
from core.figures.drawing import style
from core.figures.drawing.chart import Chart, FieldLayer, Scale
from core.images.load import DEMO_SETS
from core.models.classifier import Classifier
from core.models.demo import demo_models
from core.sources.models import Source
from dashboard.state import session
from dashboard.uploads import own_images
from dashboard.uploads.session_uploads import name_of, own_uploads
from dashboard.viewer.copy_link import copy_link
from dashboard.widgets import nulls
from dashboard.widgets.showing import showing
from dashboard.widgets.under_way import model_name as model_name
from dashboard.widgets.under_way import per_model as per_model
from dashboard.widgets.under_way import progress as progress
from dashboard.widgets.under_way import progress_words as progress_words
from dashboard.widgets.under_way import side_by_side as side_by_side
from dashboard.widgets.under_way import stop_or_resume as stop_or_resume

YOURS = "yours"  # what the frame calls the models that a session brought
_CHOICES = {  # by setting and choice
    "method sparsefool": "SparseFool",
    "method sigma_zero": "sigma-zero",
    "order pixel": "pixels",
    "order l0": "values",
    "order l1": "sum of changes",
    "norm inf": "∞",
}
_ROW = 30  # letters of choices that fit into one row when several models are shown


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
    entry = TABLE[analysis].setting(name)
    value = session.settings(analysis).get(name, entry.parse(entry.default))
    key = f"{analysis}:{name}"

    def take(chosen: Any) -> None:
        if chosen is None:  # a segment was clicked off: keep what was
            return
        try:
            session.change(analysis, **{name: entry.parse(chosen)})
        except ValueError as error:
            st.toast(str(error))

    words: dict[str, Any] = {
        "label": f"{label} ({entry.unit})" if entry.unit and entry.unit != label.lower() else label,
        "help": entry.help,
    }
    offered = tuple(choices if choices is not None else entry.choices)
    if entry.kind in ("numbers", "text"):
        # a form, empty but for what is being typed: a zoom sets the extent too, and what a browser still holds of an
        # older one is no wish
        with st.form(f"{key}:form", clear_on_submit=True, border=False):
            st.text_input(key=key, placeholder=entry.text(value) or "none", **words)
            st.form_submit_button("Set", key=f"{key}:set", on_click=lambda: take(st.session_state[key]))
    elif offered and len(offered) <= 5 and not (len(session.models()) > 1 and sum(map(len, map(str, offered))) > _ROW):
        words |= showing(key, value if value in offered else None, take)
        st.segmented_control(options=offered, width="stretch", format_func=partial(_choice_label, name), **words)
    elif offered:
        words |= showing(key, value if value in offered else offered[0], take)
        st.selectbox(options=offered, format_func=partial(_choice_label, name), **words)
    else:
        number = int if entry.kind == "integer" else float
        words |= showing(key, number(value), take)
        if entry.limits is not None:
            words |= {"min_value": number(entry.limits[0]), "max_value": number(entry.limits[1])}
        st.number_input(**words)
    return value


def _choice_label(name: str, choice: Any) -> str:
    """How a choice of a setting is called."""
    return _CHOICES.get(f"{name} {choice}", str(choice).replace("_", " "))


def settings(analysis: str, labels: Mapping[str, str], under: str | None = None) -> None:
    """The widgets of several settings.

    Args:
        analysis: a name of the table.
        labels: the label of each setting, by its name.
        under: the title of an expander to put them in; None: no expander.
    """
    with st.expander(under) if under else st.container():
        for name, label in labels.items():
            setting(analysis, name, label)


def slider(analysis: str, name: str, label: str, step: float) -> None:
    """The widget of a number with limits, as a slider.

    Args:
        analysis: a name of the table.
        name: of the setting.
        label: in plain words.
        step: of the slider.
    """
    entry = TABLE[analysis].setting(name)
    value = float(session.settings(analysis).get(name, entry.default))
    low, high = entry.limits or (0.0, 1.0)
    st.slider(
        f"{label} ({entry.unit})" if entry.unit else label,
        min_value=low if low % step == 0 else step,
        max_value=float(high),
        step=step,
        help=entry.help,
        **showing(f"{analysis}:{name}:slider", value, lambda chosen: session.change(analysis, **{name: chosen})),
    )


def enlarged(image: np.ndarray, size: int) -> np.ndarray:
    """An image with every pixel repeated, at least `size` wide, so that browsers do not blur it."""
    factor = -(-size // image.shape[1])
    return image.repeat(factor, 0).repeat(factor, 1)


def picture_of(pixels: np.ndarray, size: int) -> np.ndarray:
    """Pixel values `c h w` in [0, 1] as a picture for `st.image`; values outside are clipped.

    Args:
        pixels: of one image.
        size: the least width, see `enlarged`.
    """
    shown = np.rint(255 * np.clip(pixels, 0, 1)).astype(np.uint8).transpose(1, 2, 0)
    return enlarged(np.repeat(shown, 3, axis=2) if shown.shape[2] == 1 else shown, size)


def image_card(classifier: Classifier, image: Tensor | np.ndarray) -> None:
    """One image with the model's four likeliest classes and their probabilities."""
    image = torch.as_tensor(image)
    predicted = classifier.predict(image.float())
    likeliest = np.argsort(-predicted.probabilities[0])[:4]
    picture, bars = st.columns([96, 230], vertical_alignment="center")
    picture.image(picture_of(image[0].numpy(), 192), width=96)
    rows = "".join(
        f"<div class='bar'><span>{html.escape(classifier.class_names[k])}</span>"
        f"<div><i style='width:{predicted.probabilities[0, k]:.1%};background:{style.class_colour(int(k))}'></i></div>"
        f"<b>{predicted.probabilities[0, k]:.3f}</b></div>"
        for k in likeliest
    )
    bars.html(rows)


def card_title(title: str) -> None:
    """The title of a card that is about the first model alone; named where several are shown."""
    several = len(session.models()) > 1
    st.markdown(f"**{title}**" + (f" :small[{_short(session.models()[0])}]" if several else ""))


def facts(lines: Mapping[str, str]) -> None:
    """Names with values, one line each."""
    st.html(
        "".join(
            f"<div class='fact'><span>{html.escape(k)}</span><b>{html.escape(v)}</b></div>" for k, v in lines.items()
        )
    )


def table(columns: Sequence[str], lines: Mapping[str, Sequence[str]]) -> None:
    """Names with several values each, in a table narrow enough for a card: long names take two lines."""
    head = "".join(f"<th>{html.escape(name)}</th>" for name in ("", *columns))
    rows = "".join(
        f"<tr><td>{html.escape(name)}</td>{''.join(f'<td>{html.escape(value)}</td>' for value in values)}</tr>"
        for name, values in lines.items()
    )
    st.html(f"<table class='facts'><tr>{head}</tr>{rows}</table>")


def legend(chart: Chart, *, ramps: bool = True) -> None:
    """The chart's colours with their meaning and share.

    Args:
        chart: the chart.
        ramps: whether scales of numbers are shown as ramps, where the chart is drawn without its colour bars.
    """
    fields = [layer for panel in chart.panels for layer in panel.layers if isinstance(layer, FieldLayer)]
    scales = [field.scale for field in fields if ramps and field.scale and field.scale.palette != "paleness"]
    theme = style.DARK if st.context.theme.type == "dark" and not fields else style.LIGHT
    entries = [
        "<span class='key'>"
        + (f"<i style='background:{style.lifted(entry.colour, theme)}'></i>" if entry.colour else "")
        + html.escape(entry.label)
        + ("" if entry.share is None else f"<b>{_percent(entry.share)}</b>")
        + "</span>"
        for entry in chart.legend
    ]
    if scales or entries:
        st.html(f"<div class='legend'>{''.join([*map(_ramp, scales), *entries])}</div>")


def _ramp(scale: Scale) -> str:
    low, high = scale.limits
    colours = style.scale_colours(np.linspace(low, high, 9)[None], scale.palette, scale.limits)[0]
    stops = ", ".join(f"rgb({red},{green},{blue})" for red, green, blue in colours)
    return (
        f"<span class='ramp'>{html.escape(scale.title)}<b>{scale.ends[0]:.3g}</b>"
        f"<i style='background:linear-gradient(90deg, {stops})'></i><b>{scale.ends[1]:.3g}</b></span>"
    )


def _percent(share: float) -> str:
    return f"{share:.0%}" if share >= 0.005 else "<1%"


# -- the frame --------------------------------------------------------------------------------------------------------


def frame() -> None:
    """The line above every view: models, images, the picked point."""
    chosen = session.models()
    with st.container(horizontal=True, vertical_alignment="center", key="frame"):
        with st.popover(f"model **{own_uploads().series_of(chosen[0]) or _short(chosen[0])}**"):
            _model(chosen[0])
        _checkpoint(chosen[0])
        others = [source for source in _offered() if source != chosen[0] and _alike(source, chosen[0])]
        others += [source for source in chosen[1:] if nulls.is_null(source)]
        others += [source for source in own_uploads().together(chosen[0]) if source not in (chosen[0], *others)]
        if others:
            compared = ", ".join(_short(source) for source in chosen[1:])
            with st.popover(f"compare with **{compared}**" if compared else "+ compare"):
                st.multiselect(
                    "Compare with",
                    others,
                    format_func=_short,
                    max_selections=session.MOST_MODELS - 1,
                    select_all=False,
                    placeholder="up to two",
                    help="Up to two models drawn beside the first, on the same plane and in the same colours.",
                    **showing(
                        "frame:compare",
                        [source for source in chosen[1:] if source in others],
                        lambda compared: session.choose(models=(session.models()[0], *compared)),
                    ),
                )
        else:
            st.popover(
                "+ compare",
                disabled=True,
                help="Nothing to compare with: no other model here tells the same classes apart in images of this"
                " shape. Bring one on the Model view, or choose a demo model.",
            )
        with st.popover("+ null", key=f"frame:nulls:{len(chosen)}"):  # with another count it is another one, and closed
            nulls.choose(chosen)
        images = session.image_set(session.images())
        chosen_of = f"images **{len(session.rows())} of {len(images)}**"
        with st.popover(chosen_of, help="How many images are chosen, of all that the set holds."):
            sets = [f"demo:{name}" for name in DEMO_SETS if name.split("-")[0] == _family(chosen[0])]
            shape = tuple(images.pixels.shape[1:])
            sets = sets or [session.demo_images(chosen[0])]
            names = {source: _short(source) for source in sets}
            names |= {own_images.fitted(source, shape): own_images.name_of(source) for source in own_images.offered()}
            sets = list(names)
            if len(sets) > 1 and session.images() in sets:
                st.radio(
                    "Image set",
                    sets,
                    format_func=lambda source: names.get(source, source),
                    help="Yours come from the Images view. Of digits also as some models saw them: low-passed, or with"
                    " frequencies flipped.",
                    **showing("frame:images", session.images(), lambda which: session.choose(images=which)),
                )
            resized = (
                f" Its first {len(images)} pictures, all that are kept at this size, resized bilinearly to the model's"
                " input. The model has other classes, so they carry no labels: hubble #0 is the name of a picture."
            )
            resized = resized if "@" in session.images() else ""
            whose = f"From {session.images()}" if session.images().startswith("demo:") else "Yours"
            st.caption(f"{whose}.{resized} Choose the anchors in the view itself.")
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


def _model(chosen: str) -> None:
    """The widgets of the first model: what it tells apart, then which one."""
    families = list(dict.fromkeys(map(_family, _offered())))
    family = st.segmented_control(
        "Tells apart", families, default=_family(chosen), key=f"frame:family:{_family(chosen)}"
    ) or _family(chosen)
    offered = [source for source in _offered() if _family(source) == family]
    names = {source: listed(source) for source in offered}
    st.radio(
        "Model",
        offered,
        index=None,
        format_func=lambda source: names.get(source, source),
        help="A number is another seed of the same training; each model's card is on the home view. Yours come from the"
        " Model view.",
        **showing(
            f"frame:model:{family}",
            chosen if chosen in offered else None,
            lambda source: session.choose(models=_with_first(source)),
        ),
    )


def _checkpoint(chosen: str) -> None:
    """The slider from one checkpoint of a series to the next, where the first model is one of them."""
    checkpoints = own_uploads().together(chosen)
    if len(checkpoints) < 2:
        return
    names = {source: name_of(source) for source in checkpoints}
    st.select_slider(
        f"checkpoint of {own_uploads().series_of(chosen)}",
        checkpoints,
        label_visibility="collapsed",
        format_func=lambda source: names.get(source, source),
        width=260,
        help="Which of the series is the model of all views.",
        **showing(
            f"frame:checkpoint:{own_uploads().series_of(chosen)}",
            chosen,
            lambda source: session.choose(models=_with_first(source)),
        ),
    )


def _with_first(source: str) -> list[str]:
    """The chosen models with another first one; those that tell other classes apart are dropped, the null is its."""
    others = [nulls.of_another(other, source) if nulls.is_null(other) else other for other in session.models()[1:]]
    return [source, *(other for other in others if other != source and _alike(other, source))]


def _offered() -> tuple[str, ...]:
    """The demo models, then those that this session brought; of a series the checkpoint chosen, or the last."""
    series = own_uploads().series.values()
    shown = (next((each for each in session.models() if each in sources), sources[-1]) for sources in series)
    return (*demo_models(), *own_uploads().models, *shown)


def _alike(source: str, other: str) -> bool:
    """Whether two models tell the same classes apart in images of one shape, so that each can be shown the other's."""
    if _family(source) != _family(other):
        return False
    if _family(source) != YOURS:
        return True
    one, two = session.classifier(source), session.classifier(other)
    return one.input_shape == two.input_shape and one.num_classes == two.num_classes


def _family(source: str) -> str:
    source = Source.parse(source).trained.text()
    return source.removeprefix("demo:").split("/")[0] if source.startswith("demo:") else YOURS


def _short(source: str) -> str:
    if nulls.is_null(source):
        return nulls.words(source, _short(Source.parse(source).inner.text()))
    return source.removeprefix("demo:").replace("/", " / ") if source.startswith("demo:") else name_of(source)


def listed(source: str) -> str:
    """What a model is called in a list of models: of a checkpoint the series, which stands for all of them."""
    series = own_uploads().series_of(source)
    return f"{series} ({len(own_uploads().together(source))} checkpoints)" if series else _short(source)
