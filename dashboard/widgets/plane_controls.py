"""The widgets that choose what spans a plane: anchors, and directions at one of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import streamlit as st

from core.analyses.analysis import thumbnails
from core.analyses.table import TABLE
from core.geometry.corruptions.corruptions import CORRUPTIONS
from core.recipes.recipe import Recipe
from dashboard.state import session
from dashboard.viewer.thumbnails import thumbnail_grid
from dashboard.widgets.controls import enlarged
from dashboard.widgets.showing import showing

_LETTERS = "ABC"


def anchors(chosen: Sequence[int], count: int) -> None:
    """Choose the images that span the plane: a slot, a class, then a thumbnail.

    Args:
        chosen: rows of the images in use.
        count: how many images span the plane.
    """
    images = session.image_set(session.images())
    with st.popover("Anchors", width="stretch"):
        st.segmented_control(
            "Replace",
            list(_LETTERS[:count]),
            default="A",
            key=f"anchors:slot:{count}",
            help="A lies at the origin, B on the x axis, C above it.",
        )

        def choose(row: int) -> None:
            changed = list(chosen)
            changed[_LETTERS.index(st.session_state[f"anchors:slot:{count}"] or "A")] = row
            session.choose(rows=changed)

        _grid("anchors", {row: _LETTERS[place] for place, row in enumerate(chosen[:count])}, choose)
    for place, (column, row) in enumerate(zip(st.columns(3), chosen[:count], strict=False)):
        column.image(enlarged(thumbnails(images[[row]])[0], 64), width=64)
        column.caption(f"{_LETTERS[place]}: {images[[row]].words[0]}, row {row}")
    if any(images.labels[row] < 0 for row in chosen[:count]):
        st.caption("Names are the pictures' own: the model's classes are others, or not known of these.")


def image_asked(made: Recipe, count: int = 1, *, how: str = "") -> None:
    """Choose the image: one of the set, or a point picked on a slice.

    Args:
        made: the recipe of the view, which has a setting `at`.
        count: how many images of the set to choose; with a picked point, those after the first.
        how: what is done to a picked point, e.g. ", put back into the pixel box".
    """
    at = made.parameters["at"]
    if at is not None:
        st.caption(f"The point {at[0]:.2f}, {at[1]:.2f} that was picked on a slice{how}.")
        st.button("Back to the image itself", on_click=session.change, args=(made.analysis,), kwargs={"at": None})
    if at is None or count > 1:
        anchors(made.rows, count)


def targets(chosen: Sequence[int], most: int, aim: Callable[[tuple[int, ...]], None]) -> None:
    """Choose target images: a click adds or removes one.

    Args:
        chosen: rows of the images in use; the first is the source, the others are the targets.
        most: the largest number of targets.
        aim: called with the source and the new targets, of which there is at least one.
    """
    images = session.image_set(session.images())
    source, *others = chosen
    with st.popover("Choose targets", width="stretch"):
        st.caption(f"A click adds or removes an image: 1 to {most} of them.")

        def choose(row: int) -> None:
            kept = [other for other in others if other != row] if row in others else [*others, row]
            if row == source:
                st.toast("This is the source: choose another image.")
            elif not 1 <= len(kept) <= most:
                st.toast(f"Expected 1 to {most} targets: this would make {len(kept)}.")
            else:
                aim((source, *kept))

        _grid("targets", {source: "A"} | {row: str(place) for place, row in enumerate(others, 1)}, choose)
    for start in range(0, len(others), 4):
        for place, column in zip(range(start, min(start + 4, len(others))), st.columns(4), strict=False):
            column.image(enlarged(thumbnails(images[[others[place]]])[0], 64), width=64)
            column.caption(f"{place + 1}: {images[[others[place]]].words[0]}, row {others[place]}")


def _grid(name: str, marks: Mapping[int, str], choose: Callable[[int], None]) -> None:
    """Thumbnails of the set, or of one of its classes, to click on."""
    images = session.image_set(session.images())
    names = ("all", *images.class_names)
    kind = st.selectbox("Class", names, key=f"{name}:class", help="Show only images of this class.")
    labels = images.labels.tolist()
    rows = [row for row, k in enumerate(labels) if kind == "all" or images.class_names[k] == kind][:180]
    thumbnail_grid(
        thumbnails(images[rows]),
        key=f"{name}:grid",
        rows=rows,
        labels=images[rows].words,
        marks=marks,
        on_choose=choose,
        height=300,
    )


_KINDS = {
    "gradient": "gradient of the margin",
    "adversarial": "to the nearest boundary",
    "sparse": "sparse perturbation",
    "random": "random",
    "image": "towards an image",
    "pair": "towards its clean or adversarial partner",
    "walk": "walk on the level set",
    "mean": "class-mean difference",
    "pca": "principal direction of its neighbours",
    "dct": "frequency (DCT atom)",
    "band": "to the nearest boundary in a band",
    "band:seed": "random in a band of frequencies",
    "corruption": "corruption, severity 3",
}


_NUMBERS = {
    "seed": "Another seed is another direction.",
    "row": "The image of the set to go towards; hover over a thumbnail of the anchors to see its number.",
    "number": "1 is the direction in which the nearest images of its class differ most.",
    "down": "Half waves from top to bottom.",
    "across": "Half waves from left to right.",
}
_NUMBERED = {
    "random": ("seed",),
    "image": ("row",),
    "walk": ("row",),
    "pca": ("number",),
    "dct": ("down", "across"),
    "band": ("down", "across"),
    "band:seed": ("down", "across", "seed"),
}
_FIRST = {  # the directions that each kind starts with
    "gradient": ("gradient", "gradient:0", "gradient:1"),
    "adversarial": ("adversarial",),
    "sparse": ("sparse",),
    "random": ("random:0", "random:1", "random:2"),
    "image": ("image:1", "image:2", "image:4"),
    "pair": ("pair",),
    "walk": ("walk:1", "walk:2", "walk:4"),
    "mean": ("mean:0", "mean:1", "mean:2"),
    "pca": ("pca:1", "pca:2", "pca:3"),
    "dct": ("dct:0,4", "dct:4,0", "dct:4,4"),
    "band": ("band:0,0", "band:8,8", "band:16,16"),
    "band:seed": ("band:0,0,0", "band:8,8,0", "band:16,16,0"),
    "corruption": ("corruption:contrast", "corruption:gaussian_blur", "corruption:fog"),
}
_RUNNER_UP = -1  # in place of a class


def direction(analysis: str, name: str, label: str) -> None:
    """The widgets of one spanning direction: its kind, then what that kind needs.

    Args:
        analysis: an analysis with directions, by its name in the table.
        name: of the setting.
        label: in plain words.
    """
    entry = TABLE[analysis].setting(name)
    kind, _, rest = str(session.settings(analysis).get(name, entry.default)).partition(":")
    rest, _, walked = rest.partition(",") if kind == "walk" else (rest, "", "")  # the mode of the walk is kept
    numbers = [int(part) for part in rest.split(",")] if rest and kind != "corruption" else []
    kind = "band:seed" if kind == "band" and len(numbers) == 3 else kind
    classes = session.classifier(session.models()[0]).class_names
    key = f"{analysis}:{name}"
    taken = {str(session.settings(analysis).get(other.name, other.default)) for other in TABLE[analysis].parameters}

    def chosen(picked: str) -> None:
        free = next((spec for spec in _FIRST[picked] if spec not in taken), None)  # two equal ones span no plane
        if free is None:
            st.toast(f"The other direction is {_KINDS[picked]} already.")
            return
        session.change(analysis, **{name: free})

    def numbered(place: int, value: int | None) -> None:
        values = numbers.copy() or [_RUNNER_UP]
        values[place] = _RUNNER_UP if value is None else int(value)
        words = "" if values[0] == _RUNNER_UP else ":" + ",".join(map(str, values))
        session.change(analysis, **{name: kind.partition(":")[0] + words + (f",{walked}" if walked else "")})

    paired = session.image_set(session.images()).partners or kind == "pair"
    first, second = st.columns([3, 2])
    first.selectbox(
        label,
        [each for each in _KINDS if each != "pair" or paired],
        format_func=_KINDS.__getitem__,
        help=entry.help,
        **showing(f"{key}:kind", kind, chosen),
    )
    with second:
        if kind in ("gradient", "mean"):
            options = [*([_RUNNER_UP] if kind == "gradient" else []), *range(len(classes))]
            st.selectbox(
                "towards class",
                options,
                format_func=lambda k: "runner-up" if k == _RUNNER_UP else classes[k],
                help="The class whose side the direction leads to.",
                **showing(f"{key}:0", numbers[0] if numbers else _RUNNER_UP, partial(numbered, 0)),
            )
        elif kind == "corruption":
            st.selectbox(
                "of this kind",
                list(CORRUPTIONS),
                format_func=lambda word: word.replace("_", " "),
                help="The direction leads to the image at severity 3; the picture shows the true path of the severity.",
                **showing(
                    f"{key}:corruption",
                    rest,
                    lambda word: session.change(analysis, **{name: f"corruption:{word}"}),
                ),
            )
        elif kind in _NUMBERED:
            words = _NUMBERED[kind]
            for place, (column, word) in enumerate(zip(st.columns(len(words)), words, strict=True)):
                column.number_input(
                    word,
                    min_value=1 if kind == "pca" else 0,
                    max_value=10**6,
                    step=1,
                    help=_NUMBERS[word],
                    **showing(f"{key}:{place}", numbers[place], partial(numbered, place)),
                )
