"""What everybody who opens the dashboard shares: loaded models and images, and finished results; all read-only."""

from __future__ import annotations

import threading
from collections import OrderedDict

import streamlit as st

from core.checkpoints import load_classifier
from core.classifier import Classifier, Predictions
from core.images import ImageSet, load_images
from core.result import Result
from core.store import Store

_RECENT_BYTES = 256 << 20


@st.cache_resource(max_entries=6, show_spinner=False)
def classifier(source: str) -> Classifier:
    """A model, loaded once for everybody; read-only."""
    return load_classifier(source)


@st.cache_resource(max_entries=6, show_spinner=False)
def image_set(source: str) -> ImageSet:
    """A set of images, loaded once for everybody; read-only."""
    return load_images(source)


class Recent:
    """The results used last, in memory, in front of the store."""

    def __init__(self) -> None:
        self._results: OrderedDict[str, Result] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: str, store: Store) -> Result | None:
        """The result kept under a key, here or in the store."""
        with self._lock:
            found = self._results.get(key)
            if found is not None:
                self._results.move_to_end(key)
                return found
        found = store.get(key)
        if found is not None:
            self.put(key, found)
        return found

    def put(self, key: str, result: Result) -> None:
        """Keep a result, and drop those used longest ago when there is too much."""
        with self._lock:
            self._results[key] = result
            while sum(kept.nbytes for kept in self._results.values()) > _RECENT_BYTES and len(self._results) > 1:
                self._results.popitem(last=False)


@st.cache_resource(show_spinner=False)
def shelf() -> tuple[Store, Recent]:
    """The store, and what lies in front of it."""
    return Store(), Recent()


@st.cache_data(max_entries=16, show_spinner=False)
def predictions(source: str, images_source: str) -> Predictions:
    """What a model says about a whole set."""
    return classifier(source).predict(image_set(images_source).pixels)
