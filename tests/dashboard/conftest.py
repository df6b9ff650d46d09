"""What tests of pages share."""

import functools
import importlib
import warnings

import pytest
from streamlit.components.v2 import manifest_scanner


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
