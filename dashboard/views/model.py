"""Bring your own model: its file, architecture and preprocessing, and whether it works."""

from __future__ import annotations

import io
import math
from contextlib import suppress
from pathlib import Path

import streamlit as st

from core import wording
from core.analyses.analysis import thumbnails
from core.errors import CheckpointError
from core.images.load import demo_images_of
from core.models.preprocessing import OWN, looks_untrained, presets, suspicion
from core.models.registries import Fit, architectures, made_for
from core.models.third_party import read_names
from dashboard.state import address, drafts, session, speed_estimate
from dashboard.state.uploader import dropped
from dashboard.uploads.reading import watched
from dashboard.uploads.session_uploads import own_classifier, own_uploads, read_only
from dashboard.viewer.words import escape_markdown
from dashboard.widgets import controls, own_models, page
from dashboard.work.unforeseen import user_message

MOST_ROWS = 200  # of a table of differences


def bring() -> None:
    """Where the model comes from: a file, or a library's own weights by name."""
    if read_only():
        st.info("This server takes no uploads. Start your own without --read-only to bring a model.")
        return
    where = st.segmented_control("From", ["a file", "a library"], default="a file", key="model:from")
    if where == "a library":
        _from_library()
    else:
        _from_file()


def _from_file() -> None:
    files = dropped(
        "Weights",
        "model",
        more="A safetensors file or a state dict; all shards at once, where there are several. Several checkpoints of"
        " one training, or a zip of them, become a series, in the order of the numbers in their names.",
    )
    if not files:
        return
    before = st.session_state.get("draft")
    try:
        with watched(f"model:cancel:{st.session_state['model:uploads']}", "the weights", lambda: None) as progress:
            st.session_state["model:left_out"] = drafts.bring(files, progress)
        st.session_state["model:refused"] = ""
        drafts.replaced(before)
    except Exception as error:  # noqa: BLE001 - also unexpected errors: the previous draft and the page stay
        st.session_state["model:refused"] = user_message(error)
    address.rerun()


def _from_library() -> None:
    st.selectbox(
        "Architecture",
        architectures(),
        index=None,
        key="model:library",
        placeholder="search, such as resnet18",
        help="The library's default weights, fetched from its server, or found in its folder on this machine.",
    )
    name = st.session_state["model:library"]
    if st.button("Fetch and use", disabled=name is None, key="model:fetch"):
        own_uploads().use(name)
        try:
            own_classifier(name)
            session.choose(models=(name,))
            st.session_state["model:refused"] = ""
        except ValueError as error:
            own_uploads().forget(name)
            st.session_state["model:refused"] = str(error)
        address.rerun()


def weights(found: drafts.Draft) -> None:
    """The content of the file, and the choice among several sets of weights."""
    upload, every = own_uploads().files[found["digest"]], {each.name: each for each in drafts.sets(found["digest"])}
    chosen = every[found["weights"]]
    files = f", {len(upload.paths)} files" if len(upload.paths) > 1 else ""
    series = [own_uploads().files[digest] for digest in found.get("series", ()) if digest in own_uploads().files]
    together = {}
    if series:
        size = sum(each.size for each in series)
        together["series"] = f"{found['name']}, {len(series)} checkpoints, {size / 1e6:,.1f} MB"
        together["from, to"] = f"{series[0].name}, {series[-1].name}"
    controls.facts(
        {
            **together,
            "file": f"{upload.name}, {upload.size / 1e6:,.1f} MB{files}",
            "digest": upload.digest[:16],
            "weights": f"{chosen.parameters:,} numbers in {len(chosen.tensors)} tensors",
            **({"prefix removed from names": chosen.removed} if chosen.removed else {}),
            **({"left out": ", ".join(chosen.left[:3])} if chosen.left else {}),
        }
    )
    if len(every) > 1:
        st.session_state["model:weights"] = found["weights"]
        st.radio(
            "Weights in the file",
            list(every),
            key="model:weights",
            format_func=lambda name: f"{name or 'the file itself'}{' (average)' if every[name].is_average else ''}",
            horizontal=True,
            help="An average over training (EMA) is often the better model.",
            on_change=lambda: drafts.choose(weights=st.session_state["model:weights"]),
        )


