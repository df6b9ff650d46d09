"""Read the link of a page or a recipe from a file, and set the choice to it: values are checked before any changes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, cast

import streamlit as st

from core.analyses.parameters import Parameter
from core.analyses.table import ALIASES, TABLE
from core.errors import RecipeError
from core.images.load import check_shape
from core.models.demo import demo_models
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

_REASONS = 3  # values of a link that were left out, shown with their reasons
FARTHEST = 1e6  # of plane coordinates: the limits of `extent` and `at` in the table of analyses


def open_link(view: str) -> None:
    """Set the choice to the page's link, if it is new; called before anything is drawn.

    Values that are unknown or out of range are left out, and `refused` in the session's state says why. If the link
    needs a file that is missing, the choice does not change until the file is here.

    Args:
        view: the page that is opened, by its name in the table of analyses.
    """
    _drop_missing()
    link = dict(st.query_params)
    stale = address.stale(link)
    analysis = next((name for name, entry in TABLE.items() if entry.view == view), None)
    if analysis is None or not link or link == st.session_state.get("link") or stale:
        return
    st.session_state["link"] = link
    _try(analysis, link)


def start_over() -> None:
    """Drop all settings and the picked point; models and images stay."""
    for analysis in TABLE:
        st.session_state[f"settings:{analysis}"] = {}
    choose(images=st.session_state["images"])
    resume()


def _try(analysis: str, link: dict[str, str]) -> None:
    try:
        st.session_state["refused"] = _refusal(_follow(analysis, link))
        st.session_state["wanted"] = None
    except ValueError as error:
        st.session_state["refused"] = f"This link cannot be followed: {error}"
        wanted = getattr(error, "digest", "")
        st.session_state["wanted"] = (wanted, lambda: _try(analysis, link)) if wanted else None


def _refusal(left_out: Sequence[str]) -> str:
    """One sentence about the values of a link that were left out; "" if there are none."""
    if not left_out:
        return ""
    more = f"; and {len(left_out) - _REASONS} more" if len(left_out) > _REASONS else ""
    return f"This link was followed but for what is left out here: {'; '.join(left_out[:_REASONS])}{more}"


def _drop_missing() -> None:
    """Go back to the demo model if a chosen file is gone, as after a lost connection, and ask for it."""
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
    """Restore the choice made before a file was gone, or ask for the next missing file."""
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


def _follow(analysis: str, link: Mapping[str, str]) -> list[str]:
    """Set the choice to a link; values that are unknown or out of range are left out.

    Returns:
        Why each value was left out.

    Raises:
        MissingUploadError: if it names an upload that is not here and can be asked for; nothing is changed.
    """
    left_out: list[str] = []
    values = {_by_current_name(name): value for name, value in link.items()}
    chosen = _models_in(values.pop("models", None), left_out)
    images = _images_in(values.pop("images", None), chosen[0], left_out)
    chosen = (chosen[0], *_accepted(chosen[1:], lambda source: _check_fit(source, images), left_out))
    at = _point_in(values.pop("point", None), left_out)
    others = beside(analysis)
    named = [ALIASES.get(name, name) for name in values.pop("also", "").split(",") if name]
    if not set(named) <= set(others):
        left_out.append(f"also: expected some of {', '.join(others) or 'nothing'}, got {abbreviated(','.join(named))}")
    rows_text = values.pop("rows", None)
    found = {other: settings_in(other, values, left_out, before=f"{other}.") for other in others}
    found[analysis] = settings_in(analysis, values, left_out)
    if values:
        names = ", ".join(entry.name for entry in _entries(analysis))
        left_out.append(f"expected settings of {analysis} ({names}), got {abbreviated(', '.join(values))}")
    _choose(chosen, images, _rows_in(rows_text, analysis, chosen, images, found[analysis], left_out), at)
    for name, chosen_settings in found.items():
        st.session_state[f"settings:{name}"] = chosen_settings
    st.session_state["asked"] = tuple(name for name in others if name in named)
    return left_out


def _by_current_name(name: str) -> str:
    """The current name of a value in a link: its analysis, as in `benchmark.count`, may be given by an alias."""
    analysis, dot, setting = name.rpartition(".")
    return f"{ALIASES.get(analysis, analysis)}{dot}{setting}"


def _entries(analysis: str) -> tuple[Parameter, ...]:
    return (*TABLE[analysis].parameters, *TABLE[analysis].figure_settings)


def settings_in(analysis: str, values: dict[str, str], left_out: list[str], before: str = "") -> dict[str, Any]:
    """Take the settings of an analysis out of the values of a link.

    Args:
        analysis: its name in the table.
        values: values by name; the analysis's own are removed.
        left_out: receives a sentence for each value that is out of range.
        before: the prefix of names of a further analysis: `profile.`, as in `profile.rays`.

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


def _accepted(sources: Iterable[str], check: Callable[[str], object], left_out: list[str]) -> list[str]:
    """The models that pass a check; `left_out` receives the error of each other one.

    Raises:
        MissingUploadError: if one is an upload that is not here.
    """
    found = []
    for source in sources:
        try:
            check(source)
            found.append(source)
        except MissingUploadError:
            raise
        except ValueError as error:
            left_out.append(f"models: {error}")
    return found


def _models_in(text: str | None, left_out: list[str]) -> tuple[str, ...]:
    """The models that a link names and that can be loaded here; if there are none, those chosen before.

    Raises:
        MissingUploadError: if one is an upload that is not here.
    """

    def load(source: str) -> None:
        check_here((source,))
        classifier(source)

    asked = text.split(",") if text is not None else []
    for again, count in Counter(asked).items():
        if count > 1:
            left_out.append(f"models: expected each model once, got {abbreviated(again)} {count} times")
    found = _accepted(dict.fromkeys(asked), load, left_out)
    if len(found) > MOST_MODELS:
        left_out.append(f"models: expected at most {MOST_MODELS} side by side, got {len(found)}")
    return tuple(found[:MOST_MODELS]) or models()


def _images_in(text: str | None, model: str, left_out: list[str]) -> str:
    """The image set that a link names, if it fits the first model; otherwise that model's demo set."""
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
    """Raise unless a model takes these images and has their classes.

    Raises:
        ImageError: if their shape differs.
        RecipeError: if a label is not one of the model's classes.
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


def _point_in(text: str | None, left_out: list[str]) -> Point | None:
    if text is not None:
        with suppress(ValueError):
            x, y = (float(part) for part in text.split(","))
            if abs(x) <= FARTHEST and abs(y) <= FARTHEST:
                return x, y
        left_out.append(f"point: expected two numbers x,y, got {text[:40]!r}")
    return None


def _rows_in(
    text: str | None,
    analysis: str,
    chosen: Sequence[str],
    images: str,
    own: Mapping[str, Any],
    left_out: list[str],
) -> tuple[int, ...]:
    """The rows of a link, if the analysis takes that many and the set has them; otherwise those chosen before."""
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
        ValueError: if one of its models or images cannot be loaded, or they do not fit together.
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
        RecipeError: if it names anything but demo models and images, too many models, or rows beyond the set.
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
    if opened.analysis != "slice":  # Slices shows its plane
        plane = {name: opened.parameters[name] for name in ("plane", "u", "v") if name in opened.parameters}
        st.session_state["settings:slice"] = {**settings("slice"), "extent": None, **plane}
