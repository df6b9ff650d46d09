"""From a link or a file to the choice: what comes from outside is checked before anything is changed."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, cast

import streamlit as st

from core.analyses.parameters import Parameter
from core.analyses.table import ALIASES, TABLE
from core.errors import RecipeError
from core.images.load import check_shape
from core.recipes.recipe import Recipe
from core.sources.models import Source
from core.wording import abbreviated
from dashboard.state import address, speed_estimate
from dashboard.state.missing_uploads import FORGOTTEN, MissingUploadError, check_here, check_images, is_here
from dashboard.state.session import (
    DEFAULT_ROWS,
    MOST_MODELS,
    OF_THE_PLANE,
    Point,
    beside,
    choose,
    classifier,
    demo_images,
    demo_models,
    image_set,
    models,
    point,
    resume,
    rows,
    settings,
    starting_rows,
)
from dashboard.uploads import own_images
from dashboard.uploads.session_uploads import own_uploads

MOST_TOLD = 3  # values of one link that were left out, each with its reason
FARTHEST = 1e6  # of plane coordinates: the limits of `extent` and `at` in the table of analyses


def open_link(view: str) -> None:
    """Set the choice to the page's link, if it is new; called before anything is drawn.

    A value that cannot be followed is left out, and `refused` says why. Where a file is missing that it was made with,
    the choice stays as it was until the file is here.

    Args:
        view: the page that is opened, as the table of analyses names it.
    """
    _let_go()
    link = dict(st.query_params)
    stale = address.stale(link)
    analysis = next((name for name, entry in TABLE.items() if entry.view == view), None)
    if analysis is None or not link or link == st.session_state.get("link") or stale:
        return
    st.session_state["link"] = link
    _try(analysis, link)


def start_over() -> None:
    """Drop every setting and the picked point; models and images stay."""
    for analysis in TABLE:
        st.session_state[f"settings:{analysis}"] = {}
    choose(images=st.session_state["images"])
    resume()


def _try(analysis: str, link: dict[str, str]) -> None:
    try:
        left_out = _follow(analysis, link)
        st.session_state["refused"], st.session_state["wanted"] = _told(left_out), None
    except ValueError as error:
        st.session_state["refused"] = f"This link cannot be followed: {error}"
        wanted = getattr(error, "digest", "")
        st.session_state["wanted"] = (wanted, lambda: _try(analysis, link)) if wanted else None


def _told(left_out: Sequence[str]) -> str:
    """What of a link could not be followed, in one sentence; "" where all of it could."""
    if not left_out:
        return ""
    more = f"; and {len(left_out) - MOST_TOLD} more" if len(left_out) > MOST_TOLD else ""
    return f"This link was followed but for what is left out here: {'; '.join(left_out[:MOST_TOLD])}{more}"


def _let_go() -> None:
    """Go back to the demo model if a chosen one is gone, as after a lost connection, and ask for its file."""
    gone = [source for source in st.session_state.get("models", ()) if not is_here(source)]
    images = cast(str, st.session_state.get("images", ""))
    if images and not images.startswith("demo:") and not own_images.knows(images):
        gone.append(images)
    if not gone:
        return
    before = models(), images or demo_images(demo_models()[0]), rows(), point()
    st.session_state["models"] = demo_models()[:1]
    st.session_state["images"] = demo_images(demo_models()[0])
    st.session_state["rows"], st.session_state["point"] = DEFAULT_ROWS, None
    st.session_state["refused"] = f"{gone[0][:60]} is no longer here; bring it again: {FORGOTTEN}"
    st.session_state["wanted"] = None
    _ask_again(before)


def _ask_again(before: tuple[tuple[str, ...], str, tuple[int, ...], Point | None]) -> None:
    """Restore the choice made before a file was gone; ask for the file while it is missing."""
    try:
        check_here(before[0])
        check_images(before[1])
    except MissingUploadError as error:
        st.session_state["wanted"] = error.digest, lambda: _ask_again(before)
    except ValueError:  # a library's model, which is brought by its name
        st.session_state["wanted"] = None
    else:
        _choose(*before)
        st.session_state["refused"], st.session_state["wanted"] = "", None


def refused() -> str:
    """What of the last link could not be followed, until something else is chosen; "" where nothing was wrong."""
    return cast(str, st.session_state.get("refused", ""))


def _follow(analysis: str, link: Mapping[str, str]) -> list[str]:
    """Set the choice to a link; values that are unknown or out of range are left out.

    Returns:
        Why each value was left out.

    Raises:
        MissingUploadError: if it names an upload that is not here, whose file can be asked for; nothing is changed.
    """
    left_out: list[str] = []
    values = {_by_current_name(name): value for name, value in link.items()}
    chosen = _models_in(values.pop("models", None), left_out)
    images = _images_in(values.pop("images", None), chosen[0], left_out)
    chosen = _fitting(chosen, images, left_out)
    at = _point_in(values.pop("point", None), left_out)
    others = beside(analysis)
    named = [ALIASES.get(name, name) for name in values.pop("also", "").split(",") if name]
    if not set(named) <= set(others):
        left_out.append(f"also: expected some of {', '.join(others) or 'nothing'}, got {abbreviated(','.join(named))}")
    rows_text = values.pop("rows", None)
    besides = {other: settings_in(other, values, left_out, before=f"{other}.") for other in others}
    own = settings_in(analysis, values, left_out)
    names = ", ".join(entry.name for entry in _entries(analysis))
    if values:
        left_out.append(f"expected settings of {analysis} ({names}), got {abbreviated(', '.join(values))}")
    rows_now = _rows_in(rows_text, analysis, chosen, images, own, left_out)
    _choose(chosen, images, rows_now, at)
    st.session_state[f"settings:{analysis}"] = own
    for other, found in besides.items():
        st.session_state[f"settings:{other}"] = found
    st.session_state["asked"] = tuple(name for name in others if name in named)
    return left_out


def _by_current_name(name: str) -> str:
    """The name of a value in a link, `benchmark.count` say, where it began with an alias of an analysis."""
    analysis, dot, setting = name.rpartition(".")
    return f"{ALIASES.get(analysis, analysis)}{dot}{setting}"


def _entries(analysis: str) -> tuple[Parameter, ...]:
    return (*TABLE[analysis].parameters, *TABLE[analysis].figure_settings)


def settings_in(analysis: str, values: dict[str, str], left_out: list[str], before: str = "") -> dict[str, Any]:
    """Take the settings of an analysis out of the values of a link.

    Args:
        analysis: a name of the table.
        values: values by name; those that are taken are removed.
        left_out: gets a sentence for each value that is out of range.
        before: stands before the names of an analysis that is shown beside: `profile.`, as in `profile.rays`.

    Returns:
        The values by name; for a further analysis without those of the plane, which it shares.
    """
    found = {}
    for entry in _entries(analysis):
        given = [values.pop(f"{before}{name}", None) for name in (entry.name, *entry.aliases)]
        text = next((each for each in given if each is not None), None)
        if text is None or (before and entry.name in OF_THE_PLANE):
            continue
        try:
            found[entry.name] = entry.parse(text)
        except RecipeError as error:
            left_out.append(f"{before}{error}")
    return found


def _models_in(text: str | None, left_out: list[str]) -> tuple[str, ...]:
    """The models that a link names and that can be loaded here; those chosen already where there is none.

    Raises:
        MissingUploadError: if one is an upload that is not here.
    """
    found: list[str] = []
    asked = text.split(",") if text is not None else []
    for again, count in Counter(asked).items():
        if count > 1:
            left_out.append(f"models: expected each model once, got {abbreviated(again)} {count} times")
    for source in dict.fromkeys(asked):
        try:
            check_here((source,))
            classifier(source)
            found.append(source)
        except MissingUploadError:
            raise
        except ValueError as error:
            left_out.append(f"models: {error}")
    if len(found) > MOST_MODELS:
        left_out.append(f"models: expected at most {MOST_MODELS} side by side, got {len(found)}")
    return tuple(found[:MOST_MODELS]) or models()


def _images_in(text: str | None, model: str, left_out: list[str]) -> str:
    """The image set that a link names, where it fits the first model; else that model's own."""
    if text is not None:
        try:
            check_images(text)
            _check_fit(model, text)
            return text
        except MissingUploadError:
            raise
        except ValueError as error:
            left_out.append(f"images: {error}")
    return demo_images(model)