def architecture(found: drafts.Draft) -> Fit:
    """Choose the architecture: a likely one, or any other by search."""
    likeliest = [each for each in drafts.fits(found["digest"], found["weights"]) if each.exact or each.share > 0.3][:6]
    words = {each.architecture: _fit_words(each) for each in likeliest}
    chosen = drafts.fit(found)
    words.setdefault(chosen.architecture, _fit_words(chosen))
    st.session_state["model:arch"] = chosen.architecture
    st.radio(
        "Likeliest architectures",
        list(words),
        key="model:arch",
        captions=list(words.values()),
        help="By names and shapes of the weights; the best fit first.",
        on_change=lambda: drafts.choose(arch=st.session_state["model:arch"]),
    )
    st.session_state["model:search"] = None
    st.selectbox(
        "Another architecture",
        architectures(),
        index=None,
        key="model:search",
        placeholder="search torchvision and timm",
        help="All classifiers of torchvision and timm.",
        on_change=lambda: drafts.choose(arch=st.session_state["model:search"] or chosen.architecture),
    )
    exact = [each for each in likeliest if each.exact]
    if chosen.exact and len(exact) > 1:
        st.caption(
            f"{len(exact)} architectures hold exactly these tensors. They may differ in what weights do not show"
            " (padding, pooling, activation): choose the one that was trained."
        )
    if not chosen.exact:
        st.warning(
            f"{len(chosen.differences)} of {chosen.total} tensors do not fit {chosen.architecture}. Choose another, or"
            " bring the model on the command line with its own Python, as module:net.py:factory."
        )
        rows = chosen.differences[:MOST_ROWS]
        st.dataframe(
            {
                "tensor": [each.name[:80] for each in rows],
                "in the file": [_shape(each.came) for each in rows],
                "in the architecture": [_shape(each.expected) for each in rows],
            },
            hide_index=True,
            height="content" if len(rows) < 7 else 240,
        )
    return chosen


def _fit_words(fit: Fit) -> str:
    share = f"all {fit.total} tensors fit" if fit.exact else f"{fit.fitting} of {fit.total} tensors fit"
    return f"{share}, {fit.num_classes:,} classes" if fit.num_classes else f"{share}, no head found"


def _shape(shape: tuple[int, ...] | None) -> str:
    return "missing" if shape is None else " x ".join(map(str, shape)) or "one number"


def preprocessing(found: drafts.Draft, fit: Fit) -> None:
    """Choose input size and normalisation."""
    channels = fit.input_shape[0]
    known = presets(channels)
    left, right = st.columns([1, 2])
    st.session_state["model:size"] = int(found["size"])
    left.number_input(
        "Input size (pixels per side)",
        8,
        1024,
        step=1,
        key="model:size",
        help="That of the training images; the initial value is the architecture's own.",
        on_change=lambda: drafts.choose(size=st.session_state["model:size"]),
    )
    offered = [OWN, *known, drafts.NUMBERS]
    st.session_state["model:preset"] = found["preset"] if found["preset"] in offered else OWN
    _, mean, std = made_for(fit.architecture)
    own = f"as {fit.architecture.partition(':')[0]}'s own weights"
    with suppress(CheckpointError):  # shown below, where the preset is used
        if (kept := drafts.kept_normalisation(found, channels)) is not None:
            mean, std, _ = kept
            own = "as the file keeps it: mean {}, std {}".format(
                *(", ".join(f"{x:.3g}" for x in each) for each in (mean, std))
            )
    right.selectbox(
        "Normalisation",
        offered,
        key="model:preset",
        format_func=lambda name: {OWN: own, drafts.NUMBERS: "mean and std of my own"}.get(
            name, f"{name}: {known[name].about}" if name in known else name
        ),
        help="The mean and std by which training normalised the pixels. Few files record them.",
        on_change=lambda: drafts.choose(preset=st.session_state["model:preset"]),
    )
    if found["preset"] == drafts.NUMBERS:
        for column, name, values in zip(st.columns(2), ("mean", "std"), (mean, std), strict=True):
            numbers = found.setdefault(name, ", ".join(f"{value:g}" for value in values[:channels]))
            st.session_state[f"model:{name}"] = numbers
            column.text_input(
                f"{name.capitalize()} (per channel)",
                key=f"model:{name}",
                help="For pixels in [0, 1], one number per channel.",
                on_change=lambda name=name: drafts.choose(**{name: st.session_state[f"model:{name}"]}),
            )


def classes(found: drafts.Draft, fit: Fit) -> None:
    """Choose the class names."""
    offered = ["numbered", *(["ImageNet's"] if fit.num_classes == 1000 else []), "a list"]
    if st.session_state.get("model:names:how") not in offered:
        st.session_state["model:names:how"] = "numbered"
    how = st.segmented_control("Class names", offered, key="model:names:how") or "numbered"
    try:
        if how == "a list":
            with st.form("model:names:form", border=False):
                typed = st.text_area("One name per line", key="model:names:typed", height=120)
                file = st.file_uploader("or a file: text or JSON", type=["txt", "json", "csv"], key="model:names:file")
                if st.form_submit_button("Set", key="model:names:set"):
                    drafts.name_classes(_listed(typed, file))
                    address.rerun()
        elif (wanted := "imagenet" if how == "ImageNet's" else "") != found.get("names", ""):
            drafts.choose(names=wanted)
            address.rerun()
    except ValueError as error:
        st.error(escape_markdown(str(error)))


