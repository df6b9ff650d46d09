"""The model that is being brought: what is in its file, and what has been chosen about it so far."""

from __future__ import annotations

from typing import Any, cast

import streamlit as st

from core import inspection, preprocessing, registries, state_dicts
from core.images import demo_images_of
from core.inspection import Check
from core.preprocessing import Trial
from core.registries import Fit
from core.sources import CheckpointError, Source
from core.state_dicts import StateDict
from dashboard.brought import brought, own_classifier
from dashboard.held import held
from dashboard.resources import image_set

PICTURES = 9  # one of each demo photo
NUMBERS = "numbers"  # mean and std of one's own, instead of a preset
_INLINE = 150  # characters of class names that a link carries by itself

Draft = dict[str, Any]


def draft() -> Draft | None:
    """What has been chosen so far: digest, weights, arch, size, preset, mean, std, names, name; None before a file."""
    found = cast(Draft | None, st.session_state.get("draft"))
    return found if found is not None and found["digest"] in brought().files else None


def begin(digest: str) -> None:
    """Start with an uploaded file; the likeliest weights and architecture are chosen until others are.

    Raises:
        CheckpointError: if it cannot be read, or no weights are in it; then it is deleted.
    """
    try:
        first = sets(digest)[0].name
        best = next(iter(fits(digest, first)), None)
    except CheckpointError:
        brought().delete([digest])
        raise
    stem = brought().files[digest].name.partition(".")[0]
    name = "".join(sign for sign in stem if sign.isalnum() or sign in " _-.")[:40]
    st.session_state["draft"] = {"digest": digest, "weights": first, "name": name, "preset": preprocessing.OWN}
    if best is not None:
        choose(arch=best.architecture)


def choose(**changed: Any) -> None:
    """Change what has been chosen; another architecture or other weights bring their own input size."""
    if st.session_state.get("draft") is None:  # a browser may still send a wish after the draft was used
        return
    found = {**st.session_state["draft"], **changed}
    if changed.keys() & {"arch", "weights"}:
        if "weights" in changed and "arch" not in changed:
            best = next(iter(fits(found["digest"], found["weights"])), None)
            found["arch"] = best.architecture if best is not None else found.get("arch")
        found["size"] = fit(found).input_shape[1]
    st.session_state["draft"] = found


def drop() -> None:
    """Drop the draft, and its file where no model is made of it."""
    found = st.session_state.pop("draft", None)
    if found is not None and not any(Source.parse(model).place == found["digest"] for model in brought().models):
        brought().delete([found["digest"]])


@st.cache_resource(scope="session", max_entries=1, show_spinner=False)
def sets(digest: str) -> tuple[StateDict, ...]:
    """The sets of weights in an uploaded file of this session.

    Raises:
        CheckpointError: if it cannot be read.
    """
    return state_dicts.read_state_dicts(brought().paths(digest))


@st.cache_resource(scope="session", max_entries=6, show_spinner=False)
def fits(digest: str, weights: str) -> tuple[Fit, ...]:
    """The architectures that a set of weights fits best.

    Raises:
        CheckpointError: if there is no such set, or it holds NaN or infinity.
    """
    return registries.guess(state_dicts.choose(sets(digest), weights).shapes)


def fit(found: Draft) -> Fit:
    """How the chosen weights fit the chosen architecture."""
    return registries.fit(found["arch"], state_dicts.choose(sets(found["digest"]), found["weights"]).shapes)


def source_of(found: Draft) -> str:
    """The source of the model as it is chosen now.

    Raises:
        CheckpointError: if mean or std are no numbers.
    """
    options = {"arch": found["arch"], "size": _size(found)}
    if found["weights"] != sets(found["digest"])[0].name:
        options["weights"] = found["weights"]
    if found["preset"] == NUMBERS:
        for name in ("mean", "std"):
            options[name] = "/".join(found.get(name, "").replace(",", " ").replace("/", " ").split()) or "?"
    else:
        options["preset"] = found["preset"]
    if found.get("names"):
        options["names"] = found["names"]
    if found["name"]:
        options["name"] = found["name"]
    return Source("upload", found["digest"], options).text()


def _size(found: Draft) -> str:
    channels = fit(found).input_shape[0]
    return str(found["size"]) if channels == 3 else f"{channels}x{found['size']}x{found['size']}"


def name_classes(names: list[str]) -> None:
    """Choose class names: in the source itself where they are short, else kept beside the model's file.

    Raises:
        CheckpointError: if they are too many.
    """
    if not names:
        choose(names="")
    elif len("/".join(names)) <= _INLINE and not any("/" in name or ":" in name for name in names):
        choose(names="/".join(names))
    else:
        choose(names=f"list:{brought().add([('names.txt', chr(10).join(names).encode())]).digest}")


def trials(source: str) -> tuple[Trial, ...]:
    """What the drafted model says about a few demo images under each preset; empty where none have its shape."""
    classifier = own_classifier(source)
    images = demo_images_of(classifier.input_shape)
    if not images:
        return ()
    said = Source.parse(source)
    of_the_module = {name: said.options[name] for name in ("arch", "weights", "size") if name in said.options}
    kept = _made(Source("upload", said.place, of_the_module).text())
    kept[:] = preprocessing.trials(classifier, image_set(images).pixels[:PICTURES], known=kept)
    return tuple(kept)


@st.cache_resource(scope="session", max_entries=4, show_spinner=False)
def _made(module: str) -> list[Trial]:
    """The trials of a module so far; another normalisation makes only its own."""
    return []


def let_go() -> None:
    """Drop what was read of files and made of models that are forgotten."""
    for kept in (sets, fits, _made, checks):
        kept.clear()
    held().drop(brought().token)


@st.cache_resource(scope="session", max_entries=12, show_spinner=False)
def checks(source: str) -> tuple[Check, ...]:
    """Whether the drafted model is one that the geometry can work with."""
    return inspection.inspect(own_classifier(source))
