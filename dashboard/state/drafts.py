"""The model being uploaded: the content of its file, and the choices made so far."""

from __future__ import annotations

import os
from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import streamlit as st

from core.errors import CheckpointError, ImageError
from core.images.archives import Refused
from core.images.load import demo_images_of
from core.models import inspection, preprocessing, registries, state_dicts
from core.models.inspection import Check
from core.models.normalisations import Normalisation, normalisation_in
from core.models.preprocessing import Trial
from core.models.registries import Fit
from core.models.state_dicts import StateDict
from core.recipes.series import in_order
from core.runtime.sandbox import Limits, isolated
from core.sources.models import Source
from dashboard.state.resources import image_set
from dashboard.uploads.session_cache import loaded, unload
from dashboard.uploads.session_uploads import LARGEST, Upload, own_classifier, own_uploads

PICTURES = 9  # one of each demo photo
_MOST_LISTED = 64 << 20  # bytes of the names in a zip
NUMBERS = "numbers"  # the user's mean and std instead of a preset
_INLINE = 150  # characters of class names that a link itself holds

Draft = dict[str, Any]
OnFraction = Callable[[float], None]
Shapes = dict[str, tuple[int, ...]]


def draft() -> Draft | None:
    """The choices made so far; None before a file.

    By name: digest, weights, arch, size, preset, mean, std, names, name; for a series the digests of all checkpoints,
    of which the last is shown; and `editing`, the source that is changed, if it was in use before.
    """
    found = cast(Draft | None, st.session_state.get("draft"))
    return found if found is not None and found["digest"] in own_uploads().files else None


def bring(files: Sequence[tuple[str, bytes]], on_progress: OnFraction = lambda fraction: None) -> str:
    """Start with dropped files: one checkpoint, its shards, or several checkpoints that form a series.

    Args:
        files: name and content of each; a zip stands for its members.
        on_progress: called with the fraction done; an exception that it raises ends the reading.

    Returns:
        A sentence for each checkpoint of a series that was left out; "" if none was.

    Raises:
        CheckpointError: if nothing can be read, or there are no weights; then the files are deleted.
    """
    if len(files) == 1 and files[0][0].lower().endswith(".zip"):
        upload = own_uploads().add(files)
        try:
            names, refused = _in_zip(upload, "inside")
            return _several(
                [(name, partial(_in_zip, upload, "content", entry=name)) for name in names],
                files[0][0].partition(".")[0],
                [Refused(*each) for each in refused],
                on_progress,
            )
        except ImageError as error:
            raise CheckpointError(str(error)) from error
        finally:
            own_uploads().delete([upload.digest])
    if len(files) > 1:
        return _several(
            [(name, lambda content=content: content) for name, content in files],  # type: ignore[misc]
            "",
            [],
            on_progress,
        )
    begin(own_uploads().add(files).digest, on_progress)
    return ""


def _in_zip(upload: Upload, function: str, **arguments: Any) -> Any:
    """Call "inside" or "content" of `core.images.archives` on a zip of checkpoints, in a process of its own."""
    path, largest = upload.paths[0], LARGEST << 20
    return isolated(
        f"core.images.archives:{function}",
        name=upload.name,
        limits=Limits.of(path.stat().st_size, memory=3 * largest, output=largest + _MOST_LISTED),
        refusal=CheckpointError,
        path=path,
        suffixes=list(state_dicts.SUFFIXES),
        most=largest,
        **arguments,
    )


def _several(
    files: list[tuple[str, Callable[[], bytes]]], stem: str, refused: list[Refused], on_progress: OnFraction
) -> str:
    """Several files: checkpoints of one training if their tensors share names, otherwise shards of one checkpoint."""
    if not files:
        raise CheckpointError("expected checkpoints in the zip, found none; pack .safetensors or .pt files")
    files.sort(key=lambda file: in_order(file[0]))
    name = _series_name([file[0] for file in files], stem)
    uploads = own_uploads().add_series(files, name)
    try:
        shapes = _shapes(uploads, refused, on_progress)
    except BaseException:  # also when the user cancels
        own_uploads().delete([upload.digest for upload in uploads])
        raise
    first = next(iter(shapes.values()), {})
    if len(shapes) > 1 and not any(first.keys() & other.keys() for other in list(shapes.values())[1:]):
        own_uploads().delete([upload.digest for upload in uploads])
        begin(own_uploads().add([(file, read()) for file, read in files]).digest, on_progress)
        return ""
    for upload in uploads:
        if upload.digest in shapes and shapes[upload.digest] != first:
            del shapes[upload.digest]
            refused.append(Refused(upload.name, "expected the tensors of the first checkpoint, got others"))
    own_uploads().delete([upload.digest for upload in uploads if upload.digest not in shapes])
    left_out = " ".join(f"{Path(each.name).name}: {each.reason}." for each in refused)
    if not shapes:
        raise CheckpointError(left_out.removesuffix("."))
    begin(list(shapes)[-1])
    if len(shapes) > 1:
        st.session_state["draft"] |= {"series": tuple(shapes), "name": name}
    return left_out