def _listed(typed: str, file: io.BytesIO | None) -> list[str]:
    """The typed names, or those of a file."""
    if file is None:
        return list(wording.names((line for line in typed.splitlines() if wording.name(line)), "class"))
    upload = own_uploads().add([("names.txt", file.getvalue())])
    try:
        return read_names(Path(upload.paths[0]))
    finally:
        own_uploads().delete([upload.digest])


def shown(source: str) -> None:
    """Demo images with the model's predictions under this and other normalisations."""
    classifier = own_classifier(source)
    images = demo_images_of(classifier.input_shape)
    tried = drafts.trials(source)
    if not tried:
        st.caption("No demo images have this model's shape, so nothing can be shown here.")
        return
    warning = suspicion(tried, untrained=looks_untrained(classifier))
    if warning:
        st.warning(warning)
    sample = session.image_set(images)[range(len(tried[0].labels))]
    words = [classifier.class_names[label] if label >= 0 else "not finite" for label in tried[0].labels]
    pictures = zip(thumbnails(sample), words, tried[0].confidences, st.columns(len(sample)), strict=True)
    for picture, word, sure, column in pictures:
        caption = f"{word[:20]} {sure:.2f}" if math.isfinite(sure) else word
        column.image(controls.enlarged(picture, 128), caption=escape_markdown(caption), width="stretch")
    st.caption(
        f"Demo images resized to {classifier.input_shape[1]} x {classifier.input_shape[2]}; below each the class that"
        " the model predicts under the chosen normalisation, and its probability."
    )
    table = {
        "normalisation": [each.name for each in tried],
        "mean confidence": [f"{each.confidence:.2f}" if math.isfinite(each.confidence) else "" for each in tried],
        "in the commonest class": [f"{each.commonest:.0%}" for each in tried],
    }
    if any(each.mismatch is not None for each in tried):
        table["first batch norm (nats from training)"] = [
            "" if each.mismatch is None else f"{each.mismatch:.3g}" for each in tried
        ]
    st.dataframe(table, hide_index=True)


def checklist(source: str) -> bool:
    """The checks after loading; returns whether none of them failed."""
    found = drafts.checks(source)
    st.dataframe(
        {
            "check": [each.name for each in found],
            "verdict": [each.verdict for each in found],
            "found": [each.words for each in found],
        },
        hide_index=True,
    )
    speed_estimate.note(source, max(each.seconds for each in found))
    return all(each.verdict != "bad" for each in found)


def use(source: str, fine: bool) -> None:
    """The button that offers the model to all views."""
    if not demo_images_of(own_classifier(source).input_shape):
        st.info("Views need images of this model's shape: the demo images are square, with 1 or 3 channels.")
        return
    found = drafts.draft() or {}
    what = "series" if "series" in found else "model"
    st.button(
        f"Use the changed {what}" if "editing" in found else f"Use this {what}",
        type="primary",
        key="model:use",
        disabled=not fine,
        on_click=own_models.take_draft,
        help="Chooses it, offers it in the frame of every view, and opens Slices.",
    )
    seconds = speed_estimate.of(source)
    if speed_estimate.words(seconds):
        st.caption(
            "{0} The first is cut at {1} x {1}.".format(
                speed_estimate.words(seconds), speed_estimate.first_side(seconds)
            )
        )


page.heading("Model", "Does your own classifier load, and does it see images as it did in training?")
left, right = st.columns([640, 380], gap="large")
with right:
    own_models.mine()
    page.about("model")
with left:
    bring()
    if st.session_state.get("model:refused"):
        st.error(escape_markdown(st.session_state["model:refused"]))
    elif st.session_state.get("model:left_out"):
        st.warning(escape_markdown(st.session_state["model:left_out"]))
    found = drafts.draft()
    if found is not None:
        st.subheader("In the file")
        weights(found)
        st.subheader("Architecture")
        fit = architecture(found)
        if fit.exact:
            st.subheader("Preprocessing")
            preprocessing(found, fit)
            classes(found, fit)
            try:
                source = drafts.source_of(found)
                shown(source)
                st.subheader("Does it work?")
                use(source, checklist(source))
            except CheckpointError as error:
                st.error(escape_markdown(str(error)))
        st.button(
            "Leave it as it was" if "editing" in found else "Drop this file", key="model:drop", on_click=drafts.drop
        )
