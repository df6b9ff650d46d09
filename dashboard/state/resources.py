"""Loaded models and images, and finished results, which all sessions share; read-only."""

from __future__ import annotations

import streamlit as st

from core.images.image_set import ImageSet
from core.images.load import demo_images_of, load_images
from core.models.classifier import Classifier, Predictions
from core.models.demo import demo_images as images_of_demo
from core.models.load import load_classifier
from core.models.load import model_card as card_of_demo
from core.models.null import null_of
from core.recipes.store import Store
from core.result import Result
from core.runtime.cache import LRU
from core.sources.models import ANALYTIC, LINEARISED, NULLS, UNTRAINED, Source
from dashboard.uploads.own_images import own_images
from dashboard.uploads.session_cache import loaded
from dashboard.uploads.session_uploads import bytes_of, name_of, own_classifier, own_uploads
from dashboard.viewer.words import escape_markdown

_RECENT_BYTES = 256 << 20


def classifier(source: str) -> Classifier:
    """A model, read-only: demo models are loaded once for all sessions, others for their session alone."""
    if source.partition(":")[0] in NULLS:
        return _null(source)
    return _demo_classifier(source) if source.startswith("demo:") else own_classifier(source)


def _null(source: str) -> Classifier:
    """The null model of one that this session may load, at an image that it may read."""
    parsed = Source.parse(source)
    return loaded(
        own_uploads().token,
        f"null {source}",
        lambda: null_of(parsed, classifier(parsed.inner.text()), image_set),
        bytes_of,
    )


@st.cache_resource(max_entries=6, show_spinner=False)
def _demo_classifier(source: str) -> Classifier:
    return load_classifier(source, trust=False)


def model_card(source: str) -> str:
    """A description of a model in Markdown: the card of a demo model, otherwise what loading it showed."""
    if source.startswith("demo:"):
        return card_of_demo(source)
    asked, parsed = classifier(source), Source.parse(source)
    if parsed.kind in NULLS:
        what = {
            UNTRAINED: "the architecture of {} with its weights drawn anew. What it shows as well comes from the"
            " architecture.",
            LINEARISED: "the affine map that {} is to first order at an image. What it shows as well does not come from"
            " boundaries that bend.",
            ANALYTIC: "a classifier known on paper, of the images and classes of {}.",
        }[parsed.kind]
        return f"# {escape_markdown(asked.name)}\n\nThe null model: {what.format(escape_markdown(parsed.inner.text()))}"
    shape = " x ".join(map(str, asked.input_shape))
    mean, std = (", ".join(f"{value:.4g}" for value in values) for values in (asked.mean, asked.std))
    lines = {
        "Architecture": parsed.options.get("arch", f"{parsed.kind}:{parsed.place}"),
        "Images": f"{shape}, minus {mean}, divided by {std}",
        "Classes": f"{asked.num_classes:,}",
        "Parameters": f"{sum(each.numel() for each in asked.module.parameters()):,}",
        "File": f"digest {parsed.place[:16]}" if parsed.kind == "upload" else "the library's",
    }
    return f"# {escape_markdown(name_of(source))}\n\n" + "\n\n".join(
        f"**{name}.** {escape_markdown(words)}" for name, words in lines.items()
    )


def demo_images(model: str) -> str:
    """The source of the demo set for a model: the one it was trained for, or one resized to its input.

    Raises:
        ValueError: if no demo set has its number of channels, or its images are not square.
    """
    if Source.parse(model).trained.kind == "demo":
        return images_of_demo(model)
    shape = classifier(model).input_shape
    found = demo_images_of(shape)
    if not found:
        came = " x ".join(map(str, shape))
        raise ValueError(f"expected a model of square images with 1 or 3 channels, got {came}; no demo images fit it")
    return found


def image_set(source: str) -> ImageSet:
    """A set of images, read-only: demo sets are loaded once for all sessions, others for their session alone."""
    return load_images(source) if source.startswith("demo:") else own_images(source)  # load_images caches demo sets


@st.cache_resource(show_spinner=False)
def shelf() -> tuple[Store, LRU[str, Result]]:
    """The store, and a cache in memory of the results used last."""
    return Store(), LRU(_RECENT_BYTES)


def stored(key: str) -> Result | None:
    """The result of a key, from memory or from the store."""
    store, recent = shelf()
    found = recent.get(key) or store.get(key)
    if found is not None:
        recent.put(key, found, found.nbytes)
    return found


def predictions(source: str, images_source: str) -> Predictions:
    """A model's predictions of a whole set."""
    asked = classifier(source)  # before the cache: raises if the model belongs to another session
    images = image_set(images_source)  # raises if the images do
    return _predictions(asked.fingerprint or f"{own_uploads().token} {source}", images_source, asked, images)


@st.cache_data(max_entries=16, show_spinner=False)
def _predictions(key: str, images_source: str, _asked: Classifier, _images: ImageSet) -> Predictions:
    return _asked.predict(_images.pixels)
