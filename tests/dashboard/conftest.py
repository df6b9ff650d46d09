"""What tests of pages share."""

from __future__ import annotations

import functools
import importlib
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import streamlit as st
from streamlit.components.v2 import manifest_scanner
from streamlit.runtime.caching import clear_session_resource_cache
from streamlit.testing.v1 import AppTest


@pytest.fixture(scope="session", autouse=True)
def installed_components() -> None:
    """Look for components among the installed packages once, and not anew for each `AppTest`, a third of a second."""
    manifest_scanner.scan_component_manifests = functools.cache(manifest_scanner.scan_component_manifests)


@pytest.fixture(scope="session", autouse=True)
def imported_layouts() -> None:
    """Import umap here: a page does so by a timer, and what it warns of is not ignored while a test ends meanwhile."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        importlib.import_module("umap.umap_")


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The cache of a test module: a result that one of its tests computed is there for the others."""
    return tmp_path_factory.mktemp("results")


@pytest.fixture
def dashboard(monkeypatch: pytest.MonkeyPatch, results: Path, checkout: Path) -> Iterator[AppTest]:
    """The dashboard before its first run, in a new session, with the module's cache."""
    monkeypatch.setenv("BOUNDARY_ATLAS_CACHE", str(results))
    _forget_everything()
    yield AppTest.from_file(str(checkout / "dashboard" / "app.py"), default_timeout=120)
    _forget_everything()


def _forget_everything() -> None:
    st.cache_resource.clear()
    clear_session_resource_cache("test session id")  # AppTest's own id


@pytest.fixture
def lens(dashboard: AppTest) -> Callable[..., AppTest]:
    """Choose models, images, rows and settings, and open a view; the page has not run yet.

    Settings are given by analysis: `lens("sparse", rows=(5,), sparse={"bound": 0.5})`.
    """

    def open_view(
        view: str,
        models: tuple[str, ...] = ("demo:photos/standard",),
        rows: tuple[int, ...] = (3, 17, 42),
        **settings: dict[str, Any],
    ) -> AppTest:
        dashboard.session_state["models"], dashboard.session_state["rows"] = models, rows
        for analysis, chosen in settings.items():
            dashboard.session_state[f"settings:{analysis}"] = dict(chosen)
        return dashboard.switch_page(f"views/{view}.py")

    return open_view
