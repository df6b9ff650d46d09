"""The model being uploaded: the content of its file, and the choices made so far."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import takewhile
from pathlib import Path
from typing import Any, cast

import streamlit as st

from core.errors import CheckpointError, ImageError
from core.images.archives import Refused
from core.images.load import demo_images_of
from core.models import inspection, preprocessing, registries, state_dicts
from core.models.inspection import Check
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
NUMBERS = "numbers"  # mean and std of one's own, instead of a preset
_INLINE = 150  # characters of class names that a link carries by itself

Draft = dict[str, Any]
OnFraction = Callable[[float], None]
Shapes = dict[str, tuple[int, ...]]


def draft() -> Draft | None:
    """What has been chosen so far; None before a file.

    By name: digest, weights, arch, size, preset, mean, std, names, name; of a series the digests of all checkpoints, of
    which the last is the one looked at; and `editing`, the source that is changed, where it was used before.
    """
    found = cast(Draft | None, st.session_state.get("draft"))
    return found if found is not None and found["digest"] in own_uploads().files else None


def bring(files: Sequence[tuple[str, bytes]], on_progress: OnFraction = lambda fraction: None) -> str:
    """Start with what was dropped: one checkpoint, its shards, or several checkpoints that are one series.

    Args:
        files: name and content of each; a zip stands for what is in it.
        on_progress: called with the fraction done; what it raises ends the reading.

    Returns:
        A sentence for each checkpoint of a series that was left out; "" where all are there.

    Raises:
        CheckpointError: if nothing can be read, or no weights are in it; then it is deleted.
    """
    stem = files[0][0].partition(".")[0]
    if len(files) == 1 and files[0][0].lower().endswith(".zip"):
        upload = own_uploads().add(files)
        packed = _Packed(upload.paths[0], upload.name)
        try:
            names, refused = packed.ask("inside")
            return _several(
                [(name, partial(packed.ask, "content", entry=name)) for name in names],
                stem,
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


@dataclass(frozen=True)
class _Packed:
    """A zip of checkpoints, looked into by a process of its own."""

    path: Path
    name: str

    def ask(self, function: str, **arguments: Any) -> Any:
        """What `core.images.archives` finds in it: "inside" or "content"."""
        size = self.path.stat().st_size
        return isolated(
            f"core.images.archives:{function}",
            name=self.name,
            limits=Limits.of(size, memory=3 * (LARGEST << 20), output=(LARGEST << 20) + _MOST_LISTED),
            refusal=CheckpointError,
            path=self.path,
            suffixes=list(state_dicts.SUFFIXES),
            most=LARGEST << 20,
            **arguments,
        )


def _several(
    files: list[tuple[str, Callable[[], bytes]]], stem: str, refused: list[Refused], on_progress: OnFraction
) -> str:
    """Several files: checkpoints of one training where they hold tensors of the same names, else shards of one."""
    if not files:
        raise CheckpointError("expected checkpoints in the zip, found none; pack .safetensors or .pt files")
    files.sort(key=lambda file: in_order(file[0]))
    name = _series_name([file[0] for file in files], stem)
    uploads = own_uploads().add_series(files, name)
    try:
        shapes = _shapes(uploads, refused, on_progress)
    except BaseException:  # somebody may have cancelled
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
    """The shapes of the tensors of each checkpoint by its digest; those that cannot be read are added to `refused`."""
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
    """What a series is called: its zip, or what its files' names begin with; unlike any other series."""
    plain = [Path(name).name for name in files]
    alike = takewhile(lambda signs: len(set(signs)) == 1, zip(*plain, strict=False))
    common = stem or "".join(signs[0] for signs in alike).rstrip("0123456789-_. ")
    name = _plain(common) or "series"
    names = (name, *(f"{name} {number}" for number in range(2, 100)))
    return next(each for each in names if each not in own_uploads().series)


def begin(digest: str, on_progress: OnFraction = lambda fraction: None) -> None:
    """Start with an uploaded file; the likeliest weights and architecture are chosen until others are.

    Args:
        digest: of the upload.
        on_progress: called with the fraction done; what it raises ends the reading.

    Raises:
        CheckpointError: if it cannot be read, or no weights are in it; then it is deleted.
    """
    called = own_uploads().files[digest].name
    try:
        first = sets(digest, on_progress)[0].name
        best = next(iter(fits(digest, first)), None)
    except BaseException:  # cancelled, or an unexpected error
        own_uploads().delete([digest])
        raise
    name = _plain(called.partition(".")[0])
    st.session_state["draft"] = {"digest": digest, "weights": first, "name": name, "preset": preprocessing.OWN}
    if best is not None:
        choose(arch=best.architecture)


def edit(source: str) -> None:
    """Take a model of this session, or the series that it belongs to, as the draft again.

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
    if found is not None:
        _delete(found)


def replaced(before: Draft | None) -> None:
    """Delete the files of the draft that another one has replaced, where no model is made of them."""
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
        on_progress: called with the fraction done while it is read, which it is once.

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


def kept_normalisation(found: Draft, channels: int) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
    """The normalisation that the file keeps beside the chosen weights; None where there is none.

    Raises:
        CheckpointError: if it is not clear.
    """
    return state_dicts.normalisation_in(state_dicts.choose(sets(found["digest"]), found["weights"]), channels)


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


def sources_of(found: Draft) -> tuple[str, ...]:
    """The sources of all checkpoints of a series, as they are chosen now, each called by its file; or of the one model.

    Raises:
        CheckpointError: if mean or std are no numbers.
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


def _size(found: Draft) -> str:
    channels = fit(found).input_shape[0]
    return str(found["size"]) if channels == 3 else f"{channels}x{found['size']}x{found['size']}"


def name_classes(names: list[str]) -> None:
    """Choose class names: in the source itself if they are short, else in a file of their own.

    Raises:
        CheckpointError: if they are too many.
    """
    if not names:
        choose(names="")
    elif len("/".join(names)) <= _INLINE and not any("/" in name or ":" in name for name in names):
        choose(names="/".join(names))
    else:
        choose(names=f"list:{own_uploads().add([('names.txt', chr(10).join(names).encode())]).digest}")


def trials(source: str) -> tuple[Trial, ...]:
    """What the drafted model says about a few demo images under each preset; empty where none have its shape."""
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
    """The trials of a module so far; another normalisation makes only its own."""
    return []


def let_go() -> None:
    """Drop what was read of files and made of models that are forgotten."""
    for cached in (fits, _made, checks):
        cached.clear()
    unload(own_uploads().token)


@st.cache_resource(scope="session", max_entries=12, show_spinner=False)
def checks(source: str) -> tuple[Check, ...]:
    """Whether the drafted model is one that the geometry can work with."""
    return inspection.inspect(own_classifier(source))
