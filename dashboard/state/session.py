"""Per-session state: the current choice, and the results of background jobs.

All views share the choice of models, images and rows; settings belong to one analysis. Together they form a recipe, and
the recipe is the page's link: opening a link sets the choice, and every change rewrites the link.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar, cast

import streamlit as st
from streamlit.errors import FragmentHandledException

from core.analyses.table import TABLE
from core.figures.drawing.chart import Chart
from core.models.demo import demo_models
from core.recipes.recipe import Recipe
from core.recipes.store import key_of
from core.result import Result
from core.runtime.cache import LRU
from core.sources.models import at_image
from dashboard.state import address
from dashboard.state.resources import classifier as classifier
from dashboard.state.resources import demo_images as demo_images
from dashboard.state.resources import image_set as image_set
from dashboard.state.resources import model_card as model_card
from dashboard.state.resources import predictions as predictions
from dashboard.state.resources import shelf, stored
from dashboard.uploads.own_images import fitted
from dashboard.viewer.words import escape_markdown
from dashboard.work import jobs
from dashboard.work.jobs import Job, State
from dashboard.work.unforeseen import user_message

Point = tuple[float, float]
T = TypeVar("T")

MOST_MODELS = 3  # side by side
OF_THE_PLANE = ("plane", "u", "v", "at")  # settings that the analyses of a view share; links hold them once

DEFAULT_ROWS = (3, 17, 42)  # until others are chosen
_POLL_SECONDS = 0.3  # times the number of waiting users: polling must not take the time of their jobs
_LONGEST_POLL_SECONDS = 3.0
PATIENCE_SECONDS = 0.4  # a result that comes within this is drawn at once, without a coarser picture before it
_MEMOS = 12  # charts, figures and tables that a session keeps


def user() -> str:
    """This browser session's name in the job queue; its jobs are dropped when the browser disconnects."""
    return _present(st.session_state.setdefault("user", uuid.uuid4().hex))


@st.cache_resource(scope="session", show_spinner=False, on_release=lambda name: jobs.shared().leave(name))
def _present(name: str) -> str:
    """A user whose browser is connected; Streamlit releases it when a tab closes or loses its connection."""
    return name


def models() -> tuple[str, ...]:
    """Sources of the chosen models; the first is the reference."""
    return cast(tuple[str, ...], st.session_state.setdefault("models", (demo_models()[0],)))


def images() -> str:
    """Source of the chosen image set."""
    return cast(str, st.session_state.setdefault("images", demo_images(models()[0])))


def rows() -> tuple[int, ...]:
    """The chosen images."""
    return cast(tuple[int, ...], st.session_state.setdefault("rows", DEFAULT_ROWS))


def point() -> Point | None:
    """The picked point, in coordinates of the plane of Slices."""
    return cast(Point | None, st.session_state.get("point"))


def settings(analysis: str) -> dict[str, Any]:
    """The settings of an analysis that are not at their default; `change` and `choose` replace them."""
    return cast(dict[str, Any], st.session_state.setdefault(f"settings:{analysis}", {}))


def choose(
    *, models: Sequence[str] | None = None, images: str | None = None, rows: Sequence[int] | None = None
) -> None:
    """Change the choice, and drop what no longer fits: the extent of another plane, a picked point.

    Args:
        models: sources; if the first one does not fit the chosen images, its demo set is chosen too.
        images: source of the image set.
        rows: the chosen images.
    """
    address.no_wish()
    if models is not None or images is not None:
        st.session_state["asked"] = ()
    if models is not None:
        before = st.session_state["models"][0]
        if models[0] != before and settings("slice").get("plane") == "directions":
            change("slice", extent=None)  # its plane follows the gradient of the first model
            st.session_state["point"] = None
        st.session_state["models"] = tuple(models)
        shape = classifier(models[0]).input_shape
        fits = tuple(image_set(st.session_state["images"]).pixels.shape[1:]) == shape
        if images is None and not st.session_state["images"].startswith("demo:"):
            images = fitted(st.session_state["images"], shape, classifier(models[0]).num_classes)
            images = None if images == st.session_state["images"] else images
        elif images is None and (not fits or demo_images(models[0]) != demo_images(before)):
            images = demo_images(models[0])
    if images is not None:
        st.session_state["images"] = images
        rows = starting_rows(images) if rows is None else rows
    if rows is not None:
        st.session_state["rows"], st.session_state["point"] = tuple(rows), None
        st.session_state["models"] = at_image(st.session_state["models"], st.session_state["images"], rows[0])
        for analysis in TABLE:
            change(analysis, extent=None, at=None)


