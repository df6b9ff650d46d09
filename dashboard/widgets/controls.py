"""Widgets that views share: settings of an analysis, cards of images and numbers, legends, progress."""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

import numpy as np
import streamlit as st
import torch
from torch import Tensor

from core.analyses.table import TABLE
from core.figures.drawing import style
from core.figures.drawing.chart import Chart, FieldLayer, Scale
from core.models.classifier import Classifier
from core.result import Number, Result
from dashboard.state import session
from dashboard.state.session import Outcome
from dashboard.viewer.viewer import Busy
from dashboard.widgets.frame import short_name
from dashboard.widgets.showing import showing

R = TypeVar("R")
T = TypeVar("T")

_CHOICES = {  # by setting and choice
    "method sparsefool": "SparseFool",
    "method sigma_zero": "sigma-zero",
    "order pixel": "pixels",
    "order l0": "values",
    "order l1": "sum of changes",
    "norm inf": "∞",
}
_ROW = 30  # letters of the choices that fit into one row when several models are shown


def setting(analysis: str, name: str, label: str, choices: Sequence[Any] | None = None) -> Any:
    """The widget of one setting; its unit and help come from the table of analyses.

    Args:
        analysis: its name in the table.
        name: of the setting.
        label: in plain words.
        choices: the values to offer; all of the setting's own when not given.

    Returns:
        The current value.
    """
    entry = TABLE[analysis].setting(name)
    value = session.settings(analysis).get(name, entry.parse(entry.default))
    key = f"{analysis}:{name}"

    def take(chosen: Any) -> None:
        if chosen is None:  # a segment was switched off: the value stays
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
        # a form that is empty unless the user types: a zoom sets the extent too, and a browser may still send an older
        # one
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
    """The label of one choice of a setting."""
    return _CHOICES.get(f"{name} {choice}", str(choice).replace("_", " "))


def settings(analysis: str, labels: Mapping[str, str], under: str | None = None) -> None:
    """The widgets of several settings.

    Args:
        analysis: its name in the table.
        labels: the label of each setting, by its name.
        under: the title of the expander that holds them; None for no expander.
    """
    with st.expander(under) if under else st.container():
        for name, label in labels.items():
            setting(analysis, name, label)


def slider(analysis: str, name: str, label: str, step: float) -> None:
    """A number with limits as a slider.

    Args:
        analysis: its name in the table.
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
    """An image with every pixel repeated to at least `size` columns, so that browsers do not blur it."""
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
    """An image with the model's four likeliest classes and their probabilities."""
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


@contextmanager
def card(title: str = "", *, of_first: bool = False) -> Iterator[None]:
    """A framed card; widgets drawn inside the `with` block are in it.

    Args:
        title: its title; "" for none.
        of_first: whether it is about the first model, whose name follows the title if several are shown.
    """
    named = of_first and len(session.models()) > 1
    with st.container(border=True):
        if title:
            st.markdown(f"**{title}**" + (f" :small[{short_name(session.models()[0])}]" if named else ""))
        yield


def number_label(value: float, unit: str = "") -> str:
    """A number with three digits and its unit, or "not known".

    >>> number_label(0.12345, "ℓ2"), number_label(12345.6), number_label(float("nan"))
    ('0.123 ℓ2', '12,346', 'not known')
    """
    if math.isnan(value):
        return "not known"
    return f"{value:,.0f} {unit}".rstrip() if 1000 <= abs(value) < math.inf else f"{value:.3g} {unit}".rstrip()


def percent_label(share: float, digits: int = 0) -> str:
    """A share in percent, or "not known"."""
    return "not known" if math.isnan(share) else f"{share:.{digits}%}"


def worded(numbers: Iterable[Number], *, first: bool = False) -> dict[str, str]:
    """Numbers of a result in the words beside their fields, without those that are not known.

    Args:
        numbers: such as those of `Result.quoted` and `Result.key_numbers`.
        first: give the value of the first sample; otherwise the median of all samples, or the share that is true.

    Returns:
        Values with their units, by name.
    """
    lines = {}
    for each in numbers:
        values = np.ravel(each.value)[: 1 if first else None]
        if values.dtype == bool:
            lines[each.name] = percent_label(values.mean()) if len(values) > 1 else "yes" if values[0] else "no"
        elif not np.isnan(values).all():
            lines[each.name] = number_label(float(np.nanmedian(values)), each.unit.removesuffix(" pixel"))
            if each.interval and not math.isnan(each.interval[0]):
                lines[each.name] += " ({:.3g} to {:.3g})".format(*each.interval)
    return lines


def cost_label(result: Result) -> str:
    """What a result took: forwards, gradients and seconds."""
    return f"{result.forwards:,} forwards, {result.gradients:,} gradients, {result.seconds:.1f} s"


def facts(lines: Mapping[str, str]) -> None:
    """Show names with their values, one per line."""
    st.html(
        "".join(
            f"<div class='fact'><span>{html.escape(k)}</span><b>{html.escape(v)}</b></div>" for k, v in lines.items()
        )
    )