def _check_fit(model: str, images: str) -> None:
    """Raise unless a model takes these images, and tells their classes apart.

    Raises:
        ImageError: if their shape is another.
        RecipeError: if a label is none of the model's classes.
    """
    one = classifier(model)
    check_shape(images, one.input_shape, one.name)
    found = image_set(images)
    one.accept(found.pixels[:1])
    most = max(found.labels.tolist(), default=-1)
    if most >= one.num_classes:
        raise RecipeError(
            f"images: expected labels of the {one.num_classes} classes of {one.name}, got {most + 1}; add ?labels=none"
        )


def _fitting(chosen: Sequence[str], images: str, left_out: list[str]) -> tuple[str, ...]:
    """The models that the images fit; the first one is known to."""
    found = list(chosen[:1])
    for source in chosen[1:]:
        try:
            _check_fit(source, images)
            found.append(source)
        except ValueError as error:
            left_out.append(f"models: {error}")
    return tuple(found)


def _point_in(text: str | None, left_out: list[str]) -> Point | None:
    try:
        return None if text is None else _point(text)
    except RecipeError as error:
        left_out.append(str(error))
        return None


def _rows_in(
    text: str | None,
    analysis: str,
    chosen: Sequence[str],
    images: str,
    own: Mapping[str, Any],
    left_out: list[str],
) -> tuple[int, ...]:
    """The rows of a link, if the analysis takes that many and the set has them; else those chosen."""
    if text is not None:
        try:
            opened = Recipe.make(analysis, models=chosen, images=images, rows=text.split(","), settings=own)
            opened.check_rows(image_set(images))
            return opened.rows
        except RecipeError as error:
            left_out.append(f"rows: {str(error).removeprefix('rows: ')}")
    return rows() if all(row < len(image_set(images)) for row in rows()) else starting_rows(images)