def starting_rows(source: str) -> tuple[int, ...]:
    """The rows of a set until others are chosen: the default ones, or three spread over a small set."""
    count = len(image_set(source))
    if count > max(DEFAULT_ROWS):
        return DEFAULT_ROWS
    return tuple(dict.fromkeys((0, (count - 1) // 2, count - 1)))


def pick(chosen: Point | None) -> None:
    """Choose a point of the plane, or None; all views share it."""
    st.session_state["point"] = chosen
    address.no_wish()


def go(view: str) -> None:
    """Open another view with the next run of the page."""
    st.session_state["goto"] = view


def open_view(analysis: str, **changed: Any) -> None:
    """Change settings of an analysis, and open its view with the next run of the page."""
    change(analysis, **changed)
    go(TABLE[analysis].view)


def asked() -> tuple[str, ...]:
    """The further analyses of the view that the user requested."""
    return cast(tuple[str, ...], st.session_state.setdefault("asked", ()))


def ask(analysis: str) -> None:
    """Request a further analysis of these models and images."""
    st.session_state["asked"] = tuple(dict.fromkeys((*asked(), analysis)))
    address.no_wish()


def change(analysis: str, **changed: Any) -> None:
    """Change settings of an analysis; None resets one to its default.

    Another plane has other coordinates: the extent and the picked point are dropped with it.

    Raises:
        ValueError: if a value is out of range; then nothing is changed.
    """
    setting = TABLE[analysis].setting
    checked = {name: None if value is None else setting(name).parse(value) for name, value in changed.items()}
    st.session_state["refused"] = ""
    kept = {**settings(analysis), **checked}
    if changed.keys() & {"plane", "u", "v"}:
        kept.pop("extent", None)
        pick(None)
    if changed.keys() & {"over", "block"} and "marked" not in changed:
        kept.pop("marked", None)  # a block of another map
    st.session_state[f"settings:{analysis}"] = {name: value for name, value in kept.items() if value is not None}
    address.no_wish()


def make(analysis: str, chosen: Mapping[str, Any]) -> Recipe:
    """The recipe of the chosen models and images with these settings; the page's link does not change."""
    known = TABLE[analysis]
    plain = {entry.name: chosen.get(entry.name, entry.default) for entry in known.parameters}
    fewest, most = known.images(plain)
    count = fewest if fewest in (1, most) else max(fewest, min(len(rows()), most))
    enough = (*rows(), *(row for row in starting_rows(images()) if row not in rows()))[:count]
    return Recipe.make(analysis, models=models(), images=images(), rows=enough, settings=chosen)


def another(analysis: str, *, rows: Sequence[int] | None = None, **fixed: Any) -> Recipe:
    """The recipe of a further analysis of a view, with its own settings.

    Args:
        analysis: its name in the table.
        rows: its images; the chosen ones when not given. `(0,)` for an analysis that draws its own from the whole set:
            its result then does not depend on the chosen images.
        **fixed: settings that follow the view's own.
    """
    made = make(analysis, {**settings(analysis), **fixed})
    return made if rows is None else replace(made, rows=tuple(rows))


def beside(analysis: str) -> tuple[str, ...]:
    """The other analyses of the same view: its link holds their settings too."""
    return tuple(name for name, entry in TABLE.items() if entry.view == TABLE[analysis].view and name != analysis)


def recipe(analysis: str) -> Recipe:
    """The recipe of the current choice; writes the page's link."""
    made = make(analysis, settings(analysis))
    written = made.query()
    at = point()
    if at is not None:
        written["point"] = f"{at[0]!r},{at[1]!r}"
    for other in beside(analysis):
        known = TABLE[other]
        for entry in (*known.parameters, *known.figure_settings):
            value = settings(other).get(entry.name)
            if entry.name not in OF_THE_PLANE and value is not None and value != entry.parse(entry.default):
                written[f"{other}.{entry.name}"] = entry.text(value)
    if asked():
        written["also"] = ",".join(asked())
    address.write(written)
    return made


@dataclass(frozen=True, kw_only=True, eq=False)
class Outcome:
    """The results of a recipe so far: one entry per part, in its order.

    Attributes:
        results: one per part of the recipe: finished, coarser until then, or None before the first.
        waiting: jobs that have not ended.
        cancelled: whether the user stopped it.
        error: why there is no result, in one sentence; "" if there was no error.
    """

    results: tuple[Result | None, ...]
    waiting: tuple[Job[Result], ...] = ()
    cancelled: bool = False
    error: str = ""

    @property
    def finished(self) -> bool:
        """Whether every result is complete."""
        return not (self.waiting or self.cancelled or self.error)


def compute(made: Recipe, *, patience: float = PATIENCE_SECONDS, urgent: bool = False) -> Outcome:
    """Results of a recipe: from the store at once, otherwise from jobs that the page polls.

    Args:
        made: the recipe.
        patience: seconds to wait for a new job before going on without it.
        urgent: whether its jobs pass those that are not: for the main picture of a page.

    Returns:
        The results so far, or why there will be none.
    """
    results: list[Result | None] = []
    waiting: list[Job[Result]] = []
    stopped = False
    store, recent = shelf()
    nothing = (None,) * len(made.parts())
    try:
        images_now = image_set(made.images)
        for place, part in enumerate(made.parts()):
            models_now = [classifier(source) for source in part.models]
            key = key_of(part, models_now, images_now) or f"{user()}/{place}/{part.json()}"
            found = stored(key)
            if found is None and key in _cancelled():
                results.append(_cancelled()[key])
                stopped = True
                continue
            if key in _failed():
                return Outcome(results=nothing, error=_failed()[key])
            if found is None:
                device, slot = str(models_now[-1].device), f"{made.analysis}/{place}"
                work = partial(store.fetch, part, models_now, images_now)
                job = jobs.shared().submit(user(), key, work, device=device, slot=slot, urgent=urgent)
                job.wait(patience)
                if job.state is State.FAILED and job.error is not None:
                    _failed()[key] = user_message(job.error)
                    return Outcome(results=nothing, error=_failed()[key])
                found = job.result if job.state is State.DONE else job.partial
                if job.result is not None:
                    recent.put(key, job.result, job.result.nbytes)
                elif not job.state.ended:
                    waiting.append(job)
            results.append(found)
    except ValueError as error:
        return Outcome(results=nothing, error=user_message(error))
    return Outcome(results=tuple(results), waiting=tuple(waiting), cancelled=stopped)


@contextmanager
def in_words(way_out: Callable[[], None] | None = None) -> Iterator[None]:
    """Show an error as one sentence in place of the picture; reruns and stops of the page pass through.

    Args:
        way_out: called by a button "Start over" below the error; None for no button.

    Raises:
        FragmentHandledException: if a fragment inside has shown its own error.
    """
    try:
        yield
    except FragmentHandledException:
        raise
    except Exception as error:  # noqa: BLE001 - any error of a page is shown, and logged unless it is ours
        st.error(escape_markdown(user_message(error)))
        if way_out is not None:
            st.button("Start over", on_click=way_out)


def _cancelled() -> dict[str, Result | None]:
    """The last pictures of jobs that this session stopped, by key."""
    return cast(dict[str, Result | None], st.session_state.setdefault("cancelled", {}))


def _failed() -> dict[str, str]:
    """Why jobs of this session failed, by key."""
    return cast(dict[str, str], st.session_state.setdefault("failed", {}))


def cancel(outcome: Outcome) -> None:
    """Stop waiting for an outcome; the pictures so far stay."""
    kept = _cancelled()
    for job in outcome.waiting:
        kept[job.key] = job.partial
        job.cancel(user())
    while len(kept) > 2 * MOST_MODELS:  # only the last ones: results are large
        del kept[next(iter(kept))]
    address.no_wish()


def resume() -> None:
    """Allow jobs that were stopped or failed to run again."""
    _cancelled().clear()
    _failed().clear()
    address.no_wish()


def shown(made: Recipe, outcome: Outcome) -> tuple[Any, ...]:
    """What to draw for each part: its result, or until then the last one of the same plane, models and images."""
    pictures: list[Any] = []
    spanned = [made.parameters.get(name) for name in ("plane", "u", "v")]
    for place, (part, result) in enumerate(zip(made.parts(), outcome.results, strict=True)):
        key, plane = f"last:{made.analysis}:{place}", (part.models, made.images, made.rows, made.models[0], spanned)
        if result is not None:
            st.session_state[key] = plane, result
        of, last = st.session_state.get(key, (None, None))
        pictures.append(last if of == plane else None)
    return tuple(pictures)


def shown_by_model(made: Recipe, outcome: Outcome) -> list[tuple[str, Any]]:
    """The source of each model with what to draw for it, see `shown`."""
    return list(zip(made.models, shown(made, outcome), strict=True))


def memo(what: Hashable, results: Sequence[Result], make: Callable[[], T]) -> T:
    """A value made of results, made once: every click reruns the page, so the session keeps the last few.

    Args:
        what: its name.
        results: what it is made of.
        make: makes it.

    Returns:
        The value itself; read-only.
    """
    entries = cast(LRU[Any, tuple[Sequence[Result], Any]], st.session_state.setdefault("memo", LRU(_MEMOS)))
    key = what, tuple(map(id, results))
    # an entry holds its results as well: their ids identify them only while they live
    return cast(T, entries.fetch(key, lambda: (tuple(results), make()))[1])


def chart(made: Recipe, source: str, result: Result, shared_scale: Sequence[Result]) -> Chart:
    """The picture of one model's result.

    Args:
        made: the recipe.
        source: the model.
        result: its result.
        shared_scale: the results of all models that are shown together, whose scales it shares.
    """
    alone = replace(made, models=(source,))
    return memo(
        ("chart", source, made.json()),
        (result, *shared_scale),
        lambda: alone.chart([result], [classifier(source)], image_set(made.images), shared_scale),
    )


def live(
    made: Recipe, draw: Callable[[Outcome], None], *, patience: float = PATIENCE_SECONDS, urgent: bool = False
) -> Outcome:
    """Draw the results of a recipe so far, repeatedly until they are complete.

    `draw` runs in a fragment: while a job runs it is redrawn a few times a second, and a change of the choice inside it
    (a zoom, say) reruns the page.

    Args:
        made: the recipe.
        draw: draws an outcome; may call widgets.
        patience: see `compute`.
        urgent: see `compute`.

    Returns:
        The outcome that was drawn first.
    """
    outcome = compute(made, patience=patience, urgent=urgent)
    polling, chosen = bool(outcome.waiting), _choice()

    def body() -> None:
        if _choice() != chosen:
            address.rerun()
        now = compute(made, patience=0.0, urgent=urgent)
        if bool(now.waiting) != polling:
            address.rerun()
        if now.error:
            st.error(escape_markdown(now.error))
            st.button("Try again", key=f"{made.analysis}:again", on_click=resume)
            return
        with in_words():
            draw(now)

    every = min(_LONGEST_POLL_SECONDS, _POLL_SECONDS * max(1, jobs.shared().waiting_users()))
    leaving = "goto" in st.session_state  # a fragment that runs after the page was left would empty the next page
    st.fragment(body, run_every=every if polling and not leaving else None)()
    return outcome


def _choice() -> tuple[Any, ...]:
    """The whole choice of this session, to compare with a later one."""
    return models(), images(), rows(), point(), {analysis: settings(analysis) for analysis in TABLE}