def table(columns: Sequence[str], lines: Mapping[str, Sequence[str]]) -> None:
    """Show names with several values each, in a table that fits into a card: long names wrap."""
    head = "".join(f"<th>{html.escape(name)}</th>" for name in ("", *columns))
    rows = "".join(
        f"<tr><td>{html.escape(name)}</td>{''.join(f'<td>{html.escape(value)}</td>' for value in values)}</tr>"
        for name, values in lines.items()
    )
    st.html(f"<table class='facts'><tr>{head}</tr>{rows}</table>")


def legend(chart: Chart, *, ramps: bool = True) -> None:
    """Show the chart's colours with their meaning and share.

    Args:
        chart: the chart.
        ramps: whether to show scales of numbers, for a chart that is drawn without colour bars.
    """
    fields = [layer for panel in chart.panels for layer in panel.layers if isinstance(layer, FieldLayer)]
    scales = [field.scale for field in fields if ramps and field.scale and field.scale.palette != "paleness"]
    theme = style.DARK if st.context.theme.type == "dark" and not fields else style.LIGHT
    entries = [
        "<span class='key'>"
        + (f"<i style='background:{style.lifted(entry.colour, theme)}'></i>" if entry.colour else "")
        + html.escape(entry.label)
        + ("" if entry.share is None else "<b><1%</b>" if entry.share < 0.005 else f"<b>{entry.share:.0%}</b>")
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


def on_paper(what: str, readings: Mapping[str, tuple[float, float | None]]) -> None:
    """A card that compares computed with exact distances, for models whose geometry is known in closed form.

    Args:
        what: is measured.
        readings: by model, the computed ℓ2 length, NaN if none was found, and the exact one, None if not known.
    """
    lines = {source: pair for source, pair in readings.items() if pair[1] is not None}
    if not lines:
        return
    with card("Known on paper"):
        for source, pair in lines.items():
            st.caption(f"{session.classifier(source).name}: {what}")
            facts(dict(zip(("computed", "exact"), map(_length_label, pair), strict=True)))


def _length_label(value: float | None) -> str:
    if value is None or math.isnan(value):
        return "not found"
    return "nowhere" if math.isinf(value) else f"{value:.5g} ℓ2"


def progress_words(outcome: Outcome, what: str) -> Busy | None:
    """The progress line under a picture while it is computed; None if nothing is running.

    Args:
        outcome: the results so far.
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


def progress(outcome: Outcome, what: str) -> None:
    """A progress bar while something runs; a line of text if it was stopped before its first picture.

    Args:
        outcome: the results so far.
        what: the size of the work, e.g. "512 x 512".
    """
    busy = progress_words(outcome, what)
    if busy:
        st.progress(busy["fraction"] or 0.0, busy["text"])
    elif any(result is None for result in outcome.results):
        st.caption("No picture yet.")


def stop_or_resume(outcome: Outcome, name: str = "") -> None:
    """A cancel button while something is computed, and a button to resume it once it was stopped.

    Args:
        outcome: the results so far.
        name: distinguishes the buttons of a further picture from the page's own.
    """
    if outcome.waiting:
        st.button("Cancel", key=f"cancel{name}", on_click=session.cancel, args=(outcome,))
    elif outcome.cancelled:
        st.button("Stopped here. Go on", key=f"resume{name}", on_click=session.resume)


def model_name(source: str) -> None:
    """The name of a model, if several are shown."""
    if len(session.models()) > 1:
        st.markdown(f"**{session.classifier(source).name}**")


def per_model(pictures: Iterable[tuple[str, R]], draw: Callable[[int, str, R], T]) -> list[T]:
    """One column per model under its name.

    Args:
        pictures: a source and its result for each model.
        draw: draws one picture, given its index, the source and the result.

    Returns:
        What `draw` returned for each.
    """
    shown, drawn = list(pictures), []
    columns = st.columns(len(shown)) if len(shown) > 1 else [st.container()]
    for place, (column, (source, result)) in enumerate(zip(columns, shown, strict=True)):
        with column:
            model_name(source)
            drawn.append(draw(place, source, result))
    return drawn


def side_by_side(
    outcome: Outcome,
    what: str,
    pictures: Iterable[tuple[str, Any]],
    draw: Callable[[int, str, Any], T],
    name: str = "",
) -> list[T]:
    """One column per model: its progress until a first result is there, then its picture; below, a cancel button.

    Args:
        outcome: the results so far.
        what: the size of the work, e.g. "512 x 512".
        pictures: a source and its result for each model, None where there is none yet.
        draw: draws one picture, given its index, the source and the result.
        name: of the cancel button, see `stop_or_resume`.

    Returns:
        What `draw` returned for each picture that is there.
    """

    def draw_or_wait(place: int, source: str, result: Any) -> T | None:
        if result is None:
            progress(outcome, what)
            return None
        return draw(place, source, result)

    drawn = per_model(pictures, draw_or_wait)
    stop_or_resume(outcome, name)
    return [each for each in drawn if each is not None]