def _choose(chosen: tuple[str, ...], images: str, rows_now: tuple[int, ...], at: Point | None) -> None:
    for source in chosen:
        trained = Source.parse(source).trained
        if trained.kind != "demo":
            own_uploads().use(trained.text())
    if not images.startswith("demo:"):
        own_images.offer(images)
    st.session_state["models"], st.session_state["images"] = chosen, images
    st.session_state["rows"], st.session_state["point"] = rows_now, at
    speed_estimate.as_said()


def restore(opened: Recipe) -> None:
    """Set the choice to a recipe; if a file that it was made with is missing, ask for it.

    Raises:
        MissingUploadError: if that file is not here.
        ValueError: if one of its models or images cannot be loaded.
    """
    try:
        _restore(opened)
        st.session_state["wanted"] = None
    except MissingUploadError as error:
        st.session_state["wanted"] = error.digest, lambda: _restore_and_go(opened)
        raise


def _restore_and_go(opened: Recipe) -> None:
    restore(opened)
    st.session_state["goto"] = opened.definition.view


def _restore(opened: Recipe) -> None:
    """Set the choice to a recipe from outside, which may name no file of this machine.

    Raises:
        RecipeError: if it names something else than demo models and images, too many, or rows beyond the set.
        ValueError: if one cannot be loaded, or they do not fit together.
    """
    check_here(opened.models)
    check_images(opened.images)
    chosen = tuple(dict.fromkeys(opened.models))
    if len(chosen) > MOST_MODELS:
        raise RecipeError(f"expected at most {MOST_MODELS} models side by side, got {len(chosen)}")
    for source in chosen:
        _check_fit(source, opened.images)
    opened.check_rows(image_set(opened.images))
    start = opened.parameters.get("at")
    _choose(chosen, opened.images, opened.rows, start if start and any(start) else None)
    st.session_state[f"settings:{opened.analysis}"] = {**opened.parameters, **opened.figure}
    first = next(name for name, entry in TABLE.items() if entry.view == opened.definition.view)
    st.session_state["asked"] = (opened.analysis,) if opened.analysis != first else ()
    if opened.analysis != "slice":  # the plane that it lies in is shown too
        plane = {name: opened.parameters[name] for name in ("plane", "u", "v") if name in opened.parameters}
        st.session_state["settings:slice"] = {**settings("slice"), "extent": None, **plane}


def _point(text: str) -> Point:
    try:
        x, y = (float(part) for part in text.split(","))
    except ValueError:
        x = y = math.nan
    if not (abs(x) <= FARTHEST and abs(y) <= FARTHEST):
        raise RecipeError(f"point: expected two numbers x,y, got {text[:40]!r}")
    return x, y
