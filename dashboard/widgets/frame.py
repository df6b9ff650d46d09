"""The frame above every view: models, nulls, images, and the picked point."""

from __future__ import annotations

import streamlit as st

from core.images.load import DEMO_SETS
from core.models.demo import demo_models
from core.sources.models import Source
from dashboard.state import session
from dashboard.uploads import own_images
from dashboard.uploads.session_uploads import name_of, own_uploads
from dashboard.viewer.copy_link import copy_link
from dashboard.widgets import nulls
from dashboard.widgets.showing import showing

_YOURS = "yours"  # what the frame calls the models that a session brought


def frame() -> None:
    """The line above every view: models, images, the picked point."""
    chosen = session.models()
    with st.container(horizontal=True, vertical_alignment="center", key="frame"):
        with st.popover(f"model **{own_uploads().series_of(chosen[0]) or short_name(chosen[0])}**"):
            _model(chosen[0])
        _checkpoint(chosen[0])
        others = [source for source in _offered() if source != chosen[0] and _alike(source, chosen[0])]
        others += [source for source in chosen[1:] if nulls.is_null(source)]
        others += [source for source in own_uploads().together(chosen[0]) if source not in (chosen[0], *others)]
        if others:
            compared = ", ".join(map(short_name, chosen[1:]))
            with st.popover(f"compare with **{compared}**" if compared else "+ compare"):
                st.multiselect(
                    "Compare with",
                    others,
                    format_func=short_name,
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
        with st.popover(
            f"images **{len(session.rows())} of {len(images)}**", help="How many images of the set are chosen."
        ):
            sets = [f"demo:{name}" for name in DEMO_SETS if name.split("-")[0] == _family(chosen[0])]
            names = {source: short_name(source) for source in sets or [session.demo_images(chosen[0])]}
            shape = tuple(images.pixels.shape[1:])
            names |= {own_images.fitted(source, shape): own_images.name_of(source) for source in own_images.offered()}
            if len(names) > 1 and session.images() in names:
                st.radio(
                    "Image set",
                    list(names),
                    format_func=lambda source: names.get(source, source),
                    help="Yours come from the Images view. Of digits also as some models saw them: low-passed, or with"
                    " frequencies flipped.",
                    **showing("frame:images", session.images(), lambda which: session.choose(images=which)),
                )
            resized = (
                f" Its first {len(images)} pictures, all that are kept at this size, resized bilinearly to the model's"
                " input. The model has other classes, so they carry no labels: hubble #0 is the name of a picture."
                if "@" in session.images()
                else ""
            )
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
    """The widgets that choose the first model: its classes, then the model itself."""
    families, own = list(dict.fromkeys(map(_family, _offered()))), _family(chosen)
    family = st.segmented_control("Tells apart", families, default=own, key=f"frame:family:{own}") or own
    names = {source: listed_name(source) for source in _offered() if _family(source) == family}
    st.radio(
        "Model",
        list(names),
        index=None,
        format_func=lambda source: names.get(source, source),
        help="A number is another seed of the same training; each model's card is on the home view. Yours come from the"
        " Model view.",
        **showing(
            f"frame:model:{family}",
            chosen if chosen in names else None,
            lambda source: session.choose(models=_with_first(source)),
        ),
    )


def _checkpoint(chosen: str) -> None:
    """The slider over the checkpoints of a series, if the first model is one of them."""
    names = {source: name_of(source) for source in own_uploads().together(chosen)}
    if len(names) < 2:
        return
    st.select_slider(
        f"checkpoint of {own_uploads().series_of(chosen)}",
        list(names),
        label_visibility="collapsed",
        format_func=lambda source: names.get(source, source),
        width=260,
        help="Which checkpoint of the series all views show.",
        **showing(
            f"frame:checkpoint:{own_uploads().series_of(chosen)}",
            chosen,
            lambda source: session.choose(models=_with_first(source)),
        ),
    )


def _with_first(source: str) -> list[str]:
    """The chosen models with another first one: nulls become its own, and models of other classes are dropped."""
    first = Source.parse(source)
    others = [Source.parse(other).of(first).text() if nulls.is_null(other) else other for other in session.models()[1:]]
    return [source, *(other for other in others if other != source and _alike(other, source))]


def _offered() -> tuple[str, ...]:
    """The demo models, then this session's own; of a series the chosen checkpoint, or the last."""
    series = own_uploads().series.values()
    shown = (next((each for each in session.models() if each in sources), sources[-1]) for sources in series)
    return (*demo_models(), *own_uploads().models, *shown)


def _alike(source: str, other: str) -> bool:
    """Whether two models have the same classes and input shape, so that each can take the other's images."""
    if _family(source) != _family(other):
        return False
    if _family(source) != _YOURS:
        return True
    one, two = session.classifier(source), session.classifier(other)
    return one.input_shape == two.input_shape and one.num_classes == two.num_classes


def _family(source: str) -> str:
    source = Source.parse(source).trained.text()
    return source.removeprefix("demo:").split("/")[0] if source.startswith("demo:") else _YOURS


def short_name(source: str) -> str:
    """The name of a model in the frame and on cards."""
    if nulls.is_null(source):
        return nulls.words(source, short_name(Source.parse(source).inner.text()))
    return source.removeprefix("demo:").replace("/", " / ") if source.startswith("demo:") else name_of(source)


def listed_name(source: str) -> str:
    """The name of a model in a list of models: a checkpoint is listed as its series."""
    series = own_uploads().series_of(source)
    return f"{series} ({len(own_uploads().together(source))} checkpoints)" if series else short_name(source)