def _shapes(uploads: Sequence[Upload], refused: list[Refused], on_progress: OnFraction) -> dict[str, Shapes]:
    """The shapes of the tensors of each checkpoint by its digest; `refused` receives those that cannot be read."""
    shapes: dict[str, Shapes] = {}
    for number, upload in enumerate(uploads):

        def tell(fraction: float, number: int = number) -> None:
            on_progress((number + fraction) / len(uploads))

        try:
            found = state_dicts.read_state_dicts(upload.paths, on_progress=tell, kept=True)
            shapes[upload.digest] = state_dicts.choose(found, None).shapes
        except CheckpointError as error:
            refused.append(Refused(upload.name, str(error)))
    return shapes


def _series_name(files: Sequence[str], stem: str) -> str:
    """The name of a series: that of its zip, or the common beginning of its files' names; unlike any other series."""
    alike = os.path.commonprefix([Path(name).name for name in files])  # noqa: RUF071 - of names
    common = stem or alike.rstrip("0123456789-_. ")
    return unused(_plain(common) or "series", own_uploads().series)


def unused(name: str, taken: Container[str]) -> str:
    """The name itself, or followed by the first number that distinguishes it from those taken."""
    return next(each for each in (name, *(f"{name} {number}" for number in range(2, 100))) if each not in taken)


def begin(digest: str, on_progress: OnFraction = lambda fraction: None) -> None:
    """Start with an uploaded file, its likeliest weights and architecture.

    Args:
        digest: of the upload.
        on_progress: called with the fraction done; an exception that it raises ends the reading.

    Raises:
        CheckpointError: if it cannot be read, or holds no weights; then it is deleted.
    """
    name = _plain(own_uploads().files[digest].name.partition(".")[0])
    try:
        first = sets(digest, on_progress)[0].name
        best = next(iter(fits(digest, first)), None)
    except BaseException:  # cancelled, or an unexpected error
        own_uploads().delete([digest])
        raise
    st.session_state["draft"] = {"digest": digest, "weights": first, "name": name, "preset": preprocessing.OWN}
    if best is not None:
        choose(arch=best.architecture)


def edit(source: str) -> None:
    """Make a model of this session, or its series, the draft again.

    Raises:
        CheckpointError: if its file cannot be read.
    """
    uploads = own_uploads()
    series, parsed = uploads.series_of(source), Source.parse(source)
    names = parsed.options.get("names", "")
    found = {
        "digest": parsed.place,
        "weights": parsed.options.get("weights", sets(parsed.place)[0].name),
        "arch": parsed.options["arch"],
        "size": int(parsed.options["size"].rpartition("x")[2]),
        "preset": parsed.options.get("preset", NUMBERS if "mean" in parsed.options else preprocessing.OWN),
        "names": names,
        "name": series or parsed.options.get("name", ""),
        "editing": source,
    }
    found |= {name: parsed.options[name].replace("/", ", ") for name in ("mean", "std") if name in parsed.options}
    if series:
        found["series"] = tuple(Source.parse(each).place for each in uploads.series[series])
    drop()
    st.session_state["draft"] = found
    st.session_state["model:refused"] = st.session_state["model:left_out"] = ""  # which were about another file
    st.session_state["model:names:how"] = "ImageNet's" if names == "imagenet" else "a list" if names else "numbered"


def _plain(name: str) -> str:
    return "".join(sign for sign in name if sign.isalnum() or sign in " _-.")[:40]


def choose(**changed: Any) -> None:
    """Change the draft; another architecture or other weights bring their own input size."""
    if st.session_state.get("draft") is None:  # a widget's value may arrive after the draft was used
        return
    found = {**st.session_state["draft"], **changed}
    if changed.keys() & {"arch", "weights"}:
        if "weights" in changed and "arch" not in changed:
            best = next(iter(fits(found["digest"], found["weights"])), None)
            found["arch"] = best.architecture if best is not None else found.get("arch")
        found["size"] = fit(found).input_shape[1]
    st.session_state["draft"] = found


def drop() -> None:
    """Drop the draft, and its files unless a model uses them."""
    found = st.session_state.pop("draft", None)
    if found is not None:
        _delete(found)


def replaced(before: Draft | None) -> None:
    """Delete the files of a draft that was replaced, unless a model uses them."""
    now = st.session_state.get("draft")
    if before is not None and now is not before:
        _delete(before, _files(now))


def _files(found: Draft | None) -> set[str]:
    """The digests of the files of a draft."""
    return set() if found is None else set(found.get("series", (found["digest"],)))


def _delete(found: Draft, besides: Iterable[str] = ()) -> None:
    offered = (*own_uploads().models, *(each for sources in own_uploads().series.values() for each in sources))
    used = {Source.parse(model).place for model in offered}
    own_uploads().delete(_files(found) - used - set(besides))


def sets(digest: str, on_progress: OnFraction = lambda fraction: None) -> tuple[StateDict, ...]:
    """The sets of weights in an uploaded file of this session.

    Args:
        digest: of the upload.
        on_progress: called with the fraction done when it is read for the first time.

    Raises:
        CheckpointError: if it cannot be read.
    """
    uploads = own_uploads()
    return loaded(
        uploads.token,
        f"weights {digest}",
        lambda: state_dicts.read_state_dicts(uploads.paths(digest), on_progress=on_progress, kept=True),
        lambda found: sum(tensor.nbytes for each in found for tensor in each.tensors.values()),
    )


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


def kept_normalisation(found: Draft, channels: int) -> Normalisation | None:
    """The normalisation that the file stores with the chosen weights; None if it stores none.

    Raises:
        CheckpointError: if they are ambiguous.
    """
    return normalisation_in(state_dicts.choose(sets(found["digest"]), found["weights"]), channels)


def source_of(found: Draft) -> str:
    """The source of the model as currently chosen.

    Raises:
        CheckpointError: if mean or std are not numbers.
    """
    side = found["size"]
    channels = fit(found).input_shape[0]
    options = {"arch": found["arch"], "size": str(side) if channels == 3 else f"{channels}x{side}x{side}"}
    if found["weights"] != sets(found["digest"])[0].name:
        options["weights"] = found["weights"]
    if found["preset"] == NUMBERS:
        for name in ("mean", "std"):
            options[name] = "/".join(found.get(name, "").replace(",", " ").replace("/", " ").split()) or "?"
    else:
        options["preset"] = found["preset"]
    options |= {name: found[name] for name in ("names", "name") if found.get(name)}
    return Source("upload", found["digest"], options).text()


def sources_of(found: Draft) -> tuple[str, ...]:
    """The sources of all checkpoints of a series as currently chosen, each named after its file; or of the one model.

    Raises:
        CheckpointError: if mean or std are not numbers.
    """
    source = Source.parse(source_of(found))
    if "series" not in found:
        return (source.text(),)
    return tuple(
        replace(
            source, place=digest, options={**source.options, "name": Path(own_uploads().files[digest].name).name[:60]}
        ).text()
        for digest in found["series"]
        if digest in own_uploads().files
    )


def name_classes(names: list[str]) -> None:
    """Choose class names: in the source itself if they are short, otherwise in a file of their own.

    Raises:
        CheckpointError: if there are too many.
    """
    if not names:
        choose(names="")
    elif len("/".join(names)) <= _INLINE and not any("/" in name or ":" in name for name in names):
        choose(names="/".join(names))
    else:
        choose(names=f"list:{own_uploads().add([('names.txt', chr(10).join(names).encode())]).digest}")


def trials(source: str) -> tuple[Trial, ...]:
    """The draft's predictions of a few demo images under each preset; empty if no demo images have its shape."""
    classifier = own_classifier(source)
    images = demo_images_of(classifier.input_shape)
    if not images:
        return ()
    parsed = Source.parse(source)
    of_the_module = {name: parsed.options[name] for name in ("arch", "weights", "size") if name in parsed.options}
    known = _made(Source("upload", parsed.place, of_the_module).text())
    known[:] = preprocessing.trials(classifier, image_set(images).pixels[:PICTURES], known=known)
    return tuple(known)


@st.cache_resource(scope="session", max_entries=4, show_spinner=False)
def _made(module: str) -> list[Trial]:
    """The trials of a module so far; another normalisation adds only its own."""
    return []


def let_go() -> None:
    """Drop everything cached of forgotten files and models."""
    for cached in (fits, _made, checks):
        cached.clear()
    unload(own_uploads().token)


@st.cache_resource(scope="session", max_entries=12, show_spinner=False)
def checks(source: str) -> tuple[Check, ...]:
    """Checks whether the engine can work with the drafted model."""
    return inspection.inspect(own_classifier(source))
